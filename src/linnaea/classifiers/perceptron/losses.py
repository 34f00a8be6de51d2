"""Losses: each owns the function that turns the network's raw outputs into probabilities.

Outputs are columns, (classes, n); targets are class numbers (n,), not one-hot columns. Losses are per
picture, so that a mean over any part is exact whatever the blocks were.
"""

import numpy as np

from linnaea.classifiers.perceptron.layers import Workspace, sigmoid


class CrossEntropy:
    """-log softmax(logits)[target], in nats (Bishop 2006, 4.3.4)."""

    def __init__(self, dtype: np.dtype) -> None:
        self._delta = Workspace(dtype)

    def losses(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of each picture, (n,); log-sum-exp keeps it finite for finite logits."""
        peak = logits.max(axis=0)
        log_sum = np.log(np.exp(logits - peak).sum(axis=0)) + peak
        return log_sum - logits[targets, np.arange(len(targets))]

    def probabilities(self, logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Return softmax(logits / temperature), (classes, n), columns summing to one."""
        return _softmax(logits / temperature)

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """Return log(p1 / p0) for two classes, (n,)."""
        return logits[1] - logits[0]

    def delta(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to the logits, softmax - one-hot, (classes, n)."""
        delta = _softmax(logits, out=self._delta(*logits.shape))
        return np.subtract(delta, _one_hot(logits, targets), out=delta)


class SquaredError:
    """½ Σ (a - one-hot)² over sigmoid outputs a, as in the textbook (Nielsen 2015, chapter 1)."""

    def __init__(self, dtype: np.dtype) -> None:
        self._delta, self._slope = Workspace(dtype), Workspace(dtype)

    def losses(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of each picture, (n,)."""
        error = sigmoid(logits) - _one_hot(logits, targets)
        return np.einsum("ij,ij->j", error, error) / 2

    def probabilities(self, logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Return the sigmoid outputs divided by their sum, which is not one by itself, (classes, n).

        Another temperature than 1 divides the logarithms of these shares, and they are shared out anew.
        """
        # By way of log sigmoid, in float64: the ratios stay right where every sigmoid rounds to zero.
        return _softmax(-np.logaddexp(0, -logits.astype(np.float64)) / temperature)

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """Return log(p1 / p0) for two classes, (n,): the ratio of the sigmoids."""
        z = logits.astype(np.float64)
        return np.logaddexp(0, -z[0]) - np.logaddexp(0, -z[1])

    def delta(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to the raw outputs, (a - one-hot) · a · (1 - a), (classes, n)."""
        delta = sigmoid(logits, out=self._delta(*logits.shape))
        slope = np.subtract(1, delta, out=self._slope(*logits.shape))
        np.multiply(slope, delta, out=slope)
        np.subtract(delta, _one_hot(logits, targets), out=delta)
        return np.multiply(delta, slope, out=delta)


def _one_hot(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return whether each class is the target, (classes, n), bool."""
    return np.equal(np.arange(len(logits))[:, None], targets)


def _softmax(logits: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    # The largest logit is taken off first: exp never sees a positive number.
    p = np.subtract(logits, np.maximum.reduce(logits, axis=0), out=out)
    np.exp(p, out=p)
    return np.divide(p, np.add.reduce(p, axis=0), out=p)


LOSSES = {"cross_entropy": CrossEntropy, "squared_error": SquaredError}
