"""KerasMLPClassifier: the same perceptron as MLPClassifier, built and trained by Keras 3."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from linnaea.classifiers import keras_files
from linnaea.classifiers.contract import EpochRecord, OnEpoch
from linnaea.classifiers.keras_inputs import (
    carve_validation,
    checked_features,
    checked_labels,
    checked_targets,
    checked_weights,
    seed_of,
)
from linnaea.classifiers.perceptron.losses import LOSSES
from linnaea.classifiers.perceptron.settings import check_settings, hidden_sizes
from linnaea.errors import DivergenceError, LinnaeaError, MissingExtraError


# (X, class numbers)
_Part = tuple[np.ndarray, np.ndarray]


@dataclass
class _Kept:
    """Weights to go back to: those of the best epoch, and of the last whole one."""

    best: dict[str, np.ndarray] = field(default_factory=dict)
    best_epoch: int = 0
    best_score: tuple[float, float] = (-math.inf, -math.inf)
    last: dict[str, np.ndarray] = field(default_factory=dict)
    last_epoch: int = 0

    def note(self, record: EpochRecord, weights: dict[str, np.ndarray]) -> None:
        """Keep this epoch's weights, and as the best where its accuracy is higher, or equal with a lower loss."""
        self.last, self.last_epoch = weights, record.epoch
        accuracy, loss = record.val_accuracy, record.val_loss
        if accuracy is None or loss is None:
            accuracy, loss = record.train_accuracy, record.train_loss
        if not self.best or (accuracy, -loss) > self.best_score:
            self.best, self.best_epoch, self.best_score = weights, record.epoch, (accuracy, -loss)


