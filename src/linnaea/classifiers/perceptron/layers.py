"""Layers: forward beside backward, each with its own workspaces.

A batch travels as columns, (width, n), as in the textbooks. forward returns a view of the layer's own buffer,
good until its next forward; backward turns the gradient of the loss with respect to its output, delta, into
the one with respect to its input, and hands what belongs to its parameters to the solver.
"""

from typing import Protocol

import numpy as np

from linnaea.classifiers.perceptron.products import add_product, product_back


class Descends(Protocol):
    """The one thing a layer asks of a solver."""

    def descend(self, index: int, delta: np.ndarray, x: np.ndarray, decay: float = 0.0) -> None:
        """Take the gradient delta·xᵀ / n of the parameter at index."""


class Workspace:
    """A buffer that grows to the largest batch seen and is then reused: no allocation in the loop."""

    def __init__(self, dtype: np.dtype) -> None:
        self._buffer = np.empty(0, dtype)

    def __call__(self, rows: int, columns: int) -> np.ndarray:
        """Return an uninitialised C-contiguous array (rows, columns), the same memory each time."""
        size = rows * columns
        if len(self._buffer) < size:
            self._buffer = np.empty(size, self._buffer.dtype)
        return self._buffer[:size].reshape(rows, columns)


class Dense:
    """y = W·x + b, for W (outputs, inputs) and b (outputs, 1).

    index: int
        Where W stands among the network's parameters; b stands at index + 1.
    l2: float
        Weight of the penalty l2/2 · ΣW²; biases are free.
    first: bool
        The first layer's input is data: nobody asks for its gradient, so the product is saved.
    """

    def __init__(
        self, weights: np.ndarray, bias: np.ndarray, index: int, *, l2: float = 0.0, first: bool = False
    ) -> None:
        self.weights, self.bias, self.index, self.l2, self.first = weights, bias, index, l2, first
        self._output = Workspace(weights.dtype)
        self._input_delta = Workspace(weights.dtype)
        self._ones = np.ones((1, 0), weights.dtype)

    def forward(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return W·x + b, (outputs, n); x may be a transposed view."""
        self._x = x
        y = self._output(len(self.weights), x.shape[1])
        y[...] = self.bias
        return add_product(self.weights, x, out=y)

    def backward(self, delta: np.ndarray, solver: Descends) -> np.ndarray | None:
        """Hand the gradients to the solver; return Wᵀ·delta, (inputs, n), or None for the first layer."""
        n, below = delta.shape[1], None
        if not self.first:
            # Before descend: a solver may move the weights at once.
            below = product_back(self.weights, delta, out=self._input_delta(self.weights.shape[1], n))
        if self._ones.shape[1] != n:
            self._ones = np.ones((1, n), delta.dtype)
        solver.descend(self.index, delta, self._x, self.l2)
        # A bias is the weight of an input that is always one.
        solver.descend(self.index + 1, delta, self._ones)
        return below


class ReLU:
    """y = max(x, 0), in place (Nair and Hinton 2010)."""

    def forward(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return max(x, 0), written over x."""
        self._y = np.maximum(x, 0, out=x)
        return self._y

    def backward(self, delta: np.ndarray, solver: Descends) -> np.ndarray:
        """Return delta where y > 0, else 0, written over delta; y, needed no more, becomes the slope."""
        # 0 or 1, written as floats at once: a product with booleans would be converted piece by piece.
        slope = np.greater(self._y, 0, out=self._y, casting="unsafe")
        return np.multiply(delta, slope, out=delta)


class Tanh:
    """y = tanh(x), in place."""

    def forward(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return tanh(x), written over x."""
        self._y = np.tanh(x, out=x)
        return self._y

    def backward(self, delta: np.ndarray, solver: Descends) -> np.ndarray:
        """Return delta · (1 - y²), written over delta; y becomes the slope."""
        slope = np.multiply(self._y, self._y, out=self._y)
        np.subtract(1, slope, out=slope)
        return np.multiply(delta, slope, out=delta)


class Sigmoid:
    """y = 1 / (1 + exp(-x)), in place."""

    def forward(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the logistic function of x, written over x."""
        self._y = sigmoid(x, out=x)
        return self._y

    def backward(self, delta: np.ndarray, solver: Descends) -> np.ndarray:
        """Return delta · y · (1 - y), written over delta; y is written over, too."""
        np.multiply(delta, self._y, out=delta)
        rest = np.subtract(1, self._y, out=self._y)
        return np.multiply(delta, rest, out=delta)


class Dropout:
    """Each input is left out with the given chance, the rest scaled so that the mean stays.

    Srivastava et al. 2014, in its inverted form. Without a random stream (evaluation) the input passes
    untouched.
    """

    def __init__(self, chance: float, dtype: np.dtype) -> None:
        self.chance = chance
        self._mask = Workspace(dtype)
        self._output = Workspace(dtype)

    def forward(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return x times a mask of 0 and 1/(1 - chance), in an array of its own."""
        if rng is None:
            return x
        if not x.flags.c_contiguous:  # the input: rows of pictures, seen as columns
            return self.forward(x.T, rng).T
        self._drawn = self._mask(*x.shape)
        # 16 random bits an input are cheaper than a float and set the chance to within 1/65536.
        bits = rng.bit_generator.random_raw(-(-x.size // 4)).view(np.uint16)[: x.size].reshape(x.shape)
        np.multiply(
            bits >= round(self.chance * 65536), 1 / (1 - self.chance), out=self._drawn, casting="same_kind"
        )
        return np.multiply(x, self._drawn, out=self._output(*x.shape))

    def backward(self, delta: np.ndarray, solver: Descends) -> np.ndarray:
        """Return delta times the mask of the last forward, written over delta."""
        return np.multiply(delta, self._drawn, out=delta)


def sigmoid(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) as (1 + tanh(x/2)) / 2, which cannot overflow."""
    y = np.multiply(x, 0.5, out=out)
    np.tanh(y, out=y)
    np.multiply(y, 0.5, out=y)
    return np.add(y, 0.5, out=y)


ACTIVATIONS = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}
