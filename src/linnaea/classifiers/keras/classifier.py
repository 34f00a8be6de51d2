"""KerasMLPClassifier: the same perceptron as MLPClassifier, built and trained by Keras 3."""

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from linnaea.classifiers.common import samples
from linnaea.classifiers.common.progress import TrainingProgress, by_accuracy, whole_state
from linnaea.classifiers.common.samples import Samples
from linnaea.classifiers.common.saved import SavedModel, count_of
from linnaea.classifiers.common.schedules import rate_at
from linnaea.classifiers.contract import Classifier, EpochRecord, OnEpoch, OnStep
from linnaea.classifiers.perceptron.losses import LOSSES
from linnaea.classifiers.perceptron.network import hidden_sizes
from linnaea.errors import DataError, DivergenceError, LinnaeaError, MissingExtraError
from linnaea.random_streams import seed_from
from linnaea.settings import KERAS, check


def keras_network() -> ModuleType:
    """Return the module `network`, which imports Keras: it takes seconds, and Keras is an extra.

    Raises MissingExtraError without Keras, LinnaeaError without the backend that KERAS_BACKEND names.
    """
    # Keras looks for TensorFlow unless another is named, and it looks only once, when it is imported.
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        from linnaea.classifiers.keras import network
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise MissingExtraError("Keras", "keras") from error
        raise LinnaeaError(
            f"Keras' backend '{os.environ['KERAS_BACKEND']}' cannot be imported ({error}).",
            "Install it, or set KERAS_BACKEND=torch.",
        ) from error
    return network


