"""The fleet that most attacks are played against."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attacks import Stage, attack_world, staged


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged(attack_world(), tmp_path, monkeypatch) as found:
        yield found
