"""The proof of backpropagation: its gradients against central differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linnaea.classifiers.perceptron.network import Network, hidden_sizes, new_parameters, shapes_of
from linnaea.classifiers.perceptron.solvers import Gradients
from linnaea.random_streams import Purpose, stream
from linnaea.settings import MLP, check


@dataclass(frozen=True)
class GradientCheck:
    """What check_gradients found.

    largest_error: float
        The largest |a - n| / max(|a|, |n|, 1e-4) over all parameters, a by backpropagation, n by differences.
    parameter: str
        Where it was: "W0[3, 1]" (unit 3, input 1) or "b1[2]".
    parameters: int
        How many were compared: all.
    """

    largest_error: float
    parameter: str
    parameters: int

    @property
    def passed(self) -> bool:
        """Whether the largest error is below 1e-5, far above rounding and far below any wrong formula."""
        return self.largest_error < 1e-5


def check_gradients(
    hidden_layer_sizes: Sequence[int] = (5, 4),
    *,
    activation: str = "sigmoid",
    loss: str = "cross_entropy",
    l2: float = 0.0,
    features: int = 6,
    classes: int = 3,
    rows: int = 7,
    seed: int = 0,
) -> GradientCheck:
    """Compare backpropagation with (L(w + h) - L(w - h)) / 2h for every parameter of a small random network.

    L is the mean loss over the rows plus l2/2 · ΣW², in float64, h = 1e-6. (A ReLU that a step of h takes
    across its corner has no derivative there; try another seed before blaming the formula.)

    Raises SettingError for an activation or loss that is not known, or sizes that are no sizes.
    """
    check({"activation": activation, "loss": loss, "l2": l2}, MLP)
    sizes = (features, *hidden_sizes(hidden_layer_sizes), classes)
    flat = new_parameters(sizes, "xavier", activation, seed, np.float64)
    rng = stream(seed, Purpose.SHUFFLE)
    # Biases start at zero in training; here they are drawn too, so that none is a special case.
    flat += 0.1 * rng.standard_normal(flat.shape)
    x, targets = rng.random((features, rows)), rng.integers(classes, size=rows)
    network = Network(flat, sizes, activation=activation, loss=loss, l2=l2)

    solver = Gradients(flat, shapes_of(sizes))
    network.backward(network.loss.delta(network.forward(x), targets), solver)
    numeric = _central_differences(network, flat, x, targets, l2)
    scale = np.maximum(np.maximum(np.abs(solver.gradient), np.abs(numeric)), 1e-4)
    errors = np.abs(solver.gradient - numeric) / scale
    worst = int(errors.argmax())
    return GradientCheck(float(errors[worst]), _name(worst, shapes_of(sizes)), len(flat))


def _central_differences(
    network: Network, flat: np.ndarray, x: np.ndarray, targets: np.ndarray, l2: float, h: float = 1e-6
) -> np.ndarray:
    """Return the gradient of the objective with respect to flat, by moving one parameter at a time."""

    def objective() -> float:
        penalty = sum(float((w * w).sum()) for w in network.parameters[::2])
        return float(network.loss.losses(network.forward(x), targets).mean()) + l2 / 2 * penalty

    gradient = np.empty_like(flat)
    for i, value in enumerate(flat.copy()):
        flat[i] = value + h
        above = objective()
        flat[i] = value - h
        gradient[i] = (above - objective()) / (2 * h)
        flat[i] = value
    return gradient


def _name(position: int, shapes: Sequence[tuple[int, int]]) -> str:
    for i, (rows, columns) in enumerate(shapes):
        if position < rows * columns:
            row, column = divmod(position, columns)
            return f"b{i // 2}[{position}]" if i % 2 else f"W{i // 2}[{row}, {column}]"
        position -= rows * columns
    raise IndexError(position)