class KerasMLPClassifier(ClassifierMixin, BaseEstimator, Classifier):
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

    dtype = "float32"  # of the features, read by samples.features

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

    @property
    def compute_device(self) -> str | None:
        """The device that Keras computes on; None where that is not known, or where Keras is not there."""
        try:
            return keras_network().device()
        except LinnaeaError:
            return None

    def check_settings(self) -> None:
        """Raise SettingError that names every setting whose value is refused.

        Raises MissingExtraError where Keras is not installed: better before data is read than after.
        """
        keras_network()
        check(self.get_params(deep=False), KERAS)

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
        loaded = self.__dict__.pop("_loaded_state", None)  # of this fit only, even if it fails
        self.check_settings()
        with whole_state():
            self.seed_ = seed_from(self.random_state) if loaded is None else int(loaded[1]["seed"])
        train, validation = self._prepare(X, y, validation_data, sample_weight)
        backend = keras_network()
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
        if loaded is not None:
            self._resume(*loaded)
        progress = self._progress

        def after_epoch(epoch: int, seconds: float) -> bool:
            record = self._close_epoch(epoch, seconds, train, validation)
            if on_epoch is not None:
                on_epoch(record, self)
            return not progress.is_over(self.epochs, self.patience)

        back_to_best = self.keep == "best" and validation is not None
        try:
            if progress.awaits_record:
                after_epoch(0, 0.0)
            # Keras decides by this number alone whether there is anything left to do.
            epochs = progress.epoch if progress.is_over(self.epochs, self.patience) else self.epochs
            backend.train(
                self.network_,
                batches,
                progress,
                epochs,
                after_epoch,
                on_step=on_step,
                progress_bar=self.progress,
            )
        except DivergenceError:
            back_to_best = True
            raise
        finally:
            self._go_back(to_best=back_to_best)
        return self

    def _prepare(
        self, X: Any, y: Any, validation_data: tuple[Any, Any] | None, sample_weight: Any
    ) -> tuple[Samples, Samples | None]:
        """Check everything, number the classes, and return what to train and what to validate on."""
        X = samples.features(self, X, reset=True)
        y = samples.labels(y, len(X))
        self.classes_ = samples.classes_of(y)
        weights = samples.weights_of_rows(sample_weight, self.class_weight, X, y, self.classes_)
        train = Samples(X, samples.class_numbers(y, self.classes_), weights)
        if validation_data is not None:
            return train, self._samples(*validation_data, "validation y")
        if self.patience:
            return samples.carve(train, self.validation_fraction, self.seed_)
        return train, None

    def _samples(self, X: Any, y: Any, what: str = "y") -> Samples:
        """Return the checked rows and class numbers of what is not trained on."""
        X = samples.features(self, X)
        return Samples(X, samples.class_numbers(samples.labels(y, len(X), what), self.classes_, what))

    def _close_epoch(
        self, epoch: int, seconds: float, train: Samples, validation: Samples | None
    ) -> EpochRecord:
        """Evaluate both sets with the network as it now is; record it, and stop if it has diverged."""
        backend = keras_network()
        with np.errstate(all="ignore"):
            train_loss, train_accuracy = backend.evaluate(self.network_, self._loss(), train)
            val = (None, None)
            if validation is not None:
                val = backend.evaluate(self.network_, self._loss(), validation)
        parameters = backend.parameters(self.network_)
        self._progress.refuse_divergence(
            [train_loss, val[0]],
            backend.is_finite(self.network_),
            epoch=epoch,
            learning_rate=self.learning_rate,
            remedy="scale the features to 0..1",
            train_loss=train_loss,
        )
        rate = rate_at(epoch, **self._schedule())
        record = EpochRecord(epoch, seconds, rate, train_loss, train_accuracy, *val)
        self.chosen_epoch_, self._last = epoch, parameters
        return self._progress.close_epoch(record, parameters.copy, by_accuracy(record))

    def _go_back(self, *, to_best: bool) -> None:
        """Hold the best epoch's weights, or the last whole epoch's: never those of half an epoch."""
        progress, weights = self._progress, self._last
        self.chosen_epoch_ = progress.epoch
        if to_best and progress.kept is not None:
            self.chosen_epoch_, weights = progress.kept_epoch, progress.kept
        keras_network().set_parameters(self.network_, weights)

    def _schedule(self) -> dict[str, Any]:
        return {
            "base": self.learning_rate,
            "schedule": self.schedule,
            "warmup_epochs": self.warmup_epochs,
            "epochs": self.epochs,
        }

    def _loss(self) -> Any:
        return LOSSES[self.loss](np.dtype(np.float32))

    @property
    def sizes_(self) -> tuple[int, ...]:
        """Features, hidden units, classes."""
        return int(self.n_features_in_), *hidden_sizes(self.hidden_layer_sizes), len(self.classes_)

    def _begin(self) -> None:
        """Build the network with its first weights; nothing has been learned yet."""
        self.network_ = self._build()
        self.chosen_epoch_, self.temperature_ = 0, 1.0
        self._progress: TrainingProgress[np.ndarray] = TrainingProgress()
        self.history_ = self._progress.history
        # The weights after the last whole epoch, flat.
        self._last = keras_network().parameters(self.network_)

    def _build(self) -> Any:
        return keras_network().build(
            self.sizes_,
            init=self.init,
            activation=self.activation,
            l2=self.l2,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            seed=self.seed_,
        )

    # What a fitted one can do.

    @property
    def parameters_(self) -> np.ndarray:
        """All weights and biases, flat and in MLPClassifier's order: its weights are (outputs, inputs)."""
        parameters, end = keras_network().parameters(self.network_), 0
        for inputs, outputs in pairwise(self.sizes_):
            start, end = end, end + inputs * outputs
            parameters[start:end] = parameters[start:end].reshape(inputs, outputs).T.ravel()
            end += outputs
        return parameters

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the largest output for each row, (n,)."""
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (n, classes), each row summing to one, columns in the order of classes_."""
        outputs = self._outputs(X)
        return np.ascontiguousarray(self._loss().probabilities(outputs.T, self.temperature_).T)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the raw outputs, (n, classes); for two classes the log-odds of the second, (n,)."""
        outputs = self._outputs(X)
        return self._loss().log_odds(outputs.T) if len(self.classes_) == 2 else outputs

    def evaluate(self, X: Any, y: Any) -> tuple[float, float]:
        """Return the mean loss (nats for cross-entropy; no penalty) and the accuracy over all rows."""
        check_is_fitted(self, "network_")
        return keras_network().evaluate(self.network_, self._loss(), self._samples(X, y))

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer sees, float32 (n, width): the last hidden units; X where there are none.

        Raises as predict_proba does.
        """
        check_is_fitted(self, "network_")
        return keras_network().last_hidden(self.network_, samples.features(self, X))

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "network_")
        return keras_network().raw_outputs(self.network_, samples.features(self, X))

    def describe(self) -> dict[str, Any]:
        """Return {"summary": "784-512-10, relu", "parameters": 407050}: the widths, inputs to classes."""
        check_is_fitted(self, "network_")
        return {
            "summary": f"{'-'.join(map(str, self.sizes_))}, {self.activation}",
            "parameters": self.network_.count_params(),
        }

    # A training that goes on, and the network on disk.

    def training_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what exact resume needs: named arrays, and plain JSON values.

        Call it in on_epoch or on_step: at the end of fit the network may have gone back to an earlier epoch.
        """
        check_is_fitted(self, "network_")
        arrays = {"parameters": self._last.copy()}
        # Every variable of the network and of the optimizer.
        arrays |= {f"keras.{name}": array for name, array in keras_network().state(self.network_).items()}
        if self._progress.kept is not None:
            arrays["best"] = self._progress.kept.copy()
        return arrays, {"seed": self.seed_, **self._progress.as_json()}

    def load_training_state(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take back what training_state returned; the next fit, with the same data, goes on from it.

        That fit raises DataError where the state is incomplete or belongs to another network.
        """
        self._loaded_state = arrays, values

    def _resume(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Put a training that began with the same settings to where training_state was asked for."""
        best = arrays["best"].copy() if "best" in arrays else None
        self._progress = TrainingProgress.from_json(values, best)
        self.history_ = self._progress.history
        with whole_state():
            self._last = arrays["parameters"].copy()
        variables = {name.removeprefix("keras."): array for name, array in arrays.items()}
        try:
            keras_network().set_state(self.network_, variables)
        except (KeyError, ValueError) as error:
            raise DataError(
                f"The training state does not fit this network ({error}).",
                "Go on with the settings, the classes and the Keras version that the training began with.",
            ) from error
        if self.schedule == "constant" and not self.warmup_epochs:
            # Among the optimizer's variables; a training that was turned back goes on with half of it.
            self.network_.optimizer.learning_rate = self.learning_rate

    def save(self, folder: Path | str) -> None:
        """Write weights.safetensors (hidden_1.kernel, hidden_1.bias, …) and model.json into folder."""
        check_is_fitted(self, "network_")
        flat, end, arrays = keras_network().parameters(self.network_), 0, {}
        for name, shape in _shapes(self.sizes_).items():
            start, end = end, end + math.prod(shape)
            arrays[name] = flat[start:end].reshape(shape)
        width = {"n_features_in": int(self.n_features_in_)}
        SavedModel.of(self, "keras", folder, arrays, self.get_params(deep=False), **width).write()

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the classifier that save wrote: it predicts the same, and its history is empty.

        Raises DataError, naming the file, where one is missing, damaged, or belongs to another network.
        """
        model = SavedModel.read("keras", folder)
        with model.damage_named():
            classifier = model.unfitted(cls)
            classifier.n_features_in_ = count_of(model.header["n_features_in"])
            classifier.seed_ = seed_from(classifier.random_state)
            # Before a network of these sizes is built.
            shapes = _shapes(classifier.sizes_)
            model.check_arrays(shapes, "float32")
            chosen, temperature = classifier.chosen_epoch_, classifier.temperature_
            classifier._begin()
            classifier.chosen_epoch_, classifier.temperature_ = chosen, temperature
        classifier._last = np.concatenate([model.arrays[name].ravel() for name in shapes])
        keras_network().set_parameters(classifier.network_, classifier._last)
        return classifier

    # Keras pickles a model by way of files and its own archive; the weights alone are enough.

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings and what was learned, the network as a flat array."""
        pickled = dict(super().__getstate__())
        if "network_" in pickled:
            pickled["network_"] = keras_network().parameters(pickled["network_"])
        return pickled

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        """Take back what __getstate__ returned; the optimizer's state is not kept."""
        super().__setstate__(pickled)
        if "network_" in pickled:
            self.network_ = self._build()
            keras_network().set_parameters(self.network_, pickled["network_"])


def _shapes(sizes: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return hidden_1.kernel (inputs, units), hidden_1.bias (units,), … in the order of the flat weights.

    sizes: the widths, inputs and classes included; the last layer is called output.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        layer = f"hidden_{number}" if number < len(sizes) - 1 else "output"
        shapes |= {f"{layer}.kernel": (inputs, outputs), f"{layer}.bias": (outputs,)}
    return shapes
