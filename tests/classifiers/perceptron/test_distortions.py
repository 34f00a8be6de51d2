"""Distorted pictures: nothing at strength zero, and bounded, repeatable changes otherwise."""

import numpy as np
import pytest
import scipy.ndimage

from linnaea import MLPClassifier
from linnaea.classifiers.perceptron.distortions import Strengths, distort, side_of
from linnaea.errors import DataError
from linnaea.random_streams import Purpose, stream

STILL = Strengths(elastic=0, rotation=0, scale=0, shear=0, shift=0)


@pytest.fixture
def blobs():
    """150 smooth bright blobs, each well inside its picture of 28 pixels a side."""
    rng = np.random.default_rng(0)
    row, column = np.indices((28, 28))
    centres = rng.uniform(12, 16, (150, 2, 1, 1))
    pictures = np.exp(-((row - centres[:, 0]) ** 2 + (column - centres[:, 1]) ** 2) / 18)
    return pictures.reshape(150, 784).astype(np.float32)


def rng(index=0):
    return stream(0, Purpose.AUGMENT, 1, index)


def test_strength_zero_changes_nothing(blobs):
    assert distort(blobs, rng(), STILL) == pytest.approx(blobs, abs=2e-5)


def test_the_same_stream_gives_the_same_pictures(blobs):
    assert np.array_equal(distort(blobs, rng()), distort(blobs, rng()))
    assert not np.array_equal(distort(blobs, rng()), distort(blobs, rng(1)))


def test_in_place_is_the_same_as_beside(blobs):
    beside = distort(blobs, rng())
    assert distort(blobs, rng(), out=blobs) is blobs
    assert np.array_equal(blobs, beside)


def test_ink_is_roughly_kept_and_never_leaves_the_range(blobs):
    bent = distort(blobs, rng())
    assert bent.min() >= 0
    assert bent.max() <= blobs.max()
    ratio = bent.sum(axis=1) / blobs.sum(axis=1)
    # Two scalings of 12 % change an area by a quarter, the elastic field by about as much again.
    assert ratio.min() > 0.5
    assert ratio.max() < 2
    assert ratio.mean() == pytest.approx(1, abs=0.1)
    assert np.abs(bent - blobs).max() > 0.1


def test_a_shift_alone_is_scipys(blobs):
    # Only shifts: recover each from the first moments, and compare with scipy's own bilinear shift.
    bent = distort(blobs[:5], rng(), Strengths(elastic=0, rotation=0, scale=0, shear=0, shift=2))
    for before, after in zip(blobs[:5].reshape(-1, 28, 28), bent.reshape(-1, 28, 28), strict=True):
        by = np.subtract(scipy.ndimage.center_of_mass(after), scipy.ndimage.center_of_mass(before))
        assert np.abs(by).max() <= 2.05
        assert after == pytest.approx(scipy.ndimage.shift(before, by, order=1), abs=0.02)


def test_the_elastic_field_is_as_smooth_and_as_strong_as_said(blobs):
    # Displace a ramp: the picture's value is then the column that was read.
    ramp = np.tile(np.arange(28, dtype=np.float32), (400, 28, 1)).reshape(400, 784)
    bent = distort(ramp, rng(), Strengths(elastic=36, sigma=5, rotation=0, scale=0, shear=0, shift=0))
    middle = (bent - ramp).reshape(400, 28, 28)[:, 10:18, 10:18]
    # Uniform noise of deviation 36/sqrt(3), smoothed: times 1/(2·sqrt(pi)·5) in the plane.
    assert middle.std() == pytest.approx(36 / np.sqrt(3) / (2 * np.sqrt(np.pi) * 5), rel=0.1)
    assert np.abs(np.diff(middle, axis=2)).max() < 1.5


def test_features_that_make_no_picture_are_refused():
    assert side_of(784) == 28
    network = MLPClassifier(augment="digits", epochs=1)
    with pytest.raises(DataError) as caught:
        network.fit(np.zeros((4, 10), np.float32), [0, 0, 1, 1])
    assert (
        str(caught.value)
        == "augment='digits' bends square grey pictures; 10 features make none. Set augment=None."
    )
