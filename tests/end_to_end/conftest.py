from contextlib import closing

import pytest

from tests.support.broker import Links, running


@pytest.fixture
def broker(tmp_path):
    with running(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def links(broker):
    with closing(Links(broker)) as links:
        yield links
