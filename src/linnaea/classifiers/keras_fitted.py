"""What a trained Keras perceptron can do: predict, describe itself, be saved, and hand over its training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from linnaea.classifiers import keras_files, saved
from linnaea.classifiers.contract import EpochRecord, saved_temperature
from linnaea.classifiers.keras_backend import keras_network
from linnaea.classifiers.perceptron import inputs, state
from linnaea.classifiers.perceptron.batches import Part
from linnaea.classifiers.perceptron.course import Course
from linnaea.classifiers.perceptron.losses import LOSSES
from linnaea.classifiers.perceptron.settings import hidden_sizes, seed_from
from linnaea.errors import LinnaeaError, MissingExtraError
from linnaea.settings import KERAS, check


class FittedKeras(ClassifierMixin, BaseEstimator):
    """The half of KerasMLPClassifier that learns nothing; KerasMLPClassifier adds settings and training."""

    dtype = "float32"  # of the features, read by inputs.features

    # Settings that are read here, and what training leaves.
    hidden_layer_sizes: Sequence[int]
    activation: str
    loss: str
    init: str
    l2: float
    dropout: float
    input_dropout: float
    random_state: Any
    classes_: np.ndarray
    history_: list[EpochRecord]
    network_: Any
    n_features_in_: int
    chosen_epoch_: int
    temperature_: float
    seed_: int
    _course: Course
    _last: np.ndarray
    _loaded_course: list[Any]

    def check_settings(self) -> None:
        """Raise SettingError that names every setting whose value is refused.

        Raises MissingExtraError where Keras is not installed: better before data is read than after.
        """
        keras_network()
        check(self.get_params(deep=False), KERAS)

    def _loss(self) -> Any:
        return LOSSES[self.loss](np.dtype(np.float32))

    @property
    def _sizes(self) -> tuple[int, ...]:
        return int(self.n_features_in_), *hidden_sizes(self.hidden_layer_sizes), len(self.classes_)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the largest output for each row, (n,)."""
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (n, classes), each row summing to one, columns in the order of classes_."""
        outputs = self._outputs(X)
        return np.ascontiguousarray(self._loss().probabilities(outputs.T, self.temperature_).T)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the raw outputs (n, classes); for two classes the second less the first, (n,)."""
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def evaluate(self, X: Any, y: Any) -> tuple[float, float]:
        """Return the mean loss (nats for cross-entropy; no penalty) and the accuracy over all rows."""
        check_is_fitted(self, "network_")
        return keras_network().evaluate(self.network_, self._loss(), self._part(X, y))

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer sees, float32 (n, width): the last hidden units; X where there are none.

        Raises as predict_proba does.
        """
        check_is_fitted(self, "network_")
        return keras_network().last_hidden(self.network_, inputs.features(self, X))

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "network_")
        return keras_network().raw_outputs(self.network_, inputs.features(self, X))

    def describe(self) -> dict[str, Any]:
        """Return {"summary": "784-512-10, relu", "parameters": 407050}: the widths, inputs to classes."""
        check_is_fitted(self, "network_")
        return {
            "summary": f"{'-'.join(map(str, self._sizes))}, {self.activation}",
            "parameters": self.network_.count_params(),
        }

    def save(self, folder: Path | str) -> None:
        """Write weights.safetensors (hidden_1.kernel, hidden_1.bias, …) and model.json into folder."""
        check_is_fitted(self, "network_")
        model = {
            "model": "keras",
            "classes": state.classes_as_json(self.classes_),
            "n_features_in": int(self.n_features_in_),
            "chosen_epoch": self.chosen_epoch_,
            "temperature": self.temperature_,
            "parameters": state.parameters_as_json(self.get_params(deep=False)),
        }
        weights = keras_files.named(self._sizes, keras_network().parameters(self.network_))
        state.write(Path(folder), weights, model)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the classifier that save wrote: it predicts the same, and its history is empty.

        Raises DataError, naming the file, where one is missing, damaged, or belongs to another network.
        """
        folder = Path(folder)
        model = keras_files.read_description(folder)
        try:
            classifier = cls(**state.parameters_from_json(model["parameters"]))
            classifier.check_settings()
            saved.check_classes(model["classes"])
            classifier.classes_ = np.array(model["classes"])
            classifier.n_features_in_ = saved.count_of(model["n_features_in"])
            classifier.seed_ = seed_from(classifier.random_state)
            # Before a network of the stated sizes is built.
            weights = keras_files.read_weights(folder, classifier._sizes)
            classifier._begin()
            classifier.chosen_epoch_ = int(model["chosen_epoch"])
            classifier.temperature_ = saved_temperature(model)
        except MissingExtraError:
            raise
        except LinnaeaError as error:
            raise saved.refusal(error, folder) from error
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise saved.refusal(error, folder, keras_files.CURE) from error
        classifier._last = weights
        keras_network().set_parameters(classifier.network_, classifier._last)
        return classifier

    def _begin(self) -> None:
        """Build the network with its first weights; nothing has been learned yet."""
        self.network_ = self._build()
        self.history_: list[EpochRecord] = []
        self.chosen_epoch_, self.temperature_ = 0, 1.0
        self._course = Course()
        self._last = keras_network().parameters(self.network_)

    def _build(self) -> Any:
        return keras_network().build(
            self._sizes,
            init=self.init,
            activation=self.activation,
            l2=self.l2,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            seed=self.seed_,
        )

    def _part(self, X: Any, y: Any, what: str = "y") -> Part:
        """Return the checked rows and class numbers of pictures that are not trained on."""
        X = inputs.features(self, X)
        return Part(X, inputs.class_numbers(inputs.labels(y, len(X), what), self.classes_, what))

    def training_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what exact resume needs: named arrays, and plain JSON values.

        Call it in on_epoch or on_step: at the end of fit the network may have gone back to an earlier epoch.
        """
        check_is_fitted(self, "network_")
        self._course.memory = keras_network().state(self.network_)
        return keras_files.course_as_state(self._course, self._last, self.history_, self.seed_)

    def load_training_state(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take back what training_state returned; the next fit, with the same data, goes on from it."""
        *self._loaded_course, self.seed_ = keras_files.course_from_state(arrays, values)

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
