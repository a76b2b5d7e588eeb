import sys
import unicodedata

import pytest

from hushfleet.system.plain_text import plain

HOSTILE = {
    "\x1b[2J": "\\x1b[2J",
    "a\nb\r\tc": "a\\x0ab\\x0d\\x09c",
    "\x00\x7f": "\\x00\\x7f",
    "\x9b8m": "\\x9b8m",
    "pi\u202egnp": "pi\\u202egnp",
    "pi\u200b-01": "pi\\u200b-01",
    "\u2028": "\\u2028",
    "\ufeff": "\\ufeff",
    "\U000e0041": "\\U000e0041",
    "\ud800": "\\ud800",
    "\u3164": "\\u3164",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items(), ids=ascii)
def test_what_steers_or_hides_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize("text", ["", "pi-01", "Grünhaus: 12 °C", "温室", "a 'b' \\x1b"])
def test_ordinary_text_stays(text: str) -> None:
    assert plain(text) == text


def test_no_control_and_no_format_character_is_left() -> None:
    everything = plain("".join(map(chr, range(sys.maxunicode + 1))))

    assert {unicodedata.category(letter) for letter in everything} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"} == set()
