import signal
import subprocess
import sys

import pytest

from hushfleet.system.signals import stopped_by_signals

TWICE = """
import os, signal, sys
from hushfleet.system.signals import stopped_by_signals
with stopped_by_signals(lambda: print("stopping", flush=True)):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
"""


def handlers():
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_once_and_is_named(number):
    before, calls = handlers(), []
    with stopped_by_signals(lambda: calls.append(handlers())) as caught:
        assert (calls, caught) == ([], [])
        signal.raise_signal(number)

    assert caught == [number]
    assert calls == [before]
    assert handlers() == before


def test_a_second_signal_ends_the_process():
    run = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False)

    assert run.stdout == "stopping\n"
    assert run.returncode == -signal.SIGTERM


def test_after_an_error_signals_mean_what_they_meant():
    before = handlers()
    with pytest.raises(KeyError), stopped_by_signals(lambda: None):
        raise KeyError

    assert handlers() == before
