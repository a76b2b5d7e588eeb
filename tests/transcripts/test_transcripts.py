from pathlib import Path

import pytest

from tests.transcripts.script import FOLDER, replayed

TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_machines_do_what_the_transcript_says(path: Path):
    assert replayed(path.read_text()) == path.read_text(), "python -m tests.transcripts.script writes it anew; review the diff"


def test_there_are_transcripts_of_honest_rounds_refusals_and_restarts():
    assert {"honest_round", "refusals_device", "refusals_member", "refusals_orchestrator", "restarts", "rosters"} <= {
        path.stem for path in TRANSCRIPTS
    }


def test_a_transcript_that_says_something_else_is_noticed():
    text = (FOLDER / "honest_round.txt").read_text()

    assert replayed(text.replace("store KeepRound", "store nothing", 1)) != text.replace("store KeepRound", "store nothing", 1)
