"""What a trained perceptron can do: predict, describe itself, be saved, and hand over its training."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from linnaea.classifiers import saved
from linnaea.classifiers.contract import EpochRecord, saved_temperature
from linnaea.classifiers.perceptron import inputs, state
from linnaea.classifiers.perceptron.batches import Part
from linnaea.classifiers.perceptron.course import Course
from linnaea.classifiers.perceptron.network import Network, new_parameters, shapes_of
from linnaea.classifiers.perceptron.settings import hidden_sizes, seed_from
from linnaea.classifiers.perceptron.solvers import views
from linnaea.errors import LinnaeaError
from linnaea.settings import MLP, check


class FittedPerceptron(ClassifierMixin, BaseEstimator):
    """The half of MLPClassifier that learns nothing; MLPClassifier adds settings and training."""

    # Settings that are read here, and what training leaves.
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    loss: str
    init: str
    l2: float
    dropout: float
    input_dropout: float
    dtype: str
    random_state: Any
    classes_: np.ndarray
    history_: list[EpochRecord]
    parameters_: np.ndarray
    n_features_in_: int
    chosen_epoch_: int
    temperature_: float
    seed_: int
    _sizes: tuple[int, ...]
    _course: Course

    def check_settings(self) -> None:
        """Raise SettingError that names every setting whose value is refused."""
        check(self.get_params(deep=False), MLP)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the raw outputs, (n, classes); for two classes the log-odds of the second, (n,).

        Raises as predict_proba does.
        """
        outputs = self._outputs(X)
        return self._network().loss.log_odds(outputs) if len(self.classes_) == 2 else outputs.T.copy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, classes), columns as in classes_, rows summing to one.

        For the squared error these are the sigmoid outputs divided by their sum. They obey temperature_.

        Raises DataError for NaN or infinity, ValueError for another number of features than in fit.
        """
        outputs = self._outputs(X)
        return self._network().loss.probabilities(outputs, self.temperature_).T.copy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the largest output for each row, (n,). Raises as predict_proba does."""
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(axis=0)]

    def evaluate(self, X: Any, y: Any) -> tuple[float, float]:
        """Return the mean loss (nats for cross-entropy; without l2) and the accuracy over all rows.

        Raises DataError for labels that training did not have.
        """
        check_is_fitted(self, "parameters_")
        X = inputs.features(self, X)
        targets = inputs.class_numbers(inputs.labels(y, len(X)), self.classes_)
        return self._network().evaluate(Part(X, targets))

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer sees, float32 (n, width): the last hidden units; X where there are none.

        Raises as predict_proba does.
        """
        check_is_fitted(self, "parameters_")
        return self._network().last_hidden(inputs.features(self, X))

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the raw outputs as columns, (classes, n)."""
        check_is_fitted(self, "parameters_")
        return self._network().outputs(inputs.features(self, X))

    def _network(self, *, training: bool = False) -> Network:
        # One for each caller: threads that predict at the same time must not share workspaces.
        dropout = {"dropout": self.dropout, "input_dropout": self.input_dropout} if training else {}
        return Network(
            self.parameters_, self._sizes, activation=self.activation, loss=self.loss, l2=self.l2, **dropout
        )

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weights of each layer, (inputs, outputs): views of parameters_."""
        return [w.T for w in views(self.parameters_, shapes_of(self._sizes))[::2]]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases of each layer, (outputs,): views of parameters_."""
        return [bias[:, 0] for bias in views(self.parameters_, shapes_of(self._sizes))[1::2]]

    def describe(self) -> dict[str, Any]:
        """Return {"summary": "784-50-10, relu", "parameters": 39760}."""
        check_is_fitted(self, "parameters_")
        summary = f"{'-'.join(map(str, self._sizes))}, {self.activation}"
        return {"summary": summary, "parameters": int(self.parameters_.size)}

    def _begin(self) -> None:
        """Make the network of the first step; or, once, the one that load_training_state brought."""
        state_to_go_on_from = self.__dict__.pop("_loaded_state", None)
        self.seed_, self.temperature_ = seed_from(self.random_state), 1.0
        self._sizes = (int(self.n_features_in_), *hidden_sizes(self.hidden_layer_sizes), len(self.classes_))
        if state_to_go_on_from is not None:
            arrays, values = state_to_go_on_from
            course, self.parameters_, self.history_, self.seed_ = state.course_from_state(
                arrays, values, self._sizes, self.dtype
            )
            self._course, self.chosen_epoch_ = course, course.epoch
            return
        self.parameters_ = new_parameters(self._sizes, self.init, self.activation, self.seed_, self.dtype)
        self._course, self.history_, self.chosen_epoch_ = Course(), [], 0

    def training_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return copies of the arrays, and the plain JSON values, from which fit can go on exactly."""
        check_is_fitted(self, "parameters_")
        return state.course_as_state(self._course, self.parameters_, self.history_, self.seed_)

    def load_training_state(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take back what training_state returned; the next fit, with the same settings and data, goes on.

        That fit raises DataError where the state is incomplete or belongs to another network.
        """
        self._loaded_state = (arrays, values)

    def save(self, folder: str | Path) -> None:
        """Write weights.safetensors and model.json into folder.

        Raises SettingError for a setting that set_params made wrong since, DataError for labels that are
        neither strings nor numbers, LinnaeaError where the disk refuses.
        """
        check_is_fitted(self, "parameters_")
        self.check_settings()
        # As it was fitted, whatever set_params said since.
        settings = {**self.get_params(deep=False), "hidden_layer_sizes": self._sizes[1:-1]}
        tensors = {f"coefs.{i}": np.ascontiguousarray(w) for i, w in enumerate(self.coefs_)}
        tensors |= {f"intercepts.{i}": b for i, b in enumerate(self.intercepts_)}
        model = {
            "classes": state.classes_as_json(self.classes_),
            "n_features_in": int(self.n_features_in_),
            "chosen_epoch": self.chosen_epoch_,
            "temperature": self.temperature_,
            "parameters": state.parameters_as_json(settings),
        }
        state.write(Path(folder), tensors, model)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the classifier that save wrote; it predicts the same, and its history_ is empty.

        Raises DataError, naming the file, for one that is missing, damaged or of another model.
        """
        path = Path(folder)
        tensors, model = state.read(path)
        try:
            classifier = cls(**state.parameters_from_json(model["parameters"]))
            classifier.check_settings()
            saved.check_classes(model["classes"])
            classifier.classes_ = inputs.classes_of(np.array(model["classes"]))
            classifier.n_features_in_ = saved.count_of(model["n_features_in"])
            hidden = hidden_sizes(classifier.hidden_layer_sizes)
            sizes = (classifier.n_features_in_, *hidden, len(classifier.classes_))
            state.check_sizes(sizes, classifier.dtype, tensors, path)
            classifier._begin()
            classifier.chosen_epoch_ = int(model["chosen_epoch"])
            classifier.temperature_ = saved_temperature(model)
        except LinnaeaError as error:
            # A setting out of range, or sizes that the weights do not have: which file, it says already.
            raise saved.refusal(error, path) from error
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise saved.refusal(error, path, "Save the model again.") from error
        state.fill(classifier.coefs_, "coefs", tensors, path)
        state.fill(classifier.intercepts_, "intercepts", tensors, path)
        return classifier
