import pytest

from tests.support.enrolling import found, new_vault


@pytest.fixture
def vault(tmp_path):
    """An open vault without anybody in it."""
    with new_vault(tmp_path / "vault") as vault:
        yield vault


@pytest.fixture
def fleet(vault):
    """A fleet with an orchestrator, four members and one more device."""
    return found(vault, others=["pi-05"])
