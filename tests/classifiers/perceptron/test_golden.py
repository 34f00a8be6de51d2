"""Networks small enough to work by hand."""

import numpy as np
import pytest

from linnaea import MLPClassifier
from linnaea.classifiers.perceptron.network import Network, shapes_of
from linnaea.classifiers.perceptron.solvers import SGD

# The worked example that many courses use (Mazur 2015, "A step by step backpropagation example"):
# two inputs, two sigmoid units, two sigmoid outputs; W0, b0, W1, b1 in the order of the flat buffer.
MAZUR = [0.15, 0.20, 0.25, 0.30, 0.35, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.60]


def test_forward_gives_the_published_outputs():
    network = Network(np.array(MAZUR), (2, 2, 2), activation="sigmoid", loss="squared_error")
    z = network.forward(np.array([[0.05], [0.10]]))
    # Published: out_o1 = 0.75136507, out_o2 = 0.772928465.
    assert 1 / (1 + np.exp(-z)) == pytest.approx(np.array([[0.75136507], [0.772928465]]), abs=1e-8)


def test_one_step_by_hand():
    flat = np.array(MAZUR)
    network = Network(flat, (2, 2, 2), activation="sigmoid", loss="squared_error")
    solver = SGD(flat, shapes_of((2, 2, 2)))
    solver.rate = 0.5
    x, targets = np.array([[0.05], [0.10]]), np.array([1])
    outputs = network.forward(x)
    # Targets (0, 1): loss = (0.75136507² + 0.227071535²) / 2 = (0.564549 + 0.051561) / 2
    assert network.loss.losses(outputs, targets)[0] == pytest.approx(0.308055, abs=1e-6)
    network.backward(network.loss.delta(outputs, targets), solver)
    w = flat
    # delta of the outputs, (a - t)·a·(1 - a), with a·(1 - a) = 0.186815602 and 0.175510053 as published:
    #   0.75136507 · 0.186815602 = 0.140366718;  -0.227071535 · 0.175510053 = -0.039853337
    # hidden outputs (published): 0.593269992, 0.596884378
    assert w[6] == pytest.approx(0.40 - 0.5 * 0.140366718 * 0.593269992, abs=1e-8)
    assert w[7] == pytest.approx(0.45 - 0.5 * 0.140366718 * 0.596884378, abs=1e-8)
    assert w[8] == pytest.approx(0.50 + 0.5 * 0.039853337 * 0.593269992, abs=1e-8)
    assert w[9] == pytest.approx(0.55 + 0.5 * 0.039853337 * 0.596884378, abs=1e-8)
    assert w[10:] == pytest.approx(np.array([0.60 - 0.070183359, 0.60 + 0.019926669]), abs=1e-8)
    # delta of the hidden units, with the weights before the step and h·(1 - h) = 0.241300709, 0.240613417:
    #   (0.140366718 · 0.40 - 0.039853337 · 0.50) · 0.241300709 = 0.008739916
    #   (0.140366718 · 0.45 - 0.039853337 · 0.55) · 0.240613417 = 0.009924266
    assert w[0] == pytest.approx(0.15 - 0.5 * 0.008739916 * 0.05, abs=1e-8)
    assert w[1] == pytest.approx(0.20 - 0.5 * 0.008739916 * 0.10, abs=1e-8)
    assert w[2] == pytest.approx(0.25 - 0.5 * 0.009924266 * 0.05, abs=1e-8)
    assert w[3] == pytest.approx(0.30 - 0.5 * 0.009924266 * 0.10, abs=1e-8)
    assert w[4:6] == pytest.approx(np.array([0.35 - 0.004369958, 0.35 - 0.004962133]), abs=1e-8)


def test_cross_entropy_by_hand():
    # No hidden layer, logits (0, log 2, log 5): probabilities 1/8, 2/8, 5/8; target 1: loss log 4.
    flat = np.log([1.0, 2.0, 5.0, 1.0, 1.0, 1.0])
    network = Network(flat, (1, 3), activation="relu", loss="cross_entropy")
    outputs, targets = network.forward(np.array([[1.0]])), np.array([1])
    assert network.loss.probabilities(outputs) == pytest.approx(np.array([[0.125], [0.25], [0.625]]))
    assert network.loss.losses(outputs, targets) == pytest.approx(np.log(4))
    assert network.loss.delta(outputs, targets) == pytest.approx(np.array([[0.125], [-0.75], [0.625]]))


def test_an_untrained_network_without_weights_knows_nothing():
    X, y = np.zeros((4, 3), np.float32), ["a", "b", "c", "c"]
    network = MLPClassifier((2,), epochs=0, random_state=0).fit(X, y)
    # All inputs zero, biases zero: logits zero, loss log 3, every class 1/3.
    assert network.history_[0].train_loss == pytest.approx(np.log(3))
    assert network.predict_proba(X) == pytest.approx(np.full((4, 3), 1 / 3))
