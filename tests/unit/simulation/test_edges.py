import numpy as np
import pytest
from sklearn.datasets import load_digits

from simulation.edges import edges


def histogram(picture):
    """Cells down, cells across, directions."""
    return edges(picture.reshape(1, 64)).reshape(4, 4, 4).transpose(1, 2, 0)


def stripes(rows, columns):
    """Bright where rows * r + columns * c has a small remainder by 4."""
    r, c = np.indices((8, 8))
    return ((rows * r + columns * c) % 4 < 2).astype(float)


@pytest.mark.parametrize(("rows", "columns", "direction"), [(0, 1, 0), (1, 1, 1), (1, 0, 2), (-1, 1, 3)])
def test_stripes_are_strongest_in_their_own_direction(rows, columns, direction):
    inner = histogram(stripes(rows, columns))[1:3, 1:3]
    assert (inner.argmax(axis=2) == direction).all()


def test_features_have_mean_zero_and_norm_four_whatever_the_brightness():
    pixels = load_digits().data[:20]
    features = edges(pixels)
    assert features.shape == (20, 64)
    np.testing.assert_allclose(features.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 4)
    np.testing.assert_allclose(edges(pixels / 16), features)


def test_a_picture_is_prepared_alone():
    pixels = load_digits().data[:20]
    np.testing.assert_allclose(edges(pixels[3:4])[0], edges(pixels)[3], rtol=0, atol=1e-12)


def test_an_edge_stays_in_its_corner():
    picture = np.zeros((8, 8))
    picture[:2, :2] = 1.0
    cells = histogram(picture)
    assert cells[0, 0].max() > 0
    assert np.ptp(cells[2:, 2:]) == 0


def test_a_blank_picture_gives_zeros():
    assert not np.any(edges(np.zeros((2, 64))))


def test_integers_are_welcome():
    picture = stripes(0, 1)
    np.testing.assert_array_equal(edges(picture.reshape(1, 64)), edges(picture.reshape(1, 64).astype(np.uint8)))
