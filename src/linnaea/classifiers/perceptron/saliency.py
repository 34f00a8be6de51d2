"""Which inputs a perceptron's answer rests on: integrated gradients, through its own backward."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from linnaea.classifiers.perceptron.network import Network

# Points on the way from black to the picture; with 32 the sum is the difference of the outputs to about 1 %.
STEPS = 32


class _Nobody:
    """A solver that moves nothing: only the gradient of the inputs is asked for."""

    def descend(self, index: int, delta: np.ndarray, x: np.ndarray, decay: float = 0.0) -> None:
        """Leave the parameters as they are."""


def attributions(
    flat: np.ndarray,
    sizes: Sequence[int],
    activation: str,
    X: np.ndarray,
    columns: np.ndarray,
    *,
    steps: int = STEPS,
) -> np.ndarray:
    """Return what each input adds to the raw output of one class, (n, features), for rows X (n, features).

    Integrated gradients from a black picture (Sundararajan, Taly and Yan 2017, "Axiomatic attribution for
    deep networks"): a row's attributions sum to the output for X less the output for zeros. The output is
    taken less its mean over the classes: softmax does not see a number that is added to all of them.

    flat: the parameters of a Network with these sizes and this activation.
    columns: int (n,), the class of each row.
    steps: int
        Points at which the gradient is taken, in the middle of equal stretches.
    """
    network: Any = Network(flat, sizes, activation=activation, loss="cross_entropy")
    network.layers[0].first = False  # here the gradient of the data is what is asked for
    X = np.asarray(X, flat.dtype)
    classes = sizes[-1]
    wanted = np.full((classes, len(X)), -1 / classes, flat.dtype)
    wanted[columns, np.arange(len(X))] += 1
    total = np.zeros(X.shape, flat.dtype)
    for step in range(steps):
        network.forward((X * flat.dtype.type((step + 0.5) / steps)).T)
        delta = wanted.copy()  # layers write over it
        for layer in reversed(network.layers):
            delta = layer.backward(delta, _Nobody())
        total += delta.T
    return X * total / steps
