"""Layers, losses and first weights: facts that hold for any numbers."""

import numpy as np
import pytest
import scipy.special
import torch

from linnaea.classifiers.perceptron.layers import Dropout, sigmoid
from linnaea.classifiers.perceptron.losses import CrossEntropy, SquaredError
from linnaea.classifiers.perceptron.network import Network, initialise, new_parameters
from linnaea.classifiers.perceptron.products import accumulate, add_product, product_back


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "inputs", "outputs"), [(1, 1, 1), (1, 5, 3), (7, 1, 4), (7, 5, 1), (7, 5, 3)])
def test_products_are_written_in_place(dtype, n, inputs, outputs):
    rng = np.random.default_rng(0)
    x, delta, w = (rng.normal(size=s).astype(dtype) for s in ((inputs, n), (outputs, n), (outputs, inputs)))
    near = {"rel": 1e-5, "abs": 1e-5}
    below = np.full((inputs, n), np.nan, dtype)
    assert product_back(w, delta, below) is below
    assert below == pytest.approx(w.T @ delta, **near)
    # Columns in memory of their own, and rows of pictures seen as columns.
    for columns in (x, np.asfortranarray(x)):
        y, into = delta.copy(), w.copy()
        assert add_product(w, columns, y) is y
        assert y == pytest.approx(delta + w @ x, **near)
        accumulate(delta, columns, into, -0.5, 0.25)
        assert into == pytest.approx(0.25 * w - 0.5 * delta @ x.T, **near)
        # keep = 0 must not read what stood there: not a number times zero is not zero.
        into[...] = np.nan
        accumulate(delta, columns, into, 1.0, 0.0)
        assert into == pytest.approx(delta @ x.T, **near)


def test_sigmoid_is_scipys_and_never_overflows():
    x = np.array([-1e4, -50.0, -1.0, 0.0, 2.0, 50.0, 1e4])
    assert sigmoid(x) == pytest.approx(scipy.special.expit(x), abs=1e-15)
    assert sigmoid(x.astype(np.float32)) == pytest.approx(scipy.special.expit(x), abs=1e-7)


def test_dropout_keeps_the_mean_and_drops_the_asked_share():
    layer = Dropout(0.3, np.dtype(np.float32))
    x = np.ones((1000, 100), np.float32)
    y = layer.forward(x, np.random.default_rng(0))
    assert np.unique(y).tolist() == pytest.approx([0, 1 / 0.7])
    # 100,000 draws: four standard deviations are 0.006.
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.006)
    delta = layer.backward(np.full_like(x, 2), None)
    assert np.array_equal(delta, 2 * y)
    assert layer.forward(x) is x


def test_dropout_of_rows_seen_as_columns():
    x = np.ones((5, 300), np.float32).T
    y = Dropout(0.5, np.dtype(np.float32)).forward(x, np.random.default_rng(0))
    assert y.shape == x.shape
    assert not y.flags.c_contiguous
    assert np.unique(y).tolist() == [0, 2]


def test_cross_entropy_is_finite_for_huge_logits():
    loss = CrossEntropy(np.dtype(np.float32))
    logits = np.array([[1000, 0, -1000], [-1000, 0, 1000]], np.float32).T
    assert loss.losses(logits, np.array([0, 0])).tolist() == [0, 2000]
    assert loss.probabilities(logits).T.tolist() == [[1, 0, 0], [0, 0, 1]]
    theirs = torch.nn.functional.cross_entropy(torch.tensor(logits.T), torch.tensor([0, 0]), reduction="none")
    assert loss.losses(logits, np.array([0, 0])).tolist() == theirs.tolist()


@pytest.mark.parametrize("kind", [CrossEntropy, SquaredError])
def test_probabilities_sum_to_one_whatever_the_outputs(kind):
    logits = np.random.default_rng(0).normal(0, 30, (7, 500)).astype(np.float32)
    logits[:, 0] = -1000
    logits[:, 1] = 1000
    p = kind(np.dtype(np.float32)).probabilities(logits)
    assert (p >= 0).all()
    assert p.sum(axis=0) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", [CrossEntropy, SquaredError])
def test_log_odds_belong_to_the_probabilities(kind):
    logits = np.random.default_rng(0).normal(0, 3, (2, 50))
    p = kind(np.dtype(np.float64)).probabilities(logits)
    assert kind(np.dtype(np.float64)).log_odds(logits) == pytest.approx(np.log(p[1] / p[0]))


@pytest.mark.parametrize(
    ("rule", "activation", "deviation"),
    [
        ("normal", "relu", 0.1),
        ("xavier", "relu", np.sqrt(2 / 500)),
        ("he", "tanh", np.sqrt(2 / 300)),
        ("auto", "relu", np.sqrt(2 / 300)),
        ("auto", "sigmoid", np.sqrt(2 / 500)),
        ("auto", None, np.sqrt(2 / 500)),
    ],
)
def test_first_weights_have_the_published_deviation(rule, activation, deviation):
    weights = np.empty((200, 300))
    initialise(weights, rule, activation, 0, 0)
    # 60,000 draws: the deviation is known to within 4 · 1/sqrt(120,000) = 1.2 %.
    assert weights.std() == pytest.approx(deviation, rel=0.012)
    assert abs(weights.mean()) < 4 * deviation / np.sqrt(60_000)


def test_first_weights_are_the_same_in_both_precisions():
    single = new_parameters((5, 4, 3), "auto", "relu", 7, np.float32)
    assert np.array_equal(single, new_parameters((5, 4, 3), "auto", "relu", 7, np.float64).astype(np.float32))


def test_limit_norms():
    flat = new_parameters((20, 10, 8, 3), "normal", "relu", 0, np.float32) * 10
    network = Network(flat, (20, 10, 8, 3), activation="relu", loss="cross_entropy")
    before = [w.copy() for w in network.parameters]
    network.limit_norms(3.5)
    for old, new in zip(before[:-2:2], network.parameters[:-2:2], strict=True):
        norms = np.linalg.norm(old.astype(np.float64), axis=1)
        assert (np.linalg.norm(new.astype(np.float64), axis=1) <= 3.5).all()
        assert (norms > 3.5).any()
        assert (norms < 3.5).any()
        # The direction stays; a unit within the limit stays as it is.
        assert np.array_equal(new[norms < 3.5], old[norms < 3.5])
        assert new == pytest.approx(old * np.minimum(3.5 / norms, 1)[:, None], rel=1e-5)
    assert np.array_equal(before[-2], network.parameters[-2])
