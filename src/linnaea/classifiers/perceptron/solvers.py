"""Solvers: they know only arrays.

Every parameter is a 2-D view of one flat buffer. A solver takes each gradient as the two factors of its
product, delta·xᵀ, because BLAS computes `into ← keep·into + scale·delta·xᵀ` in the time of the product alone:
plain SGD and momentum then need no further pass over the weights, which for wide layers would take a
third of a step.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.linalg.blas import get_blas_funcs

from linnaea.classifiers.perceptron.products import accumulate

Shapes = Sequence[tuple[int, int]]

# Elements an elementwise pass takes at a time: four float32 arrays of this length stay in a core's cache.
CHUNK = 32_768


def views(flat: np.ndarray, shapes: Shapes) -> list[np.ndarray]:
    """Return 2-D views of the flat buffer, one after the other, no copy."""
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    starts = [0, *ends[:-1]]
    return [flat[a:b].reshape(shape) for a, b, shape in zip(starts, ends, shapes, strict=True)]


class Solver(ABC):
    """What all share: the parameters, the rate of this step, and the arrays that a checkpoint keeps.

    flat: ndarray, (parameters,)
        Changed in place.
    shapes: sequence of (rows, columns)
        Of the parameters, in the order of the buffer.
    """

    def __init__(self, flat: np.ndarray, shapes: Shapes) -> None:
        self.flat = flat
        self.parameters = views(flat, shapes)
        self.rate = 0.0
        self.steps = 0
        self.memory: dict[str, np.ndarray] = {}

    def resume(self, memory: dict[str, np.ndarray], steps: int) -> None:
        """Go on from another solver's memory, copied, unless it is empty or of another kind."""
        if set(memory) != set(self.memory):
            return
        for name, array in memory.items():
            np.copyto(self.memory[name], array)
        self.steps = steps

    @abstractmethod
    def descend(self, index: int, delta: np.ndarray, x: np.ndarray, decay: float = 0.0) -> None:
        """Take the gradient delta·xᵀ / n + decay·w of the parameter at index; n columns in the batch."""

    def finish(self) -> None:
        """End the step: every parameter has descended once."""
        self.steps += 1


class Gradients(Solver):
    """Moves nothing: collects the gradients in `gradients`, parameter by parameter."""

    def __init__(self, flat: np.ndarray, shapes: Shapes) -> None:
        super().__init__(flat, shapes)
        self.gradient = np.zeros_like(flat)
        self.gradients = views(self.gradient, shapes)

    def descend(self, index: int, delta: np.ndarray, x: np.ndarray, decay: float = 0.0) -> None:
        """Set gradients[index] = delta·xᵀ / n + decay·w."""
        gradient = self.gradients[index]
        if decay:
            np.multiply(self.parameters[index], decay, out=gradient)
        accumulate(delta, x, gradient, 1 / delta.shape[1], 1.0 if decay else 0.0)


class SGD(Solver):
    """w ← w - rate·g (Robbins and Monro 1951), inside the product itself."""

    def descend(self, index: int, delta: np.ndarray, x: np.ndarray, decay: float = 0.0) -> None:
        """Move the parameter at index."""
        accumulate(delta, x, self.parameters[index], -self.rate / delta.shape[1], 1 - self.rate * decay)


class Nesterov(Solver):
    """v ← μ·v + g, then w ← w - rate·(g + μ·v): Nesterov momentum (Sutskever et al. 2013, torch's form)."""

    def __init__(self, flat: np.ndarray, shapes: Shapes, momentum: float = 0.9) -> None:
        super().__init__(flat, shapes)
        self.momentum = momentum
        self.memory["velocity"] = np.zeros_like(flat)
        self.velocities = views(self.memory["velocity"], shapes)
        self._axpy = get_blas_funcs("axpy", dtype=flat.dtype)

    def descend(self, index: int, delta: np.ndarray, x: np.ndarray, decay: float = 0.0) -> None:
        """Move the parameter at index."""
        w, v = self.parameters[index], self.velocities[index]
        flat_w, flat_v = w.reshape(-1), v.reshape(-1)
        # With g = v_new - μ·v_old the step is w + rate·μ·v_old - rate·(1 + μ)·v_new: the gradient itself
        # is never stored, and the product adds straight to the velocity.
        if decay:
            np.multiply(v, self.momentum, out=v)
            self._axpy(flat_w, flat_v, a=decay)
            np.multiply(w, 1 - self.rate * decay, out=w)
            self._axpy(flat_v, flat_w, a=self.rate)
            accumulate(delta, x, v, 1 / delta.shape[1], 1.0)
        else:
            self._axpy(flat_v, flat_w, a=self.rate * self.momentum)
            accumulate(delta, x, v, 1 / delta.shape[1], self.momentum)
        self._axpy(flat_v, flat_w, a=-self.rate * (1 + self.momentum))


class Adam(Gradients):
    """Adam with bias correction (Kingma and Ba 2015); l2 is part of the gradient, as in torch.optim.Adam.

    The memory holds sums instead of the paper's means, which are (1 - β) times as large: s ← β1·s + g and
    q ← β2·q + g². The factors are then numbers of a step, and not passes over the parameters; and every pass
    writes over one of the arrays that it reads, which takes half the time of a pass into another one.
    """

    def __init__(
        self,
        flat: np.ndarray,
        shapes: Shapes,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(flat, shapes)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.memory["sum"] = np.zeros_like(flat)
        self.memory["square_sum"] = np.zeros_like(flat)

    def resume(self, memory: dict[str, np.ndarray], steps: int) -> None:
        """Go on as the others do; also from the means that earlier checkpoints hold."""
        if set(memory) == {"mean", "square"}:
            memory = {
                "sum": memory["mean"] / (1 - self.beta1),
                "square_sum": memory["square"] / (1 - self.beta2),
            }
        super().resume(memory, steps)

    def finish(self) -> None:
        """Move all parameters, a cache's worth at a time."""
        super().finish()
        # Of the paper, rate · m̂ / (√v̂ + ε) is scale · s / (√q + epsilon).
        root = math.sqrt((1 - self.beta2) / (1 - self.beta2**self.steps))
        scale = self.rate * (1 - self.beta1) / (1 - self.beta1**self.steps) / root
        epsilon = self.epsilon / root
        for start in range(0, len(self.flat), CHUNK):
            part = slice(start, start + CHUNK)
            g, s, q = self.gradient[part], self.memory["sum"][part], self.memory["square_sum"][part]
            s *= self.beta1
            s += g
            g *= g
            q *= self.beta2
            q += g
            step = np.sqrt(q, out=g)  # the gradient is needed no more
            step += epsilon
            np.divide(s, step, out=step)
            step *= scale
            self.flat[part] -= step


SOLVERS = {"sgd": SGD, "nesterov": Nesterov, "adam": Adam}
