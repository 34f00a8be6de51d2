"""The network in Keras 3: layers, optimizer, batches, and the listener at the end of an epoch.

Imported by `classifier` only when a network is needed, once the backend is chosen: importing Keras takes
seconds. Settings, first weights, samples and losses are those of the perceptron by hand.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from linnaea.classifiers.common.progress import TrainingProgress
from linnaea.classifiers.common.samples import Samples
from linnaea.classifiers.contract import OnStep
from linnaea.classifiers.perceptron.network import initialise
from linnaea.progress_bar import ProgressBar
from linnaea.random_streams import Purpose, stream

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

    It turns float32 (n, inputs) into raw outputs (n, classes): no activation on top. Layers are named
    hidden_1, hidden_2, …, output. The penalty is l2/2 · ΣW², as in MLPClassifier; biases are free of it.

    The first weights are MLPClassifier's too: under one seed both networks start from the same numbers on
    every backend, so a difference between the two is a difference of training.
    """
    # Dropout has seeds of its own: Keras' global generator is never drawn from, whoever else uses it.
    model = keras.Sequential([keras.Input((sizes[0],), dtype="float32")], name="mlp")
    if input_dropout:
        model.add(keras.layers.Dropout(input_dropout, seed=_dropout_seed(seed, 0)))
    for number, width in enumerate(sizes[1:], start=1):
        is_output = number == len(sizes) - 1
        model.add(
            keras.layers.Dense(
                width,
                activation=None if is_output else activation,
                kernel_initializer="zeros",  # replaced below
                kernel_regularizer=keras.regularizers.L2(l2 / 2) if l2 else None,
                name="output" if is_output else f"hidden_{number}",
            )
        )
        if dropout and not is_output:
            model.add(keras.layers.Dropout(dropout, seed=_dropout_seed(seed, number)))
    for layer, kernel in enumerate(model.trainable_weights[::2]):
        by_hand = np.zeros(kernel.shape[::-1], np.float32)  # MLPClassifier's are (outputs, inputs)
        initialise(by_hand, init, activation if layer < len(sizes) - 2 else None, seed, layer)
        kernel.assign(by_hand.T)
    return model


def compile_network(
    model: keras.Model, *, loss: str, solver: str, momentum: float, steps_per_epoch: int, **schedule: Any
) -> None:
    """Give the model its loss and its optimizer, ready to train or to take a state.

    schedule: the keywords of common.schedules.rate_at.
    """
    constant = schedule["schedule"] == "constant" and not schedule["warmup_epochs"]
    rate = schedule["base"] if constant else Rate(steps_per_epoch=steps_per_epoch, **schedule)
    if solver == "adam":
        # Kingma and Ba's epsilon, and MLPClassifier's; Keras' default is ten times as large.
        optimizer = keras.optimizers.Adam(rate, epsilon=1e-8)
    else:
        nesterov = solver == "nesterov"
        optimizer = keras.optimizers.SGD(rate, momentum=momentum if nesterov else 0.0, nesterov=nesterov)
    model.compile(optimizer=optimizer, loss=_LOSSES[loss]())
    optimizer.build(model.trainable_variables)


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """common.schedules.rate_at in the middle of each step, as a function of the step.

    Keras' own CosineDecay spends the first step of a warm-up at rate zero, and cannot warm up to a constant.
    """

    def __init__(
        self, *, base: float, schedule: str, warmup_epochs: float, epochs: int, steps_per_epoch: int
    ) -> None:
        self.base, self.schedule, self.steps = base, schedule, steps_per_epoch
        self.warmup, self.epochs = warmup_epochs, epochs

    def __call__(self, step: Any) -> Any:
        """Return the rate of this step, counted from 0, as a tensor of the backend."""
        ops = keras.ops
        done = (ops.cast(step, "float32") + 0.5) / self.steps
        rate = ops.ones_like(done) * self.base
        if self.schedule == "cosine" and self.epochs > self.warmup:
            progress = ops.clip((done - self.warmup) / (self.epochs - self.warmup), 0.0, 1.0)
            rate = rate * 0.5 * (1 + ops.cos(math.pi * progress))
        if self.warmup:
            rate = ops.where(done < self.warmup, self.base * done / self.warmup, rate)
        return rate


