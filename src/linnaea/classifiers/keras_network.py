"""The network in Keras 3: layers, optimizer, batches, and the listener at the end of an epoch.

Imported by keras_mlp only when a network is needed, after the backend was chosen: importing Keras takes seconds.
"""

import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
from tqdm.auto import tqdm

from linnaea.classifiers.perceptron.network import new_parameters, shapes_of
from linnaea.classifiers.perceptron.solvers import views
from linnaea.streams import Purpose, stream

# Rows a forward pass takes at a time outside training: 4,096 x 1,024 float32 activations are 16 MiB.
BLOCK = 4096

# (epoch, seconds of training) → whether to go on
AfterEpoch = Callable[[int, float], bool]


def build(
    sizes: Sequence[int],
    *,
    init: str,
    activation: str,
    l2: float,
    dropout: float,
    input_dropout: float,
    seed: int,
) -> keras.Model:
    """Return a network with these sizes, inputs and classes included, and its first weights.

    It turns float32 (n, inputs) into raw outputs (n, classes): no activation on top. Layers are named hidden_1,
    hidden_2, …, output. The penalty is l2/2 · ΣW², as in MLPClassifier; biases are free of it.

    The first weights are MLPClassifier's too: under one seed both networks start from the same numbers on every
    backend, so a difference between the two is a difference of training.
    """
    # Dropout has seeds of its own: Keras' global generator is never drawn from, so nobody else's draws matter.
    model = keras.Sequential([keras.Input((sizes[0],), dtype="float32")], name="mlp")
    if input_dropout:
        model.add(keras.layers.Dropout(input_dropout, seed=_dropout_seed(seed, 0)))
    for number, width in enumerate(sizes[1:], start=1):
        is_output = number == len(sizes) - 1
        model.add(
            keras.layers.Dense(
                width,
                activation=None if is_output else activation,
                kernel_initializer="zeros",
                kernel_regularizer=keras.regularizers.L2(l2 / 2) if l2 else None,
                name="output" if is_output else f"hidden_{number}",
            )
        )
        if dropout and not is_output:
            model.add(keras.layers.Dropout(dropout, seed=_dropout_seed(seed, number)))
    first = views(new_parameters(sizes, init, activation, seed, np.float32), shapes_of(sizes))
    for weight, values in zip(model.trainable_weights, first, strict=True):
        weight.assign(values.reshape(weight.shape))
    return model


def compile_network(
    model: keras.Model,
    *,
    loss: str,
    solver: str,
    learning_rate: float,
    momentum: float,
    schedule: str,
    warmup_steps: int,
    total_steps: int,
) -> None:
    """Give the model its loss and its optimizer.

    schedule "cosine" falls to zero at total_steps (Loshchilov and Hutter 2017); warm-up rises linearly.
    """
    rate = learning_rate
    if schedule == "cosine" or warmup_steps:
        rate = keras.optimizers.schedules.CosineDecay(
            # Keras begins at the first value, and a step at rate zero would teach nothing.
            initial_learning_rate=learning_rate / max(warmup_steps, 1),
            warmup_target=learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
            decay_steps=max(total_steps - warmup_steps, 1),
            # A decay to the whole of the rate is no decay: Keras has warm-up only together with a decay.
            alpha=0.0 if schedule == "cosine" else 1.0,
        )
    if solver == "adam":
        optimizer = keras.optimizers.Adam(rate)
    else:
        nesterov = solver == "nesterov"
        optimizer = keras.optimizers.SGD(rate, momentum=momentum if nesterov else 0.0, nesterov=nesterov)
    model.compile(optimizer=optimizer, loss=_LOSSES[loss]())
    optimizer.build(model.trainable_variables)