class KerasMLPClassifier(ClassifierMixin, BaseEstimator):
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
    warmup_epochs : float, default=0
        Epochs over which the rate rises linearly.
    l2 : float, default=0.0
        Weight of the penalty l2/2 · ΣW².
    dropout, input_dropout : float, default=0.0
        Chance of leaving out a hidden unit, or an input.
    patience : int, default=0
        Stop after this many epochs without a better validation accuracy, and go back to the best epoch. 0: never
        stop, keep the last epoch.
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
    best_epoch_ : int
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
        warmup_epochs: float = 0,
        l2: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        patience: int = 0,
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
    ) -> Self:
        """Learn from X (n, features), best in 0..1, and labels y (n,).

        validation_data : tuple (X, y), optional
            Watched after every epoch, never learned from.
        sample_weight : array (n,), optional
            Scaled to a mean of one.
        on_epoch : callable, optional
            Called with (EpochRecord, self) after each epoch, 0 included.

        Raises SettingError, DataError, MissingExtraError where Keras is not installed, and DivergenceError
        where the loss leaves the numbers; the network then holds the best epoch. After Ctrl-C it holds the
        last whole epoch (with patience: the best), and KeyboardInterrupt goes on to the caller.
        """
        check_settings({**self.get_params(deep=False), "max_norm": None, "augment": None, "dtype": "float32"})
        keras_network = _keras_network()
        resumed = self.__dict__.pop("_resumed", None)
        self._seed = seed_of(self.random_state) if resumed is None else int(resumed[1]["seed"])
        training, weight, validation = self._parts(X, y, validation_data, sample_weight)
        batches = keras_network.Batches(*training, weight, batch_size=self.batch_size, seed=self._seed)
        self.network_ = self._new_network()
        keras_network.compile_network(
            self.network_,
            loss=self.loss,
            solver=self.solver,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            schedule=self.schedule,
            warmup_steps=round(self.warmup_epochs * len(batches)),
            total_steps=self.epochs * len(batches),
        )
        self.history_: list[EpochRecord] = []
        self._kept = _Kept()

        def after_epoch(epoch: int, seconds: float) -> bool:
            return self._after_epoch(epoch, seconds, training, validation, on_epoch)

        go_back_to_best = self.patience > 0
        try:
            if resumed is None:
                after_epoch(0, 0.0)
            else:
                self._take_state(*resumed)
            first = self._kept.last_epoch
            keras_network.train(
                self.network_, batches, first, self.epochs, after_epoch, progress=self.progress
            )
        except DivergenceError:
            go_back_to_best = True
            raise
        finally:
            self._go_back(to_best=go_back_to_best)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row, (n,)."""
        return self.classes_[self._raw_outputs(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (n, classes) float32, each row summing to one, columns in the order of classes_."""
        return LOSSES[self.loss](np.dtype(np.float32)).probabilities(self._raw_outputs(X)).astype(np.float32)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the raw outputs, float32 (n, classes); for two classes the second's minus the first's, (n,)."""
        raw = self._raw_outputs(X)
        return raw[:, 1] - raw[:, 0] if len(self.classes_) == 2 else raw

    def evaluate(self, X: Any, y: Any) -> tuple[float, float]:
        """Return the mean loss (nats for cross-entropy) and the accuracy over all rows, without the penalty."""
        raw = self._raw_outputs(X)
        return self._judge(raw, checked_targets(y, len(raw), self.classes_))

    def describe(self) -> dict[str, Any]:
        """Return {"summary": "784-512-10, relu", "parameters": 407050}."""
        check_is_fitted(self, "network_")
        sizes = "-".join(str(size) for size in self._sizes())
        hidden = len(self._sizes()) > 2
        return {
            "summary": f"{sizes}, {self.activation}" if hidden else sizes,
            "parameters": int(self.network_.count_params()),
        }

    def save(self, folder: Path | str) -> None:
        """Write weights.safetensors (hidden_1.kernel, hidden_1.bias, …, float32) and model.json into folder."""
        check_is_fitted(self, "network_")
        parameters = self.get_params(deep=False)
        # A generator has no place in JSON; the weights are drawn already.
        if not isinstance(self.random_state, (int, np.integer)):
            parameters["random_state"] = None
        description = {
            "model": "keras",
            "classes": self.classes_.tolist(),
            "n_features_in": int(self.n_features_in_),
            "best_epoch": int(self.best_epoch_),
            "parameters": keras_files.plain(parameters),
        }
        keras_files.write(Path(folder), _keras_network().weights(self.network_), description)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the classifier that save wrote; it predicts the same, and has no history.

        Raises RunError, naming the file, where a file is missing, damaged or belongs to another network.
        """
        arrays, description = keras_files.read(Path(folder), "keras")
        unknown = sorted(description["parameters"].keys() - cls().get_params().keys())
        if unknown:
            raise keras_files.unknown_settings(Path(folder), unknown)
        classifier = cls(**description["parameters"])
        classifier.classes_ = np.array(description["classes"])
        classifier.n_features_in_ = int(description["n_features_in"])
        classifier.best_epoch_ = int(description.get("best_epoch", 0))
        classifier.history_ = []
        sizes = classifier._sizes()
        keras_files.check_arrays(Path(folder), arrays, keras_files.expected_shapes(sizes))
        classifier._seed = seed_of(classifier.random_state)
        classifier.network_ = classifier._new_network()
        _keras_network().set_weights(classifier.network_, arrays)
        return classifier

    def training_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return (arrays, values) from which load_training_state goes on, bitwise, after a whole epoch.

        Call it in on_epoch: after the last epoch the network may have gone back to its best.
        """
        check_is_fitted(self, "network_")
        kept = self._kept
        arrays = _keras_network().state(self.network_)
        arrays |= {f"best.{name}": array for name, array in kept.best.items()}
        values = {
            "seed": self._seed,
            "epoch": kept.last_epoch,
            "best_epoch": kept.best_epoch,
            "best_score": list(kept.best_score),
            "history": [record.as_dict() for record in self.history_],
        }
        return arrays, values

    def load_training_state(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Make the next fit, with the same settings and data, go on from training_state's arrays and values."""
        self._resumed = arrays, values

    def _parts(
        self, X: Any, y: Any, validation_data: tuple[Any, Any] | None, sample_weight: Any
    ) -> tuple[_Part, np.ndarray | None, _Part | None]:
        """Return (X, targets) to train on, its weights, and (X, targets) to validate on, all checked."""
        X = checked_features(self, X, reset=True)
        self.classes_, targets = checked_labels(y, len(X))
        weight = checked_weights(sample_weight, self.class_weight, self.classes_[targets])
        if validation_data is not None:
            X_val = checked_features(self, validation_data[0], reset=False)
            return (
                (X, targets),
                weight,
                (X_val, checked_targets(validation_data[1], len(X_val), self.classes_)),
            )
        if not self.patience:
            return (X, targets), weight, None
        rows, val = carve_validation(targets, self.validation_fraction, self._seed)
        weight = None if weight is None else weight[rows]
        return (X[rows], targets[rows]), weight, (X[val], targets[val])

    def _after_epoch(
        self, epoch: int, seconds: float, training: _Part, validation: _Part | None, on_epoch: OnEpoch | None
    ) -> bool:
        """Write the record, keep the weights, tell the listener; return whether to go on."""
        keras_network = _keras_network()
        measured = [
            self._judge(keras_network.raw_outputs(self.network_, part[0]), part[1])
            for part in (training, validation)
            if part is not None
        ]
        rate = keras_network.rate(self.network_)
        if not all(math.isfinite(loss) for loss, _ in measured):
            raise DivergenceError(
                f"The loss is not a finite number any more after epoch {epoch} (learning rate {rate:g}).",
                "Lower the learning rate, a tenth is a good next try; the best epoch's weights are kept.",
            )
        record = EpochRecord(epoch, seconds, rate, *measured[0], *(measured[1] if validation else ()))
        self.history_.append(record)
        self._kept.note(record, keras_network.weights(self.network_))
        self.best_epoch_ = self._kept.best_epoch if self.patience else epoch
        if on_epoch is not None:
            on_epoch(record, self)
        return not self.patience or epoch - self._kept.best_epoch < self.patience

    def _go_back(self, *, to_best: bool) -> None:
        kept = self._kept
        weights, self.best_epoch_ = (kept.best, kept.best_epoch) if to_best else (kept.last, kept.last_epoch)
        if weights:
            _keras_network().set_weights(self.network_, weights)

    def _take_state(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        keras_network = _keras_network()
        keras_network.set_state(self.network_, arrays)
        best = {name.removeprefix("best."): a for name, a in arrays.items() if name.startswith("best.")}
        last = keras_network.weights(self.network_)
        self._kept = _Kept(
            best,
            values["best_epoch"],
            (values["best_score"][0], values["best_score"][1]),
            last,
            values["epoch"],
        )
        self.history_ = [EpochRecord(**record) for record in values["history"]]

    def _judge(self, raw: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
        losses = LOSSES[self.loss](raw.dtype).losses(raw, targets)
        return float(losses.mean(dtype=np.float64)), float((raw.argmax(axis=1) == targets).mean())

    def _raw_outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "network_")
        return _keras_network().raw_outputs(self.network_, checked_features(self, X, reset=False))

    def _sizes(self) -> tuple[int, ...]:
        return self.n_features_in_, *hidden_sizes(self.hidden_layer_sizes), len(self.classes_)

    def _new_network(self) -> Any:
        return _keras_network().build(
            self._sizes(),
            init=self.init,
            activation=self.activation,
            l2=self.l2,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            seed=self._seed,
        )

    # A Keras model pickles through files; its weights alone are enough to build it again.
    def __getstate__(self) -> dict[str, Any]:
        """Return the settings and what was learned, the network as arrays."""
        state = dict(super().__getstate__())
        if "network_" in state:
            state["network_"] = _keras_network().weights(state["network_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take back what __getstate__ returned."""
        super().__setstate__(state)
        if "network_" in state:
            self.network_ = self._new_network()
            _keras_network().set_weights(self.network_, state["network_"])


def _keras_network() -> ModuleType:
    """Return the module that imports Keras, imported only now: it takes seconds, and Keras is an extra."""
    # Keras looks for TensorFlow unless told otherwise, and it looks only once, when it is imported.
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        from linnaea.classifiers import keras_network
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise MissingExtraError("Keras", "keras") from error
        raise LinnaeaError(
            f"Keras' backend '{os.environ['KERAS_BACKEND']}' cannot be imported ({error}).",
            "Install it, or set KERAS_BACKEND=torch.",
        ) from error
    return keras_network
