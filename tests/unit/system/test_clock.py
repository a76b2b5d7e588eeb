import time

from hushfleet.system.clock import now_ms


def test_it_is_the_monotonic_clock_in_whole_milliseconds(monkeypatch):
    monkeypatch.setattr(time, "monotonic_ns", lambda: 12_345_999_999)

    assert now_ms() == 12_345
