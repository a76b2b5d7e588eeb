import numpy as np
import pytest

from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data, require_classes, require_features, require_targets
from tests.support.refusals import refused
from tests.support.trainer_contract import naming_row


def test_rows_are_kept_as_read_only_views_of_their_own_type():
    features, targets = np.ones((3, 2), dtype=np.float32), np.arange(3)
    data = Data(features, targets)
    assert len(data) == 3
    assert data.features.dtype == np.float32
    assert np.shares_memory(data.features, features)
    assert features.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        data.features[0, 0] = 7


def test_its_repr_tells_not_even_the_number_of_rows():
    assert repr(Data(np.ones((3, 2)), np.ones(3))) == "Data(private)"


def test_no_rows_are_refused():
    with refused(Refusal.DATA_EMPTY, DataError), naming_row(None):
        Data(np.ones((0, 2)), np.ones(0))


@pytest.mark.parametrize("features", [np.float64(1.0), [["a"], ["b"]], np.array([None, None]), np.ones(2, dtype=complex)])
def test_what_is_not_rows_of_numbers_is_refused(features):
    with refused(Refusal.DATA_SHAPE, DataError):
        Data(features, np.ones(2))


def test_targets_of_three_axes_are_refused():
    with refused(Refusal.DATA_SHAPE, DataError):
        Data(np.ones((2, 1)), np.ones((2, 1, 1)))


@pytest.mark.parametrize(("features", "targets"), [(3, 5), (5, 3), (3, 0)])
def test_unequal_counts_name_the_first_row_without_a_partner(features, targets):
    with refused(Refusal.DATA_SHAPE, DataError), naming_row(min(features, targets)):
        Data(np.ones((features, 1)), np.ones(targets))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_row_that_is_not_finite_is_named_in_features_and_in_targets(value):
    features, targets = np.ones((4, 2, 2)), np.ones((4, 2))
    features[2:, 1, 0] = value
    with refused(Refusal.DATA_NOT_FINITE, DataError), naming_row(2):
        Data(features, targets)
    targets[1:, 1] = value
    with refused(Refusal.DATA_NOT_FINITE, DataError), naming_row(1):
        Data(np.ones((4, 2, 2)), targets)


def test_feature_shapes():
    require_features(np.ones((2, 3, 4)), (3, 4))
    for wrong in ((3,), (4, 3), ()):
        with refused(Refusal.DATA_SHAPE, DataError):
            require_features(np.ones((2, 3, 4)), wrong)


def test_target_shapes():
    require_targets(np.ones((5, 2)), 2)
    require_targets(np.ones((5, 1)), 1)
    require_targets(np.ones(5), 1)
    for targets, width in ((np.ones(5), 2), (np.ones((5, 2)), 1), (np.ones((5, 2)), 3)):
        with refused(Refusal.DATA_SHAPE, DataError):
            require_targets(targets, width)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32, np.float64])
def test_class_labels_are_whole_numbers_below_the_number_of_classes(kind):
    require_classes(np.array([0, 1, 2], dtype=kind), 3)
    with refused(Refusal.DATA_LABEL, DataError), naming_row(1):
        require_classes(np.array([0, 3, 5], dtype=kind), 3)


@pytest.mark.parametrize("label", [-1, 1.5])
def test_negative_and_broken_labels_are_refused(label):
    with refused(Refusal.DATA_LABEL, DataError), naming_row(2):
        require_classes(np.array([0, 1, label]), 3)


def test_class_labels_have_one_axis():
    with refused(Refusal.DATA_SHAPE, DataError):
        require_classes(np.zeros((3, 1)), 3)


def test_naming_row_notices_another_row():
    with pytest.raises(AssertionError, match="row 1 was named instead of 2"), naming_row(2):
        require_classes(np.array([0, 3]), 3)
