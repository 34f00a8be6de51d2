"""KerasMLPClassifier: the same perceptron as MLPClassifier, built and trained by Keras 3."""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from linnaea.classifiers.contract import EpochRecord, OnEpoch, OnStep
from linnaea.classifiers.keras_backend import keras_network
from linnaea.classifiers.keras_fitted import FittedKeras
from linnaea.classifiers.perceptron import inputs
from linnaea.classifiers.perceptron.batches import Part
from linnaea.classifiers.perceptron.course import Course
from linnaea.classifiers.perceptron.schedules import rate_at
from linnaea.classifiers.perceptron.settings import seed_from
from linnaea.errors import DataError, DivergenceError


class KerasMLPClassifier(FittedKeras):
    """A multi-layer perceptron in Keras 3, on the torch backend unless KERAS_BACKEND names another.

    The settings are MLPClassifier's and mean the same: under one seed both start from the same weights and
    see the same batches, so without dropout they tell the same story up to rounding.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(512,)
        Units of each hidden layer; () makes a linear classifier.
    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Of the hidden units.
    loss : {"cross_entropy", "squared_error"}, default="cross_entropy"
        Softmax cross-entropy, or half the squared error on sigmoid outputs, summed over the classes.
    solver : {"sgd", "nesterov", "adam"}, default="adam"
        Keras' optimizer of that name.
    learning_rate : float, default=1e-3
        The highest rate of the schedule.
    batch_size : int, default=100
        Pictures a step; the last batch of an epoch may be smaller.
    epochs : int, default=20
        Passes over the training part.
    init : {"auto", "normal", "xavier", "he"}, default="auto"
        First weights; "auto" is He before a ReLU and Xavier elsewhere.
    momentum : float, default=0.9
        For solver="nesterov" only.
    schedule : {"constant", "cosine"}, default="constant"
        Of the learning rate, step by step.
    warmup_epochs : float, default=0.0
        Epochs over which the rate rises linearly.
    l2 : float, default=0.0
        Weight of the penalty l2/2 · ΣW².
    dropout, input_dropout : float, default=0.0
        Chance of leaving out a hidden unit, or an input.
    patience : int, default=0
        Stop after this many epochs without a better validation accuracy. 0: never stop.
    keep : {"best", "last"}, default="best"
        Which epoch's weights are kept: that of the best validation accuracy, or the last. Where nothing is
        validated on, it is the last.
    validation_fraction : float, default=0.1
        Carved out of training, stratified, where patience is set and fit gets no validation_data.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in training.
    progress : bool, default=False
        Show a bar.
    random_state : int, RandomState or None, default=None
        One integer gives bitwise the same weights again, on the same machine and backend.

    Attributes
    ----------
    classes_ : ndarray (classes,)
    history_ : list of EpochRecord, epoch 0 first
        Losses and accuracies are means over all pictures of a part, after the epoch, without dropout, weights
        or penalty.
    chosen_epoch_ : int
        The epoch whose weights the network holds.
    n_features_in_ : int
    network_ : keras.Model
        Ends in raw outputs (logits).
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (512,),
        *,
        activation: str = "relu",
        loss: str = "cross_entropy",
        solver: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 100,
        epochs: int = 20,
        init: str = "auto",
        momentum: float = 0.9,
        schedule: str = "constant",
        warmup_epochs: float = 0.0,
        l2: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        patience: int = 0,
        keep: str = "best",
        validation_fraction: float = 0.1,
        class_weight: Any = None,
        progress: bool = False,
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.solver = solver
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.init = init
        self.momentum = momentum
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.l2 = l2
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.patience = patience
        self.keep = keep
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.progress = progress
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        sample_weight: np.ndarray | None = None,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> Self:
        """Learn from X (n, features), best in 0..1, and labels y (n,).

        validation_data : tuple (X, y), optional
            Watched after every epoch, never learned from.
        sample_weight : array (n,), optional
            Scaled to a mean of one.
        on_epoch : callable, optional
            Called with (EpochRecord, self) after each epoch, 0 included.
        on_step : callable, optional
            Called with ("", rows done, rows, seconds) of the epoch after each step; training_state may be
            asked for there.

        Raises SettingError, DataError, MissingExtraError where Keras is not installed, and DivergenceError
        where the loss leaves the numbers; the network then holds the best epoch. After Ctrl-C it holds the
        last whole epoch (where the best is kept: that), and KeyboardInterrupt goes on to the caller.
        """
        self.check_settings()
        backend = keras_network()
        resumed = self.__dict__.pop("_loaded_course", None)
        if resumed is None:
            self.seed_ = seed_from(self.random_state)
        train, validation = self._prepare(X, y, validation_data, sample_weight)
        batches = backend.Batches(train, self.batch_size, self.seed_)
        self._begin()
        backend.compile_network(
            self.network_,
            loss=self.loss,
            solver=self.solver,
            momentum=self.momentum,
            steps_per_epoch=len(batches),
            **self._schedule(),
        )
        if resumed is not None:
            self._go_on(*resumed)

        def after_epoch(epoch: int, seconds: float) -> bool:
            record = self._close_epoch(epoch, seconds, train, validation)
            if on_epoch is not None:
                on_epoch(record, self)
            return not self._course.is_over(self.patience)

        back_to_best = self.keep == "best" and validation is not None
        try:
            if resumed is None:
                after_epoch(0, 0.0)
            course = self._course
            epochs = course.epoch if course.is_over(self.patience) else self.epochs
            backend.train(
                self.network_,
                batches,
                course,
                epochs,
                after_epoch,
                on_step=on_step,
                progress=self.progress,
            )
        except DivergenceError:
            back_to_best = True
            raise
        finally:
            self._go_back(to_best=back_to_best)
        return self

    def _prepare(
        self, X: Any, y: Any, validation_data: tuple[Any, Any] | None, sample_weight: Any
    ) -> tuple[Part, Part | None]:
        """Check everything, number the classes, and return the parts to train and to validate on."""
        X = inputs.features(self, X, reset=True)
        y = inputs.labels(y, len(X))
        self.classes_ = inputs.classes_of(y)
        weights = inputs.weights_of_rows(sample_weight, self.class_weight, X, y, self.classes_)
        train = Part(X, inputs.class_numbers(y, self.classes_), weights)
        if validation_data is not None:
            return train, self._part(*validation_data, "validation y")
        if self.patience:
            return inputs.carve(train, self.validation_fraction, self.seed_)
        return train, None

    def _close_epoch(self, epoch: int, seconds: float, train: Part, validation: Part | None) -> EpochRecord:
        """Evaluate both parts with the network as it now is; record it, and stop if it has diverged."""
        backend, course = keras_network(), self._course
        with np.errstate(all="ignore"):
            measured = [
                backend.evaluate(self.network_, self._loss(), part)
                for part in (train, validation)
                if part is not None
            ]
        parameters = backend.parameters(self.network_)
        loss = measured[0][0]
        finite = all(math.isfinite(loss) for loss, _ in measured) and backend.is_finite(self.network_)
        if not finite or course.has_diverged(loss, self.history_):
            raise DivergenceError(
                f"Training diverged in epoch {epoch}: loss or weights are no longer finite."
                if not finite
                else f"Training diverged in epoch {epoch}: the loss is {loss:.3g}, "
                f"and was {self.history_[0].train_loss:.3g} before training.",
                f"Lower the learning rate (now {self.learning_rate:g}), or scale the features to 0..1.",
            )
        rate = rate_at(epoch, **self._schedule())
        (train_loss, train_accuracy), (val_loss, val_accuracy) = (*measured, (None, None))[:2]
        record = EpochRecord(epoch, seconds, rate, train_loss, train_accuracy, val_loss, val_accuracy)
        self.history_.append(record)
        self.chosen_epoch_ = course.epoch = epoch
        course.step, course.seconds = 0, 0.0
        self._last = parameters
        course.note(record, parameters)
        return record

    def _go_back(self, *, to_best: bool) -> None:
        """Hold the best epoch's weights, or the last whole epoch's: never those of half an epoch."""
        course, weights = self._course, self._last
        self.chosen_epoch_ = course.epoch
        if to_best and course.best is not None:
            self.chosen_epoch_, weights = course.best_epoch, course.best
        keras_network().set_parameters(self.network_, weights)

    def _go_on(self, course: Course, parameters: np.ndarray, history: list[EpochRecord]) -> None:
        try:
            keras_network().set_state(self.network_, course.memory)
        except (KeyError, ValueError) as error:
            raise DataError(
                f"The training state does not fit this network ({error}).",
                "Go on with the settings, the classes and the Keras version that the training began with.",
            ) from error
        if self._constant_rate():
            # Among the optimizer's variables; a training that was turned back goes on with half of it.
            self.network_.optimizer.learning_rate = self.learning_rate
        self._course, self._last, self.history_ = course, parameters, history

    def _constant_rate(self) -> bool:
        return self.schedule == "constant" and not self.warmup_epochs

    def _schedule(self) -> dict[str, Any]:
        return {
            "base": self.learning_rate,
            "schedule": self.schedule,
            "warmup_epochs": self.warmup_epochs,
            "epochs": self.epochs,
        }
