"""Text that came from elsewhere, made harmless for a screen or a log: no character of it steers the terminal or hides another."""

from itertools import chain

_INVISIBLE = frozenset(
    chain(
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
        range(0x180B, 0x1810),
        range(0xFE00, 0xFE10),
        range(0xE0000, 0xE1000),
    )
)
"""Code points that print as nothing although Unicode counts them among letters and marks (Default_Ignorable_Code_Point)."""


def plain(text: str) -> str:
    r"""One line that shows every character: what a terminal would obey, or print as nothing, stands as its escape, `\x1b` for ESC.

    That is C0, DEL and C1 controls, line breaks among them, bidirectional controls, zero-width and unassigned characters, surrogates.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if _visible(letter) else _escape(letter) for letter in text)


def _visible(letter: str) -> bool:
    return letter.isprintable() and ord(letter) not in _INVISIBLE


def _escape(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
