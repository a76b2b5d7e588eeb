import numpy as np
import pytest

from hushfleet.errors import DataError, PeerError, Refusal
from hushfleet.rounds.tasks.train import approve_all
from hushfleet.training import Data, GlobalModel
from models import catalogue
from orchestrator.job import file as job_file
from orchestrator.job.file import EvaluationTable
from orchestrator.job.holdout import Holdout, approval_of, open_holdout
from tests.support.jobs import write_job
from tests.support.refusals import refused

FEATURES = np.array([[1.0], [2.0], [-1.0], [-2.0]])


def classes(sign: float, version: int = 1) -> GlobalModel:
    """Of `softmax:1x2`: gives class 1 to features of this sign."""
    return GlobalModel(version, np.array([0, sign, 0, 0], dtype=np.float32))


def half() -> GlobalModel:
    """Always class 1: right for half of the rows."""
    return GlobalModel(1, np.array([0, 0, 0, 1], dtype=np.float32))


@pytest.fixture
def holdout():
    return Holdout(catalogue.trainer("softmax:1x2"), Data(FEATURES, np.array([1, 1, 0, 0])))


def test_accuracy_and_loss(holdout):
    good, bad = holdout.score(classes(5.0)), holdout.score(classes(-5.0))

    assert (good.accuracy, bad.accuracy, holdout.score(half()).accuracy) == (1.0, 0.0, 0.5)
    assert good.loss < bad.loss
    assert len(holdout) == 4


def test_a_model_is_scored_once(holdout, monkeypatch):
    calls, score = [], catalogue.score
    monkeypatch.setattr(catalogue, "score", lambda *args: (calls.append(args), score(*args))[1])

    assert holdout.score(classes(1.0)) == holdout.score(classes(1.0, version=9))
    assert len(calls) == 1


def test_rows_that_the_model_cannot_take_are_refused():
    with refused(Refusal.DATA_LABEL, DataError):
        Holdout(catalogue.trainer("softmax:1x2"), Data(FEATURES, np.array([0, 1, 2, 0])))


class TestGate:
    def test_a_worse_model_is_refused(self, holdout):
        with refused(Refusal.HOLDOUT_GATE, PeerError):
            holdout.gate(0.05)(classes(5.0), half())

    def test_a_model_worse_by_no_more_than_the_margin_passes(self, holdout):
        holdout.gate(0.5)(classes(5.0), half())

    def test_a_better_model_passes(self, holdout):
        holdout.gate(0.0)(half(), classes(5.0))

    def test_where_no_answer_is_right_the_loss_counts(self):
        holdout = Holdout(catalogue.trainer("mlp:1x1:mse"), Data(FEATURES, FEATURES[:, 0]))
        exact, off = (GlobalModel(1, np.array([slope, 0.5], dtype=np.float32)) for slope in (1.0, 2.0))

        holdout.gate(0.0)(off, exact)
        with refused(Refusal.HOLDOUT_GATE, PeerError):
            holdout.gate(0.5)(exact, off)


def test_a_jobs_gate_approves_its_models(tmp_path, holdout):
    without, _ = job_file.read(write_job(tmp_path))
    gated, _ = job_file.read(write_job(tmp_path, path='path = "holdout.npz"\ngate = 0.05'))

    assert approval_of(without, holdout) is approve_all
    assert approval_of(gated, None) is approve_all
    with refused(Refusal.HOLDOUT_GATE, PeerError):
        approval_of(gated, holdout)(classes(5.0), half())


class TestFiles:
    def opened(self, folder, text, **changes: object):
        path = folder / "hold.csv"
        path.write_text(text)
        return open_holdout(EvaluationTable(path, **changes), catalogue.trainer("softmax:2x2"))

    def test_a_csv_file_is_read_by_its_columns_as_on_a_device(self, tmp_path):
        text = "kind,b,a\n1,0,1\n0,0,-1\n"
        model = GlobalModel(1, np.array([-9, 9, 0, 0, 0, 0], dtype=np.float32))  # the first feature decides

        assert self.opened(tmp_path, text, features=("a", "b"), labels="kind").score(model).accuracy == 1.0
        assert self.opened(tmp_path, text, features=("b", "a"), labels="kind").score(model).accuracy == 0.5
        assert len(self.opened(tmp_path, text.replace(",", ";"), labels="kind", delimiter=";")) == 2

    @pytest.mark.parametrize(
        ("text", "reason", "words"),
        [
            ("a,b,kind\n1,2,0\n", Refusal.DATA_SOURCE, "the first line has a, b, kind"),
            ("a;b;y\n1;2;0\n", Refusal.DATA_SOURCE, "Under [evaluation] write: delimiter"),
            ("a,b,y\n1,2,0\n1,x,0\n", Refusal.DATA_VALUE, "line 3"),
            ("a,b,y\n", Refusal.DATA_EMPTY, "holds no rows"),
        ],
    )
    def test_a_csv_file_that_does_not_fit_says_what_to_do_and_nothing_of_pickles(self, tmp_path, text, reason, words):
        said = []
        with refused(reason, DataError):
            try:
                self.opened(tmp_path, text)
            except DataError as error:
                said.append(str(error))
                raise
        assert words in said[0]
        assert "pickle" not in said[0]