class Batches(keras.utils.PyDataset):
    """Training data in batches, in an order that depends on (seed, epoch) alone.

    X: float32 (n, features); y: int (n,), class numbers; weight: float32 (n,) or None. Each batch is gathered
    when it is asked for, so that the data stays in memory once.
    """

    def __init__(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, *, batch_size: int, seed: int
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.X, self.y, self.weight = X, y, weight
        self.batch_size, self.seed = batch_size, seed
        self.shuffle(epoch=1)

    def shuffle(self, epoch: int) -> None:
        """Put the pictures in the order of this epoch; the first is 1."""
        self.order = stream(self.seed, Purpose.SHUFFLE, epoch).permutation(len(self.X))

    def __len__(self) -> int:
        return -(-len(self.X) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        if self.weight is None:
            return self.X[rows], self.y[rows]
        return self.X[rows], self.y[rows], self.weight[rows]


class EndOfEpoch(keras.callbacks.Callback):
    """Calls after_epoch(epoch, seconds of training) and stops the training when it returns False."""

    def __init__(self, batches: Batches, after_epoch: AfterEpoch) -> None:
        super().__init__()
        self.batches, self.after_epoch = batches, after_epoch

    # Keras counts epochs from 0; a record of epoch 0 is the network before training.
    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Shuffle for this epoch and start the clock."""
        self.batches.shuffle(epoch + 1)
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Tell the listener."""
        seconds = time.perf_counter() - self._began
        if not self.after_epoch(epoch + 1, seconds):
            self.model.stop_training = True


def train(
    model: keras.Model,
    batches: Batches,
    first_epoch: int,
    epochs: int,
    after_epoch: AfterEpoch,
    *,
    progress: bool = False,
) -> None:
    """Run model.fit from first_epoch (0: the beginning) up to epochs, with a bar on stderr if progress."""
    with tqdm(total=epochs, initial=first_epoch, unit="epoch", disable=not progress) as bar:

        def listener(epoch: int, seconds: float) -> bool:
            bar.update()
            return after_epoch(epoch, seconds)

        model.fit(
            batches,
            epochs=epochs,
            initial_epoch=first_epoch,
            shuffle=False,  # Batches brings its own order
            verbose=0,
            callbacks=[EndOfEpoch(batches, listener)],
        )


def raw_outputs(model: keras.Model, X: np.ndarray) -> np.ndarray:
    """Return the raw outputs, float32 (len(X), classes), computed in blocks without dropout or gradients."""
    blocks = [model.predict_on_batch(X[start : start + BLOCK]) for start in range(0, len(X), BLOCK)]
    return np.concatenate(blocks)


def weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return copies of the weights by name: hidden_1.kernel (inputs, outputs), hidden_1.bias (outputs,), …"""
    return {_weight_name(w): np.array(keras.ops.convert_to_numpy(w), copy=True) for w in model.weights}


def set_weights(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    """Take back what weights returned."""
    for w in model.weights:
        w.assign(values[_weight_name(w)])


def state(model: keras.Model) -> dict[str, np.ndarray]:
    """Return every variable that the next step depends on: weights, seeds of the dropout, optimizer."""
    return {name: np.array(keras.ops.convert_to_numpy(v), copy=True) for name, v in _variables(model)}


def set_state(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    """Take back what state returned."""
    for name, v in _variables(model):
        v.assign(values[name])


def rate(model: keras.Model) -> float:
    """Return the learning rate of the next step."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def _variables(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    # Paths such as "dropout_3/seed_generator_7/…" count what the process has built before; positions do not.
    network = [(f"network.{i}", v) for i, v in enumerate(model.variables)]
    return network + [(f"optimizer.{i}", v) for i, v in enumerate(model.optimizer.variables)]


def _weight_name(weight: keras.Variable) -> str:
    layer, _, name = weight.path.rpartition("/")
    return f"{layer.rpartition('/')[2]}.{name}"


def _dropout_seed(seed: int, layer: int) -> int:
    return int(stream(seed, Purpose.DROPOUT, index=layer).integers(2**31))


def _squared_error(target: keras.KerasTensor, raw: keras.KerasTensor) -> keras.KerasTensor:
    # ½ Σ (sigmoid - one-hot)² a picture, as in the textbook; Keras' own MeanSquaredError divides by the classes.
    one_hot = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(target, (-1,)), "int32"), raw.shape[-1])
    return keras.ops.sum(keras.ops.square(keras.ops.sigmoid(raw) - one_hot), axis=-1) / 2


_LOSSES: dict[str, Callable[[], object]] = {
    "cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "squared_error": lambda: _squared_error,
}
