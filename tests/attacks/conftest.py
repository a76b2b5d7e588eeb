"""The fleet that most attacks are played against."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet.attacked import AttackedFleet, attack_fleet, staged


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AttackedFleet]:
    with staged(attack_fleet(), tmp_path, monkeypatch) as found:
        yield found
