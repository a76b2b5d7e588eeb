"""The offsets of stored tensors in the bytes of an ONNX file."""

from collections.abc import Iterator

_GRAPH, _INITIALIZER, _NAME, _RAW = 7, 5, 8, 9  # field numbers of ModelProto, GraphProto and TensorProto


def offsets(content: bytes) -> dict[str, int]:
    """The first byte of each stored tensor's raw values, by name, in a file whose tensors are stored raw."""
    found = {}
    for graph, begin, end in _fields(content, 0, len(content)):
        if graph == _GRAPH:
            for field, first, last in _fields(content, begin, end):
                if field == _INITIALIZER:
                    inner = {number: (a, b) for number, a, b in _fields(content, first, last)}
                    if _RAW in inner:
                        name = content[slice(*inner[_NAME])].decode()
                        found[name] = inner[_RAW][0]
    return found


def _fields(content: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, first byte and end of each field of a protobuf message; only length-delimited ones have an extent."""
    while position < end:
        key, position = _varint(content, position)
        kind = key & 7
        if kind == 0:
            _, position = _varint(content, position)
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, position = _varint(content, position)
            yield key >> 3, position, position + size
        position += size


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position
