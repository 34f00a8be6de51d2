"""KerasMLPClassifier: the same perceptron as MLPClassifier, built and trained by Keras 3."""

import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from linnaea.classifiers.common import samples
from linnaea.classifiers.common.progress import TrainingProgress, whole_state
from linnaea.classifiers.common.samples import Samples
from linnaea.classifiers.contract import OnEpoch, OnStep, TrainingState
from linnaea.classifiers.perceptron.estimator import Perceptron
from linnaea.classifiers.perceptron.network import shapes_of
from linnaea.classifiers.perceptron.solvers import views
from linnaea.errors import DataError, DivergenceError, LinnaeaError, MissingExtraError
from linnaea.settings import KERAS


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


@dataclass(eq=False, repr=False)
class KerasMLPClassifier(Perceptron):
    """A multi-layer perceptron in Keras 3, on the torch backend unless KERAS_BACKEND names another.

    The settings are MLPClassifier's, without max_norm, augment and dtype, and mean the same: under one seed
    both start from the same weights and see the same batches, so without dropout they tell the same story up
    to rounding. hidden_layer_sizes is (512,) where nobody chooses it.

    Attributes
    ----------
    classes_, history_, chosen_epoch_, sizes_, n_features_in_, seed_
        As MLPClassifier's; parameters_, coefs_ and intercepts_ are copies.
    network_ : keras.Model
        Ends in raw outputs (logits).
    """

    KIND = KERAS
    dtype = "float32"  # of the features and of all computation

    hidden_layer_sizes: tuple[int, ...] = (512,)

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
        super().check_settings()

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
        """Learn from X (n, features) and labels y (n,), as MLPClassifier does.

        Raises as that does, and MissingExtraError where Keras is not installed. After Ctrl-C the network
        holds the last whole epoch (where the best is kept: that), and KeyboardInterrupt goes on to the
        caller.
        """
        state = self._state_to_resume()
        train, validation = self._prepare(X, y, validation_data, sample_weight, state)
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
        if state is not None:
            self._resume(*state)
        progress = self._progress

        def after_epoch(epoch: int, seconds: float) -> bool:
            weights, is_finite = backend.parameters(self.network_), backend.is_finite(self.network_)
            record = self._close_epoch(
                epoch, seconds, train, validation, weights=weights, is_finite=is_finite
            )
            self._last = weights
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

    def _go_back(self, *, to_best: bool) -> None:
        """Hold the best epoch's weights, or the last whole epoch's: never those of half an epoch."""
        progress, weights = self._progress, self._last
        self.chosen_epoch_ = progress.epoch
        if to_best and progress.kept is not None:
            self.chosen_epoch_, weights = progress.kept_epoch, progress.kept
        keras_network().set_parameters(self.network_, weights)

    def _begin(self) -> None:
        """Build the network with its first weights; nothing has been learned yet."""
        super()._begin()
        self.network_ = self._build()
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
        parameters = keras_network().parameters(self.network_)
        for weights in views(parameters, shapes_of(self.sizes_))[::2]:
            weights[...] = weights.reshape(weights.shape[::-1]).T.copy()
        return parameters

    def _evaluate(self, rows: Samples) -> tuple[float, float]:
        return keras_network().evaluate(self.network_, self._loss(), rows)

    def _outputs(self, X: np.ndarray) -> np.ndarray:
        return keras_network().raw_outputs(self.network_, X)

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer sees, float32 (n, width): the last hidden units; X where there are none.

        Raises as predict_proba does.
        """
        check_is_fitted(self, "network_")
        return keras_network().last_hidden(self.network_, samples.features(self, X))

    # A training that goes on, and the network on disk.

    def training_state(self) -> TrainingState:
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

    def _resume(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Put a training that began with the same settings to where training_state was asked for."""
        best = arrays["best"].copy() if "best" in arrays else None
        self._go_on_with(TrainingProgress.from_json(values, best))
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

    @staticmethod
    def _layer_names(sizes: tuple[int, ...]) -> list[tuple[str, str]]:
        """Return what the weights and the biases of each layer are called in a file."""
        layers = [*(f"hidden_{number}" for number in range(1, len(sizes) - 1)), "output"]
        return [(f"{layer}.kernel", f"{layer}.bias") for layer in layers]

    def _set_layers(self, layers: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self._last = np.concatenate([array.ravel() for layer in layers for array in layer])
        keras_network().set_parameters(self.network_, self._last)

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
