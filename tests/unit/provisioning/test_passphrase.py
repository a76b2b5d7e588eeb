import getpass
import os
import sys

import click
import pytest

from hushfleet.errors import LocalError, Refusal
from provisioning.passphrase import Passphrase, PassphraseSource
from tests.support.refusals import refused


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "passphrase"
    path.touch(mode=0o600)
    return path


@pytest.fixture
def typed(monkeypatch):
    """A person at a terminal who types these answers."""

    def type_in(*answers: str) -> list[str]:
        left, asked = list(answers), []
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(getpass, "getpass", lambda prompt: asked.append(prompt) or left.pop(0))
        return asked

    return type_in


@pytest.mark.parametrize("content", [b"correct horse", b"correct horse\n", b"correct horse\r\n", b"correct horse\nanother line\n"])
def test_a_file_gives_its_first_line(file, content):
    file.write_bytes(content)
    assert PassphraseSource(file).read().raw == b"correct horse"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read_is_refused(file, mode):
    file.write_bytes(b"correct horse")
    file.chmod(mode)
    with refused(Refusal.VAULT_PASSPHRASE, LocalError):
        PassphraseSource(file).read()


def test_a_descriptor_gives_its_first_line_and_stays_open():
    reading, writing = os.pipe()
    os.write(writing, b"correct horse\n")
    os.close(writing)
    try:
        assert PassphraseSource(descriptor=reading).read().raw == b"correct horse"
        assert os.fstat(reading)
    finally:
        os.close(reading)


WEAK = ["", "x", "xxxxxxxxxxxx", "abababababab", "abcabcabcabca", "123412341234", "aaaabbbbcccc", "abcdefghijkl", "98765432109"]


@pytest.mark.parametrize("raw", WEAK)
def test_a_weak_one_protects_no_vault(raw, file, typed):
    file.write_text(raw)
    typed(raw, raw)
    for source in (PassphraseSource(file), PassphraseSource()):
        with refused(Refusal.VAULT_PASSPHRASE, LocalError):
            source.read(new=True)


@pytest.mark.parametrize("raw", WEAK)
def test_a_weak_one_may_be_typed_at_a_vault_that_exists(raw, file):
    file.write_text(raw)
    assert PassphraseSource(file).read().raw == raw.encode()


@pytest.mark.parametrize("raw", ["correct horse", "zwölf Zeichen", "Tr0ub4dor&3!", "温室の鍵は猫と犬と鳥だけ"])
def test_a_strong_one_protects_a_vault(raw):
    Passphrase(raw).require_strong()


@pytest.mark.parametrize("raw", ["x" * 1025])
def test_too_long_is_refused(raw):
    with refused(Refusal.VAULT_PASSPHRASE, LocalError):
        Passphrase(raw)


def test_an_endless_file_is_not_read_to_its_end(file):
    file.write_bytes(b"x" * (1 << 20))
    with refused(Refusal.VAULT_PASSPHRASE, LocalError):
        PassphraseSource(file).read()


def test_a_prompt_asks_once_for_an_old_one(typed):
    asked = typed("correct horse")
    assert PassphraseSource().read().raw == b"correct horse"
    assert len(asked) == 1


def test_a_prompt_asks_twice_for_a_new_one(typed):
    asked = typed("correct horse", "correct horse")
    assert PassphraseSource().read(new=True).raw == b"correct horse"
    assert len(asked) == 2


def test_two_different_new_ones_are_refused(typed):
    typed("correct horse", "correct house")
    with refused(Refusal.VAULT_PASSPHRASE, LocalError):
        PassphraseSource().read(new=True)


def test_without_a_terminal_nobody_is_asked(monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(click.UsageError, match="--passphrase-file"):
        PassphraseSource().read()


def test_two_sources_exclude_each_other(file):
    with pytest.raises(click.UsageError, match="exclude"):
        PassphraseSource(file, 0).read()
