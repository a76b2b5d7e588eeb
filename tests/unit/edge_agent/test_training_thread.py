import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_agent.trainers import SameThread, TrainingThread

ROOT = Path(__file__).parents[3]


def test_one_task_runs_after_the_other_in_one_thread():
    executor, order = TrainingThread(), []
    futures = [executor.submit(lambda number: order.append((number, threading.get_ident())), number) for number in range(5)]
    for future in futures:
        future.result(10)

    assert [number for number, _ in order] == list(range(5))
    assert len({thread for _, thread in order}) == 1
    assert order[0][1] != threading.get_ident()


def test_what_a_task_raises_is_its_result_and_the_next_one_runs():
    executor = TrainingThread()

    with pytest.raises(ZeroDivisionError):
        executor.submit(lambda: 1 / 0).result(10)
    assert executor.submit(lambda: 3).result(10) == 3


def test_a_task_that_waits_can_be_cancelled():
    executor, go = TrainingThread(), threading.Event()
    running = executor.submit(go.wait, 10)
    waiting = executor.submit(pytest.fail)

    assert waiting.cancel()
    go.set()
    assert running.result(10)
    assert executor.submit(lambda: "next").result(10) == "next"


def test_it_runs_behind_everything_else():
    own = os.getpriority(os.PRIO_PROCESS, 0)

    assert TrainingThread(19).submit(os.getpriority, os.PRIO_PROCESS, 0).result(10) == 19
    assert TrainingThread(0).submit(os.getpriority, os.PRIO_PROCESS, 0).result(10) == own
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_a_process_ends_while_a_task_runs():
    code = "import threading, edge_agent.trainers as w\nstarted = threading.Event()\n"
    code += "w.TrainingThread().submit(lambda: (started.set(), threading.Event().wait()))\nstarted.wait()"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0


def test_the_callers_own_thread_has_done_the_task_when_submit_returns():
    future = SameThread().submit(threading.get_ident)
    broken = SameThread().submit(lambda: 1 / 0)

    assert future.done()
    assert future.result() == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        broken.result()
