"""The libraries whose epochs are timed against each other; each runs in a process of its own.

`python -m benchmarks._contenders NAME 784,500,500,10 ROWS sgd 100` prints one line, the seconds of one epoch
with this solver and batch, for every line it reads. The other libraries are used as their good users do: data
in memory, batches by index, no evaluation in between. All train the same network: ReLU, softmax
cross-entropy, float32, a new order in each epoch; plain gradient descent at the rate 0.1, or Adam at 0.001.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

RATES = {"sgd": 0.1, "adam": 0.001}


@dataclass(frozen=True)
class Task:
    """What all are timed at; sizes: inputs, hidden units, classes."""

    sizes: list[int]
    rows: int
    solver: str
    batch: int

    @property
    def rate(self) -> float:
        """The learning rate."""
        return RATES[self.solver]


def data(inputs: int, classes: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures and labels of MNIST's size; their content does not change the time."""
    rng = np.random.default_rng(0)
    # A fifth of MNIST's pixels are ink.
    X = rng.random((rows, inputs), dtype=np.float32) * (rng.random((rows, inputs), dtype=np.float32) < 0.2)
    return X, rng.integers(classes, size=rows)


def timed(epoch: Callable[[], object]) -> Iterator[float]:
    """Yield the seconds of one call after another."""
    while True:
        started = time.perf_counter()
        epoch()
        yield time.perf_counter() - started


def linnaea(task: Task, X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """This package's own clock, which is what its history reports."""
    from linnaea import MLPClassifier

    network = MLPClassifier(
        task.sizes[1:-1], solver=task.solver, learning_rate=task.rate, batch_size=task.batch, epochs=1
    )
    while True:
        yield network.fit(X, y).history_[1].seconds


def floor(task: Task, X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """The matrix products of an epoch alone, with numpy.matmul into existing buffers."""
    rng = np.random.default_rng(0)
    weights = [rng.random((a, b), dtype=np.float32) for a, b in pairwise(task.sizes)]
    gradients = [np.empty_like(w) for w in weights]
    rows = [rng.random((task.batch, size), dtype=np.float32) for size in task.sizes]
    deltas = [rng.random((task.batch, size), dtype=np.float32) for size in task.sizes]
    out, below = [r.copy() for r in rows], [r.copy() for r in rows]

    def epoch() -> None:
        for _ in range(len(X) // task.batch):
            for i, w in enumerate(weights):
                np.matmul(rows[i], w, out=out[i + 1])
            for i in reversed(range(len(weights))):
                if i:
                    np.matmul(deltas[i + 1], weights[i].T, out=below[i])
                np.matmul(rows[i].T, deltas[i + 1], out=gradients[i])

    return timed(epoch)


def scikit_learn(task: Task, X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """The difference of two fits of different length, so that its checks of the data do not count."""
    import warnings

    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")

    def fit(epochs: int) -> None:
        MLPClassifier(
            task.sizes[1:-1], solver=task.solver, momentum=0, nesterovs_momentum=False, alpha=0,
            batch_size=task.batch, learning_rate_init=task.rate, max_iter=epochs, n_iter_no_change=epochs + 1,
        ).fit(X, y)  # fmt: skip

    once, thrice = timed(lambda: fit(1)), timed(lambda: fit(3))
    while True:
        yield (next(thrice) - next(once)) / 2


def torch_eager(
    task: Task, X: np.ndarray, y: np.ndarray, *, fused: bool | None = None, compiled: bool = False
) -> Iterator[float]:
    """Linear layers and torch.optim."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    layers: list[torch.nn.Module] = []
    for a, b in pairwise(task.sizes):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[task.solver](
        network.parameters(), lr=task.rate, fused=fused
    )
    features, targets = torch.from_numpy(X), torch.from_numpy(y)

    def objective(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(network(x), t)

    loss_of, step = objective, optimizer.step
    if compiled:
        loss_of, step = torch.compile(objective), torch.compile(optimizer.step)

    def epoch() -> None:
        for rows in torch.randperm(len(features)).split(task.batch):
            optimizer.zero_grad(set_to_none=True)
            loss_of(features[rows], targets[rows]).backward()
            step()

    return timed(epoch)


def torch_compiled(task: Task, X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """The same, with network, loss and optimizer compiled."""
    return torch_eager(task, X, y, compiled=True)


def torch_fused(task: Task, X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """The same, with all parameters moved in one pass."""
    return torch_eager(task, X, y, fused=True)


def keras(task: Task, X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """Model.fit with its default settings; the backend comes from KERAS_BACKEND."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    hidden = [keras.layers.Dense(units, activation="relu") for units in task.sizes[1:-1]]
    model = keras.Sequential([keras.Input((task.sizes[0],)), *hidden, keras.layers.Dense(task.sizes[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[task.solver](task.rate)
    model.compile(optimizer=optimizer, loss=loss)
    return timed(lambda: model.fit(X, y, batch_size=task.batch, epochs=1, verbose=0))


# What a person reads → the function, and what its process needs in the environment.
CONTENDERS: dict[str, tuple[Callable[..., Iterator[float]], dict[str, str]]] = {
    "linnaea": (linnaea, {}),
    "scikit-learn": (scikit_learn, {}),
    "PyTorch": (torch_eager, {}),
    "PyTorch, fused": (torch_fused, {}),
    "torch.compile": (torch_compiled, {}),
    "Keras on torch": (keras, {"KERAS_BACKEND": "torch"}),
    "Keras on JAX": (keras, {"KERAS_BACKEND": "jax"}),
    "products alone": (floor, {}),
}


def serve(name: str, task: Task) -> None:
    """Print the seconds of an epoch for each line of standard input, the warm-up epoch included."""
    epochs = CONTENDERS[name][0](task, *data(task.sizes[0], task.sizes[-1], task.rows))
    for _ in sys.stdin:
        print(f"{next(epochs):.6f}", flush=True)


if __name__ == "__main__":
    _, chosen, sizes, rows, solver, batch = sys.argv
    serve(chosen, Task([int(size) for size in sizes.split(",")], int(rows), solver, int(batch)))
