"""Losses: each owns the function that turns the network's raw outputs into probabilities.

Targets are class numbers (n,), not one-hot rows. Losses are per picture, so that a mean over any part is
exact whatever the blocks were.
"""

import numpy as np

from linnaea.classifiers.perceptron.layers import Workspace, sigmoid


class CrossEntropy:
    """-log softmax(logits)[target], in nats (Bishop 2006, 4.3.4)."""

    def __init__(self, dtype: np.dtype) -> None:
        self._delta, self._target = Workspace(dtype), Workspace(dtype)
        self._one_hot = np.eye(0, dtype=dtype)

    def losses(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of each picture, (n,); log-sum-exp keeps it finite for finite logits."""
        peak = logits.max(axis=1)
        log_sum = np.log(np.exp(logits - peak[:, None]).sum(axis=1)) + peak
        return log_sum - logits[np.arange(len(logits)), targets]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return softmax(logits), (n, classes), rows summing to one."""
        return _softmax(logits)

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """Return log(p1 / p0) for two classes, (n,)."""
        return logits[:, 1] - logits[:, 0]

    def delta(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to the logits, softmax - one-hot, (n, classes)."""
        if len(self._one_hot) != logits.shape[1]:
            self._one_hot = np.eye(logits.shape[1], dtype=logits.dtype)
        delta = _softmax(logits, out=self._delta(*logits.shape))
        target = np.take(self._one_hot, targets, axis=0, out=self._target(*logits.shape), mode="clip")
        return np.subtract(delta, target, out=delta)


class SquaredError:
    """½ Σ (a - one-hot)² over sigmoid outputs a, as in the textbook (Nielsen 2015, chapter 1)."""

    def __init__(self, dtype: np.dtype) -> None:
        self._activation, self._slope, self._target = Workspace(dtype), Workspace(dtype), Workspace(dtype)
        self._one_hot = np.eye(0, dtype=dtype)

    def losses(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of each picture, (n,)."""
        error = sigmoid(logits)
        error[np.arange(len(error)), targets] -= 1
        return np.einsum("ij,ij->i", error, error) / 2

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the sigmoid outputs divided by their sum, which is not one by itself, (n, classes)."""
        # float64, where even the smallest sigmoid of a finite output that matters is above zero.
        outputs = sigmoid(logits.astype(np.float64))
        total = outputs.sum(axis=1, keepdims=True)
        # All outputs rounded to zero: the ratios are those of exp(logit), which is softmax.
        return np.where(
            total > 1e-12, outputs / np.maximum(total, 1e-12), _softmax(logits.astype(np.float64))
        )

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """Return log(p1 / p0) for two classes, (n,): the ratio of the sigmoids."""
        z = logits.astype(np.float64)
        return np.logaddexp(0, -z[:, 0]) - np.logaddexp(0, -z[:, 1])

    def delta(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to the raw outputs, (a - one-hot) · a · (1 - a), (n, classes)."""
        if len(self._one_hot) != logits.shape[1]:
            self._one_hot = np.eye(logits.shape[1], dtype=logits.dtype)
        activation = sigmoid(logits, out=self._activation(*logits.shape))
        slope = np.subtract(1, activation, out=self._slope(*logits.shape))
        np.multiply(slope, activation, out=slope)
        target = np.take(self._one_hot, targets, axis=0, out=self._target(*logits.shape), mode="clip")
        np.subtract(activation, target, out=activation)
        return np.multiply(activation, slope, out=activation)


def _softmax(logits: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    # The largest logit is taken off first: exp never sees a positive number.
    # Transposed copy: NumPy reduces along the first axis several times faster than along a short last one.
    peak = np.maximum.reduce(logits.T.copy(), axis=0)
    p = np.subtract(logits, peak[:, None], out=out)
    np.exp(p, out=p)
    return np.divide(p, np.add.reduce(p, axis=1, keepdims=True), out=p)


LOSSES = {"cross_entropy": CrossEntropy, "squared_error": SquaredError}