class Batches(keras.utils.PyDataset):
    """Samples in batches, in MLPClassifier's order: it depends on (seed, epoch) alone.

    Each batch is gathered when it is asked for, so that the data stays in memory once.
    """

    def __init__(self, samples: Samples, batch_size: int, seed: int) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.first = 0  # the step that the epoch begins with, where it is gone on with
        self.shuffle(epoch=1)

    def shuffle(self, epoch: int) -> None:
        """Put the pictures in the order of this epoch; the first is 1."""
        self.order = stream(self.seed, Purpose.SHUFFLE, epoch).permutation(len(self.samples))

    def __len__(self) -> int:
        return math.ceil(len(self.samples) / self.batch_size) - self.first

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        start = (self.first + index) * self.batch_size
        samples, rows = self.samples, self.order[start : start + self.batch_size]
        batch = samples.X[rows if samples.rows is None else samples.rows[rows]], samples.targets[rows]
        return batch if samples.weights is None else (*batch, samples.weights[rows])


class Listener(keras.callbacks.Callback):
    """Shuffles before each epoch, keeps the progress true, and tells of each step and each epoch.

    Training stops where after_epoch returns False.
    """

    def __init__(
        self, batches: Batches, progress: TrainingProgress, after_epoch: AfterEpoch, on_step: OnStep | None
    ) -> None:
        super().__init__()
        self.batches, self.progress, self.after_epoch, self.on_step = batches, progress, after_epoch, on_step

    # Keras counts epochs from 0; here 0 is the network before training.
    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Shuffle for this epoch and start the clock."""
        self.batches.shuffle(epoch + 1)
        self._began = time.perf_counter() - self.progress.seconds

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the step and tell the listener."""
        self.progress.step += 1
        if self.on_step is not None:
            self.progress.seconds = time.perf_counter() - self._began
            rows = len(self.batches.samples)
            done = min(self.progress.step * self.batches.batch_size, rows)
            self.on_step("", done, rows, self.progress.seconds)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stop the clock and tell the listener."""
        if not self.after_epoch(epoch + 1, time.perf_counter() - self._began):
            self.model.stop_training = True


def train(
    model: keras.Model,
    batches: Batches,
    progress: TrainingProgress,
    epochs: int,
    after_epoch: AfterEpoch,
    *,
    on_step: OnStep | None = None,
    progress_bar: bool = False,
) -> None:
    """Run model.fit from where the progress is up to epochs, with a bar on stderr if progress_bar.

    The progress is brought forward step by step; after_epoch closes the epochs in it.
    """
    with ProgressBar("Epoch", epochs, done=progress.epoch, shown=progress_bar) as bar:

        def closed(epoch: int, seconds: float) -> bool:
            going_on = after_epoch(epoch, seconds)
            record = progress.history[-1]
            bar.show(loss=record.train_loss, accuracy=record.train_accuracy)
            bar.update()
            return going_on

        listener = Listener(batches, progress, closed, on_step)
        if progress.step and progress.epoch < epochs:
            # Keras counts the steps of an epoch once: the rest of a broken one is a call of its own.
            if progress.step == len(batches):
                on = closed(progress.epoch + 1, progress.seconds)
            else:
                batches.first = progress.step
                _fit(model, batches, progress.epoch, progress.epoch + 1, listener)
                batches.first, on = 0, not model.stop_training
            if not on:
                return
        _fit(model, batches, progress.epoch, epochs, listener)


def _fit(model: keras.Model, batches: Batches, first: int, epochs: int, listener: Listener) -> None:
    with _generator_left_alone():
        model.fit(
            batches,
            epochs=epochs,
            initial_epoch=first,
            shuffle=False,  # Batches brings its own order
            verbose=0,
            callbacks=[listener],
        )


def _generator_left_alone() -> AbstractContextManager[None]:
    # torch's DataLoader, below Keras, draws a number nobody uses: the caller's generator must not notice.
    if keras.backend.backend() != "torch":
        return nullcontext()
    import torch

    return torch.random.fork_rng(devices=[])


def raw_outputs(model: keras.Model, X: np.ndarray) -> np.ndarray:
    """Return the raw outputs, float32 (n, classes), in blocks, without dropout or gradients."""
    blocks = [model.predict_on_batch(X[start : start + BLOCK]) for start in range(0, len(X), BLOCK)]
    return np.concatenate(blocks)


def last_hidden(model: keras.Model, X: np.ndarray) -> np.ndarray:
    """Return what the output layer sees, float32 (n, width), in blocks, without dropout."""
    if not any(isinstance(layer, keras.layers.Dense) for layer in model.layers[:-1]):
        return np.array(X, dtype=np.float32)
    below = keras.Model(model.inputs[0], model.layers[-1].input)
    return raw_outputs(below, X)


def evaluate(model: keras.Model, loss: Any, samples: Samples) -> tuple[float, float]:
    """Return the mean loss and the accuracy over the samples, every picture counted once.

    loss: one of perceptron.losses, which take columns
        In NumPy, so that both networks' losses are the same number to the last digit.
    """
    total, right = 0.0, 0
    for start in range(0, len(samples), BLOCK):
        raw = model.predict_on_batch(samples.block(start, start + BLOCK))
        targets = samples.targets[start : start + BLOCK]
        total += float(loss.losses(raw.T, targets).sum(dtype=np.float64))
        right += int((raw.argmax(axis=1) == targets).sum())
    return total / len(samples), right / len(samples)


def parameters(model: keras.Model) -> np.ndarray:
    """Return a copy of the weights, flat float32: kernel, bias, kernel, bias, …"""
    return np.concatenate([keras.ops.convert_to_numpy(w).ravel() for w in model.trainable_weights])


def set_parameters(model: keras.Model, flat: np.ndarray) -> None:
    """Take back what parameters returned."""
    end = 0
    for weight in model.trainable_weights:
        start, end = end, end + math.prod(weight.shape)
        weight.assign(flat[start:end].reshape(weight.shape))


def state(model: keras.Model) -> dict[str, np.ndarray]:
    """Return copies of all that the next step depends on: weights, dropout's seeds, optimizer's arrays."""
    return {name: np.array(keras.ops.convert_to_numpy(v), copy=True) for name, v in _variables(model)}


def set_state(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    """Take back what state returned."""
    for name, variable in _variables(model):
        variable.assign(values[name])


def is_finite(model: keras.Model) -> bool:
    """Return whether the weights, and the optimizer's arrays, are all finite numbers."""
    return all(np.isfinite(keras.ops.convert_to_numpy(v)).all() for _, v in _variables(model))


def _variables(model: keras.Model) -> list[tuple[str, Any]]:
    # By position: Keras' own paths, such as seed_generator_7, count what the process has built before.
    network = [(f"network.{i}", v) for i, v in enumerate(model.variables)]
    return network + [(f"optimizer.{i}", v) for i, v in enumerate(model.optimizer.variables)]


def _dropout_seed(seed: int, layer: int) -> int:
    return int(stream(seed, Purpose.DROPOUT, index=layer).integers(2**31))


def _squared_error(target: Any, raw: Any) -> Any:
    # ½ Σ (sigmoid - one-hot)² a picture; Keras' own MeanSquaredError divides by the number of classes.
    one_hot = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(target, (-1,)), "int32"), raw.shape[-1])
    return keras.ops.sum(keras.ops.square(keras.ops.sigmoid(raw) - one_hot), axis=-1) / 2


_LOSSES: dict[str, Callable[[], Any]] = {
    "cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "squared_error": lambda: _squared_error,
}


def device() -> str | None:
    """Return what Keras computes on, as torch names it; None for another backend than torch."""
    return str(keras.ops.zeros(1).device) if keras.backend.backend() == "torch" else None
