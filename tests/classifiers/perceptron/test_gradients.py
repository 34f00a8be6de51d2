"""Backpropagation against central differences, and against torch."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from linnaea import check_gradients
from linnaea.classifiers.perceptron import gradients
from linnaea.classifiers.perceptron.layers import Sigmoid
from linnaea.classifiers.perceptron.network import Network, new_parameters, shapes_of
from linnaea.classifiers.perceptron.solvers import Gradients, views
from linnaea.errors import SettingError


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("hidden", [(), (3,), (5, 4), (4, 5, 6)])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_backpropagation_agrees_with_central_differences(activation, loss, hidden, l2):
    check = check_gradients(hidden, activation=activation, loss=loss, l2=l2)
    assert check.passed, check
    sizes = (6, *hidden, 3)
    assert check.parameters == sum(a * b + b for a, b in pairwise(sizes))


def test_a_wrong_formula_is_found_and_named(monkeypatch):
    def halved(self, delta, solver):
        return delta * self._y * (1 - self._y) / 2

    monkeypatch.setattr(Sigmoid, "backward", halved)
    check = check_gradients((5, 4), activation="sigmoid")
    assert not check.passed
    assert check.largest_error > 0.1
    assert check.parameter.startswith(("W0", "b0"))


def test_positions_have_names():
    shapes = shapes_of((3, 2, 4))  # W0 (2, 3), b0 (2), W1 (4, 2), b1 (4)
    names = [gradients._name(position, shapes) for position in (0, 5, 6, 7, 8, 15, 16, 19)]
    assert names == ["W0[0, 0]", "W0[1, 2]", "b0[0]", "b0[1]", "W1[0, 0]", "W1[3, 1]", "b1[0]", "b1[3]"]


def test_unknown_activation_is_refused():
    with pytest.raises(SettingError) as caught:
        check_gradients(activation="sigmoyd")
    assert str(caught.value) == "activation 'sigmoyd' is not known. Did you mean 'sigmoid'?"


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_outputs_and_gradients_are_torchs(activation, loss):
    sizes = (7, 6, 5, 4)
    flat = new_parameters(sizes, "he", activation, 1, np.float64)
    flat += np.random.default_rng(0).normal(0, 0.1, flat.shape)
    x = np.random.default_rng(1).normal(size=(9, 7))
    targets = np.random.default_rng(2).integers(4, size=9)
    network = Network(flat, sizes, activation=activation, loss=loss)
    outputs = network.forward(x.T).copy()
    solver = Gradients(flat, shapes_of(sizes))
    network.backward(network.loss.delta(outputs, targets), solver)

    parameters = [torch.tensor(p, requires_grad=True) for p in views(flat, shapes_of(sizes))]
    h = torch.tensor(x)
    for i in range(0, 6, 2):
        h = h @ parameters[i].T + parameters[i + 1][:, 0]
        h = getattr(torch, activation)(h) if i < 4 else h
    assert outputs == pytest.approx(h.detach().numpy().T, abs=1e-12)
    if loss == "cross_entropy":
        objective = torch.nn.functional.cross_entropy(h, torch.tensor(targets))
    else:
        one_hot = torch.nn.functional.one_hot(torch.tensor(targets), 4)
        objective = 0.5 * (torch.sigmoid(h) - one_hot).square().sum(1).mean()
    assert network.loss.losses(outputs, targets).mean() == pytest.approx(objective.item(), abs=1e-12)
    objective.backward()
    for ours, theirs in zip(solver.gradients, parameters, strict=True):
        assert ours == pytest.approx(theirs.grad.numpy(), abs=1e-12)
