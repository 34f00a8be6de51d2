"""The network: layers in a row over one flat buffer of parameters, and their first weights."""

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np

from linnaea.classifiers.common.samples import Samples
from linnaea.classifiers.perceptron.layers import ACTIVATIONS, Dense, Descends, Dropout
from linnaea.classifiers.perceptron.losses import LOSSES
from linnaea.classifiers.perceptron.solvers import Shapes, views
from linnaea.random_streams import Purpose, stream
from linnaea.settings import MLP, PARAMETERS

# Rows that evaluation takes at once: large enough for BLAS, small enough to stay in the cache.
BLOCK = 1000
# Of first weights that are "normal".
NORMAL_DEVIATION = 0.1


def hidden_sizes(value: Any) -> tuple[int, ...]:
    """Return the sizes of the hidden layers as a tuple; one integer means one layer, () means none."""
    PARAMETERS["hidden_layer_sizes"].check(value, MLP, name="hidden_layer_sizes")
    return tuple(int(size) for size in ((value,) if isinstance(value, Integral) else value))


def shapes_of(sizes: Sequence[int]) -> Shapes:
    """Return the shapes W0, b0, W1, b1 … of a network with these layer sizes, inputs and classes included.

    W is (outputs, inputs), b (outputs, 1).
    """
    return [shape for a, b in pairwise(sizes) for shape in ((b, a), (b, 1))]


def new_parameters(sizes: Sequence[int], init: str, activation: str, seed: int, dtype: Any) -> np.ndarray:
    """Return a flat buffer of first weights; biases are zero."""
    shapes = shapes_of(sizes)
    flat = np.zeros(sum(a * b for a, b in shapes), dtype)
    for layer, weights in enumerate(views(flat, shapes)[::2]):
        last = layer == len(sizes) - 2
        initialise(weights, init, None if last else activation, seed, layer)
    return flat


def initialise(weights: np.ndarray, rule: str, activation: str | None, seed: int, layer: int) -> None:
    """Fill weights (outputs, inputs) in place with normal numbers of mean 0; biases start at 0 elsewhere.

    rule: str
        "normal": deviation 0.1. "xavier": sqrt(2 / (inputs + outputs)) (Glorot and Bengio 2010).
        "he": sqrt(2 / inputs) (He et al. 2015). "auto": he before a ReLU, xavier elsewhere.
    activation: str or None
        What follows the layer; None for the output layer.
    """
    outputs, inputs = weights.shape
    if rule == "auto":
        rule = "he" if activation == "relu" else "xavier"
    deviation = {
        "normal": NORMAL_DEVIATION,
        "xavier": math.sqrt(2 / (inputs + outputs)),
        "he": math.sqrt(2 / inputs),
    }[rule]
    # Drawn as float64 always: float32 and float64 networks start from the same numbers.
    weights[...] = deviation * stream(seed, Purpose.WEIGHTS, 0, layer).standard_normal(weights.shape)


class Network:
    """Dense layers with an activation and perhaps dropout between them, and a loss at the end.

    flat: ndarray, (parameters,)
        Shared with whoever made it: a solver that moves it moves this network.
    sizes: sequence of int
        inputs, hidden units …, classes.
    """

    def __init__(
        self,
        flat: np.ndarray,
        sizes: Sequence[int],
        *,
        activation: str,
        loss: str,
        l2: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        self.parameters = views(flat, shapes_of(sizes))
        self.loss: Any = LOSSES[loss](flat.dtype)
        self.layers: list[Any] = [Dropout(input_dropout, flat.dtype)] if input_dropout else []
        last = len(sizes) - 2
        for layer in range(last + 1):
            weights, bias = self.parameters[2 * layer : 2 * layer + 2]
            self.layers.append(Dense(weights, bias, 2 * layer, l2=l2, first=layer == 0))
            if layer < last:
                self.layers.append(ACTIVATIONS[activation]())
                self.layers += [Dropout(dropout, flat.dtype)] if dropout else []

    def forward(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the raw outputs (classes, n) of columns x (features, n).

        rng is the stream of dropout; None, for evaluation, drops nothing.
        """
        for layer in self.layers:
            x = layer.forward(x, rng)
        return x

    def backward(self, delta: np.ndarray, solver: Descends) -> None:
        """Carry the gradient of the raw outputs back; the solver takes each layer's as it is found."""
        for layer in reversed(self.layers):
            delta = layer.backward(delta, solver)
            if delta is None:  # the first dense layer; below it there is only data
                return

    def limit_norms(self, limit: float) -> None:
        """Scale down, in place, each hidden unit's incoming weights to the norm `limit` (Srebro 2005)."""
        for weights in self.parameters[:-2:2]:
            norms = np.sqrt(np.einsum("ij,ij->i", weights, weights))
            if (norms > limit).any():
                # A hair below one, so that rounding never leaves a norm above the limit.
                weights *= np.minimum(limit * (1 - 1e-6) / np.maximum(norms, limit * 1e-6), 1)[:, None]

    def outputs(self, X: np.ndarray) -> np.ndarray:
        """Return the raw outputs of all rows of X (n, features) as columns, (classes, n), block by block."""
        result = np.empty((len(self.parameters[-1]), len(X)), self.parameters[-1].dtype)
        for start in range(0, len(X), BLOCK):
            result[:, start : start + BLOCK] = self.forward(X[start : start + BLOCK].T)
        return result

    def last_hidden(self, X: np.ndarray) -> np.ndarray:
        """Return what the last dense layer sees of all rows of X, float32 (n, width), block by block."""
        result = np.empty((len(X), self.parameters[-2].shape[1]), np.float32)
        for start in range(0, len(X), BLOCK):
            x = X[start : start + BLOCK].T
            for layer in self.layers[:-1]:
                x = layer.forward(x)
            result[start : start + BLOCK] = x.T
        return result

    def evaluate(self, samples: Samples) -> tuple[float, float]:
        """Return the mean loss and the accuracy over the samples, without dropout."""
        loss, right = 0.0, 0
        for start in range(0, len(samples), BLOCK):
            outputs = self.forward(samples.block(start, start + BLOCK).T)
            targets = samples.targets[start : start + BLOCK]
            loss += float(self.loss.losses(outputs, targets).sum(dtype=np.float64))
            right += int((outputs.argmax(axis=0) == targets).sum())
        return loss / len(samples), right / len(samples)
