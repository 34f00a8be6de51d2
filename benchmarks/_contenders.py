"""The libraries whose epochs are timed against each other; each runs in a process of its own.

`python -m benchmarks._contenders NAME 784,500,500,10 ROWS` prints one line, the seconds of one epoch,
for every line it reads. The other libraries are used as their good users do: data in memory, batches by
index, no evaluation in between. All train the same network: ReLU, softmax cross-entropy, plain gradient
descent, learning rate 0.1, batch 100, float32, a new order in each epoch.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

BATCH, RATE = 100, 0.1


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


def linnaea(sizes: list[int], X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """This package's own clock, which is what its history reports."""
    from linnaea import MLPClassifier

    network = MLPClassifier(sizes[1:-1], solver="sgd", learning_rate=RATE, batch_size=BATCH, epochs=1)
    while True:
        yield network.fit(X, y).history_[1].seconds


def floor(sizes: list[int], X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """The matrix products of an epoch alone, with numpy.matmul into existing buffers."""
    rng = np.random.default_rng(0)
    weights = [rng.random((a, b), dtype=np.float32) for a, b in pairwise(sizes)]
    gradients = [np.empty_like(w) for w in weights]
    rows = [rng.random((BATCH, size), dtype=np.float32) for size in sizes]
    deltas = [rng.random((BATCH, size), dtype=np.float32) for size in sizes]
    out, below = [r.copy() for r in rows], [r.copy() for r in rows]

    def epoch() -> None:
        for _ in range(len(X) // BATCH):
            for i, w in enumerate(weights):
                np.matmul(rows[i], w, out=out[i + 1])
            for i in reversed(range(len(weights))):
                if i:
                    np.matmul(deltas[i + 1], weights[i].T, out=below[i])
                np.matmul(rows[i].T, deltas[i + 1], out=gradients[i])

    return timed(epoch)


def scikit_learn(sizes: list[int], X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """The difference of two fits of different length, so that its checks of the data do not count."""
    import warnings

    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")

    def fit(epochs: int) -> None:
        MLPClassifier(
            sizes[1:-1], solver="sgd", momentum=0, nesterovs_momentum=False, alpha=0, batch_size=BATCH,
            learning_rate_init=RATE, max_iter=epochs, n_iter_no_change=epochs + 1,
        ).fit(X, y)  # fmt: skip

    once, thrice = timed(lambda: fit(1)), timed(lambda: fit(3))
    while True:
        yield (next(thrice) - next(once)) / 2


def torch_eager(sizes: list[int], X: np.ndarray, y: np.ndarray, compiled: bool = False) -> Iterator[float]:
    """Linear layers and torch.optim.SGD."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    layers: list[torch.nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    features, targets = torch.from_numpy(X), torch.from_numpy(y)

    def objective(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(network(x), t)

    loss_of, step = objective, optimizer.step
    if compiled:
        loss_of, step = torch.compile(objective), torch.compile(optimizer.step)

    def epoch() -> None:
        for rows in torch.randperm(len(features)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss_of(features[rows], targets[rows]).backward()
            step()

    return timed(epoch)


def torch_compiled(sizes: list[int], X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """The same, with network, loss and optimizer compiled."""
    return torch_eager(sizes, X, y, compiled=True)


def keras(sizes: list[int], X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """Model.fit with its default settings; the backend comes from KERAS_BACKEND."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    hidden = [keras.layers.Dense(units, activation="relu") for units in sizes[1:-1]]
    model = keras.Sequential([keras.Input((sizes[0],)), *hidden, keras.layers.Dense(sizes[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(RATE), loss=loss)
    return timed(lambda: model.fit(X, y, batch_size=BATCH, epochs=1, verbose=0))


# What a person reads → the function, and what its process needs in the environment.
CONTENDERS: dict[str, tuple[Callable[..., Iterator[float]], dict[str, str]]] = {
    "linnaea": (linnaea, {}),
    "scikit-learn": (scikit_learn, {}),
    "PyTorch": (torch_eager, {}),
    "torch.compile": (torch_compiled, {}),
    "Keras on torch": (keras, {"KERAS_BACKEND": "torch"}),
    "Keras on JAX": (keras, {"KERAS_BACKEND": "jax"}),
    "products alone": (floor, {}),
}


def serve(name: str, sizes: list[int], rows: int) -> None:
    """Print the seconds of an epoch for each line of standard input, the warm-up epoch included."""
    epochs = CONTENDERS[name][0](sizes, *data(sizes[0], sizes[-1], rows))
    for _ in sys.stdin:
        print(f"{next(epochs):.6f}", flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], [int(size) for size in sys.argv[2].split(",")], int(sys.argv[3]))
