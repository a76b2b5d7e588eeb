from importlib.metadata import EntryPoint

import numpy as np
import pytest

from edge_agent import data as sources
from edge_agent.config import DataSettings
from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data
from tests.support.refusals import refused
from tests.support.rows import read_whole


@pytest.fixture
def plug_in(monkeypatch):
    """Pretend that a package registers this module's `thermometer` under a name."""

    def register(name, value="thermometer"):
        point = EntryPoint(name, f"{__name__}:{value}", sources.ENTRY_POINT_GROUP)
        wanted = (sources.ENTRY_POINT_GROUP, point.name)
        monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.attr])
        monkeypatch.setattr(sources, "entry_points", lambda group, name=point.name: [point] if (group, name) == wanted else [])

    return register


def thermometer(settings):
    return Data(np.full((2, 1), settings.options["degrees"]), np.array([0, 1]))


def broken(_):
    return np.ones(3)


def test_the_files_of_the_package_are_the_sources():
    assert sources.sources() == ("csv", "npz")


def test_a_plug_in_is_a_source_with_options_of_its_own(plug_in):
    plug_in("thermometer")

    data = read_whole(DataSettings("thermometer", options={"degrees": 21.5}))

    assert sources.sources() == ("csv", "npz", "thermometer")
    assert data.features.max() == 21.5


def test_a_plug_in_cannot_take_the_name_of_ours(plug_in):
    plug_in("npz")

    assert sources.source("npz").__module__ == "edge_agent.data.npz"


@pytest.mark.parametrize("name", ["parquet", "", "os", "__init__", "../csv"])
def test_a_source_that_nobody_brings(name):
    with refused(Refusal.DATA_SOURCE, DataError):
        sources.source(name)


def test_a_plug_in_that_returns_something_else(plug_in):
    plug_in("broken", "broken")

    with refused(Refusal.DATA_SOURCE, DataError):
        read_whole(DataSettings("broken"))


def test_no_data_configured():
    with refused(Refusal.DATA_SOURCE, DataError):
        read_whole(None)
