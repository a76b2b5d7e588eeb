"""Encoded messages taken apart without the library's structs, and their twins that a decoder must refuse."""

import msgspec


def fields_of(content: bytes) -> list:
    """The plain fields of an encoded message, of this version."""
    version, fields = msgspec.msgpack.decode(content)
    assert version == 2
    return fields


def packed(fields, version=2) -> bytes:
    """What `fields_of` took apart, put together."""
    return msgspec.msgpack.encode([version, fields])


def as_json(value):
    """Bytes as `hex:...`, arrays as lists, all else as it is."""
    if isinstance(value, bytes):
        return f"hex:{value.hex()}"
    return [as_json(one) for one in value] if isinstance(value, list | tuple) else value


def from_json(value):
    """The inverse of `as_json`. A float that JSON cannot tell from an integer keeps its point."""
    if isinstance(value, str) and value.startswith("hex:"):
        return bytes.fromhex(value[4:])
    return [from_json(one) for one in value] if isinstance(value, list) else value


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit turned over, counted from the first byte's lowest; negative from the end."""
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def misshapen(content: bytes):
    """(what, bytes, refusal) of twins that no decoder takes, signed or not."""
    fields = fields_of(content)
    return [
        ("a byte short", content[:-1], "message-malformed"),
        ("cut in half", content[: len(content) // 2], "message-malformed"),
        ("nothing", b"", "message-malformed"),
        ("a byte long", content + b"\0", "message-malformed"),
        ("twice", content + content, "message-malformed"),
        ("of version 0", packed(fields, 0), "message-version"),
        ("of version 1", packed(fields, 1), "message-version"),
        ("of version 3", packed(fields, 3), "message-version"),
        ("with an unknown field", packed([*fields, b""]), "message-malformed"),
        ("without its last field", packed(fields[:-1]), "message-malformed"),
        ("without its first field", packed(fields[1:]), "message-malformed"),
        ("with nil for its first field", packed([None, *fields[1:]]), "message-malformed"),
        ("as a map", packed({str(number): field for number, field in enumerate(fields)}), "message-malformed"),
        ("without its envelope", msgspec.msgpack.encode(fields), "message-malformed"),
    ]
