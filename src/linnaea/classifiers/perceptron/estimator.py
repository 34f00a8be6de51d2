"""What both perceptrons are to scikit-learn: rows checked, epochs recorded, classes predicted, files."""

from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from linnaea.classifiers.common import samples
from linnaea.classifiers.common.progress import TrainingProgress, by_accuracy, whole_state
from linnaea.classifiers.common.samples import Samples
from linnaea.classifiers.common.saved import SavedModel, count_of
from linnaea.classifiers.common.schedules import rate_at
from linnaea.classifiers.contract import Classifier, EpochRecord, TrainingState
from linnaea.classifiers.perceptron.losses import LOSSES
from linnaea.classifiers.perceptron.network import hidden_sizes, shapes_of
from linnaea.classifiers.perceptron.solvers import views
from linnaea.errors import SettingError
from linnaea.machine import available_memory
from linnaea.random_streams import seed_from
from linnaea.settings import check
from linnaea.text import gigabytes


# scikit-learn reads the settings from the signature of __init__, whoever writes it.
@dataclass(eq=False, repr=False)
class Perceptron(ClassifierMixin, BaseEstimator, Classifier):
    """A perceptron whose layers somebody else computes; MLPClassifier describes its settings.

    Who inherits gives it KIND (its name in settings and in model.json), dtype, fit, `_layer_names`,
    `_evaluate`, `_outputs`, `_set_layers`, and parameters_: all weights and biases, flat, the weights of a
    layer as (outputs, inputs).
    """

    KIND: ClassVar[str]

    hidden_layer_sizes: tuple[int, ...] = (50,)
    _: KW_ONLY
    activation: str = "relu"
    loss: str = "cross_entropy"
    solver: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 100
    epochs: int = 20
    init: str = "auto"
    momentum: float = 0.9
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    input_dropout: float = 0.0
    patience: int = 0
    keep: str = "best"
    validation_fraction: float = 0.1
    class_weight: Any = None
    progress: bool = False
    random_state: Any = None

    def check_settings(self) -> None:
        """Raise SettingError that names every setting whose value is refused."""
        check(self.get_params(deep=False), self.KIND)

    # What a training stands on.

    def _prepare(
        self,
        X: Any,
        y: Any,
        validation_data: tuple[Any, Any] | None,
        sample_weight: Any,
        state: TrainingState | None,
    ) -> tuple[Samples, Samples | None]:
        """Check everything, number the classes, and return what to train and what to validate on."""
        self.check_settings()
        with whole_state():
            self.seed_ = seed_from(self.random_state) if state is None else int(state[1]["seed"])
        X = samples.features(self, X, reset=True)
        y = samples.labels(y, len(X))
        self.classes_ = samples.classes_of(y)
        weights = samples.weights_of_rows(sample_weight, self.class_weight, y, self.classes_, X.dtype)
        train = Samples(X, samples.class_numbers(y, self.classes_), weights)
        needed, free = self.memory_for(0, X.shape[1], len(self.classes_)), available_memory()
        if needed > free:
            raise SettingError(
                f"hidden_layer_sizes {self.hidden_layer_sizes} with {X.shape[1]:,} features would take "
                f"{gigabytes(needed)} of memory, and {gigabytes(free)} are free.",
                "Choose fewer units, or fewer features.",
            )
        if validation_data is not None:
            return train, self._samples(*samples.pair(validation_data), "validation ")
        if self.patience:
            return samples.carve(train, self.validation_fraction, self.seed_)
        return train, None

    def _samples(self, X: Any, y: Any, which: str = "") -> Samples:
        """Return the checked rows and class numbers of what is not trained on; which: "validation "."""
        X = samples.features(self, X, what=f"{which}X")
        y = samples.labels(y, len(X), f"{which}y", like=self.classes_)
        return Samples(X, samples.class_numbers(y, self.classes_, f"{which}y"))

    def memory_for(self, rows: int, features: int, classes: int) -> int:
        """Return about how many bytes a training takes: its rows, its weights, and what a solver remembers.

        The weights count four times: beside them stand their gradients and, of Adam, two means.
        """
        sizes = (features, *hidden_sizes(self.hidden_layer_sizes), classes)
        parameters = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
        return (rows * features + 4 * parameters) * np.dtype(self.dtype).itemsize

    def _begin(self) -> None:
        """Set up a training of which nothing is over."""
        self.sizes_ = (int(self.n_features_in_), *hidden_sizes(self.hidden_layer_sizes), len(self.classes_))
        self.chosen_epoch_, self.temperature_ = 0, 1.0
        self._go_on_with(TrainingProgress())

    def _go_on_with(self, progress: TrainingProgress[np.ndarray]) -> None:
        self._progress, self.history_ = progress, progress.history

    def _close_epoch(
        self,
        epoch: int,
        seconds: float,
        train: Samples,
        validation: Samples | None,
        *,
        weights: np.ndarray,
        is_finite: bool,
    ) -> EpochRecord:
        """Evaluate both sets with the network as it now is; record it, and stop if it has diverged.

        weights: what is kept of this epoch, as a copy, where it is the best.
        """
        with np.errstate(all="ignore"):
            train_loss, train_accuracy = self._evaluate(train)
            val = self._evaluate(validation) if validation is not None else (None, None)
        self._progress.refuse_divergence(
            [train_loss, val[0]],
            is_finite,
            epoch=epoch,
            learning_rate=self.learning_rate,
            remedy="scale the features to 0..1",
            train_loss=train_loss,
        )
        record = EpochRecord(epoch, seconds, self._rate(epoch), train_loss, train_accuracy, *val)
        self.chosen_epoch_ = epoch
        return self._progress.close_epoch(record, weights.copy, by_accuracy(record))

    def _schedule(self) -> dict[str, Any]:
        return {
            "base": self.learning_rate,
            "schedule": self.schedule,
            "warmup_epochs": self.warmup_epochs,
            "epochs": self.epochs,
        }

    def _rate(self, done: float) -> float:
        return rate_at(done, **self._schedule())

    # What a fitted one can do.

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, classes), columns as in classes_, rows summing to one.

        For the squared error these are the sigmoid outputs divided by their sum. They obey temperature_.

        Raises DataError for NaN or infinity, ValueError for another number of features than in fit.
        """
        columns = self._checked_outputs(X).T
        return np.ascontiguousarray(self._loss().probabilities(columns, self.temperature_).T)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the raw outputs, (n, classes); for two classes the log-odds of the second, (n,).

        Raises as predict_proba does.
        """
        outputs = self._checked_outputs(X)
        return self._loss().log_odds(outputs.T) if len(self.classes_) == 2 else np.ascontiguousarray(outputs)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the largest output for each row, (n,). Raises as predict_proba does."""
        columns = self._checked_outputs(X).argmax(axis=1)
        return self.classes_[columns]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows whose label is predicted; one that training did not have never is.

        Raises as predict_proba does, and DataError for labels of another kind than those of training.
        """
        check_is_fitted(self, "sizes_")
        return super().score(X, samples.labels(y, samples.count(X), like=self.classes_), sample_weight)

    def evaluate(self, X: Any, y: Any) -> tuple[float, float]:
        """Return the mean loss (nats for cross-entropy; without l2) and the accuracy over all rows.

        Raises DataError for labels that training did not have.
        """
        check_is_fitted(self, "sizes_")
        return self._evaluate(self._samples(X, y))

    def _checked_outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "sizes_")
        return self._outputs(samples.features(self, X))

    def _loss(self) -> Any:
        return LOSSES[self.loss](np.dtype(self.dtype))

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weights of each layer, (inputs, outputs): views of parameters_."""
        return [w.T for w in views(self.parameters_, shapes_of(self.sizes_))[::2]]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases of each layer, (outputs,): views of parameters_."""
        return [bias[:, 0] for bias in views(self.parameters_, shapes_of(self.sizes_))[1::2]]

    def describe(self) -> dict[str, Any]:
        """Return {"summary": "784-50-10, relu", "parameters": 39760}."""
        check_is_fitted(self, "sizes_")
        parameters = sum((inputs + 1) * outputs for inputs, outputs in pairwise(self.sizes_))
        return {"summary": f"{'-'.join(map(str, self.sizes_))}, {self.activation}", "parameters": parameters}

    # The network on disk.

    def save(self, folder: str | Path) -> None:
        """Write weights.safetensors and model.json into folder.

        Raises SettingError for a setting that set_params made wrong since, DataError for labels that are
        neither strings nor numbers, LinnaeaError where the disk refuses.
        """
        check_is_fitted(self, "sizes_")
        self.check_settings()
        # As it was fitted, whatever set_params said since.
        settings = {**self.get_params(deep=False), "hidden_layer_sizes": self.sizes_[1:-1]}
        arrays: dict[str, np.ndarray] = {}
        for (kernel, bias), weights, offsets in zip(
            self._layer_names(self.sizes_), self.coefs_, self.intercepts_, strict=True
        ):
            arrays |= {kernel: np.ascontiguousarray(weights), bias: offsets}
        width = {"n_features_in": int(self.n_features_in_)}
        SavedModel.of(self, self.KIND, folder, arrays, settings, **width).write()

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the classifier that save wrote; it predicts the same, and its history_ is empty.

        Raises DataError, naming the file, for one that is missing, damaged or of another model.
        """
        model = SavedModel.read(cls.KIND, folder)
        with model.damage_named():
            classifier = model.unfitted(cls)
            classifier.n_features_in_ = count_of(model.header["n_features_in"])
            classifier.seed_ = seed_from(classifier.random_state)
            sizes = (
                classifier.n_features_in_,
                *hidden_sizes(classifier.hidden_layer_sizes),
                len(classifier.classes_),
            )
            names, shapes = cls._layer_names(sizes), dict[str, tuple[int, ...]]()
            for (kernel, bias), (inputs, outputs) in zip(names, pairwise(sizes), strict=True):
                shapes |= {kernel: (inputs, outputs), bias: (outputs,)}
            # Before a network of these sizes is made.
            model.check_arrays(shapes, classifier.dtype)
            chosen, temperature = classifier.chosen_epoch_, classifier.temperature_
            classifier._begin()
            classifier.chosen_epoch_, classifier.temperature_ = chosen, temperature
        classifier._set_layers([(model.arrays[kernel], model.arrays[bias]) for kernel, bias in names])
        return classifier
