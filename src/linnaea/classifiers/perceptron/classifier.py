"""MLPClassifier: a multi-layer perceptron under scikit-learn's conventions, in NumPy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from linnaea.classifiers.contract import EpochRecord, OnEpoch
from linnaea.classifiers.perceptron import inputs, state
from linnaea.classifiers.perceptron.batches import Batches, Part
from linnaea.classifiers.perceptron.course import Course
from linnaea.classifiers.perceptron.interrupts import SignalsHeldBack
from linnaea.classifiers.perceptron.network import Network, new_parameters, shapes_of
from linnaea.classifiers.perceptron.schedules import rate_at
from linnaea.classifiers.perceptron.settings import check_settings, hidden_sizes, seed_from
from linnaea.classifiers.perceptron.solvers import SOLVERS, Solver, views
from linnaea.errors import DataError, DivergenceError
from linnaea.streams import Purpose, stream


class MLPClassifier(ClassifierMixin, BaseEstimator):
    """Multi-layer perceptron for classification.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(50,)
        Units of each hidden layer; () is a linear classifier.
    """

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (50,),
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
        max_norm: float | None = None,
        augment: str | None = None,
        patience: int = 0,
        validation_fraction: float = 0.1,
        class_weight: Any = None,
        dtype: str = "float32",
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
        self.max_norm = max_norm
        self.augment = augment
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.dtype = dtype
        self.progress = progress
        self.random_state = random_state

    # The loop: fit → _run_epoch → _train_step.

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        sample_weight: Any = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Learn from X and y."""
        train, validation = self._prepare(X, y, validation_data, sample_weight)
        course, network, solver = self._course, self._network(training=True), self._solver()
        batches = Batches(train, self.batch_size, self.seed_)
        with tqdm(total=self.epochs, initial=course.epoch, disable=not self.progress, unit="epoch") as bar:
            while True:
                if len(self.history_) == course.epoch:
                    record = self._close_epoch(network, solver, train, validation)
                    bar.set_postfix(
                        {"loss": f"{record.train_loss:.4f}", "accuracy": f"{record.train_accuracy:.4f}"}
                    )
                    if on_epoch is not None:
                        on_epoch(record, self)
                if course.epoch >= self.epochs or course.is_over(self.patience):
                    break
                self._run_epoch(network, solver, batches)
                bar.update()
        if self.patience and course.best is not None:
            self._restore_best()
        return self

    def _run_epoch(self, network: Network, solver: Solver, batches: Batches) -> None:
        """Go through the batches of one epoch, from the first step not yet made."""
        course = self._course
        with self._timed_steps(solver) as signals:
            for x, targets, weights in batches.epoch(course.epoch + 1, course.step):
                # The rate in the middle of the step: never 0 in a warm-up, nor in the last step.
                solver.rate = self._rate(course.epoch + (course.step + 0.5) / batches.steps)
                dropping = self.dropout or self.input_dropout
                rng = stream(self.seed_, Purpose.DROPOUT, course.epoch + 1, course.step) if dropping else None
                self._train_step(network, solver, x, targets, weights, rng)
                course.step += 1
                signals.release()
            course.epoch, course.step = course.epoch + 1, 0

    def _train_step(
        self,
        network: Network,
        solver: Solver,
        x: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        rng: np.random.Generator | None,
    ) -> None:
        """Forward, backward, and one step of the solver, which layers call as each gradient is found."""
        outputs = network.forward(x, rng)
        delta = network.loss.delta(outputs, targets)
        if weights is not None:
            delta *= weights[:, None]
        network.backward(delta, solver)
        solver.finish()
        if self.max_norm is not None:
            network.limit_norms(self.max_norm)

    @contextmanager
    def _timed_steps(self, solver: Solver) -> Iterator[SignalsHeldBack]:
        started = time.perf_counter()
        # Overflow is looked for once an epoch, in _close_epoch, not warned of at each operation.
        with SignalsHeldBack() as signals, np.errstate(all="ignore"):
            try:
                yield signals
            finally:
                self._course.seconds += time.perf_counter() - started
                self._course.solver_steps = solver.steps

    def _close_epoch(
        self, network: Network, solver: Solver, train: Part, validation: Part | None
    ) -> EpochRecord:
        """Evaluate both parts with the network as it now is; record it, and stop if it has diverged."""
        course = self._course
        with np.errstate(all="ignore"):
            train_loss, train_accuracy = network.evaluate(train)
            val = network.evaluate(validation) if validation is not None else (None, None)
        rate = solver.rate or self._rate(course.epoch)
        record = EpochRecord(course.epoch, course.seconds, rate, train_loss, train_accuracy, *val)
        if not (np.isfinite(train_loss) and np.isfinite(self.parameters_).all()):
            if course.best is not None:
                self._restore_best()
            raise DivergenceError(
                f"Training diverged in epoch {course.epoch}: the loss is {train_loss}.",
                f"Lower the learning rate (now {self.learning_rate:g}), or scale the features to 0..1.",
            )
        course.seconds = 0.0
        self.history_.append(record)
        self.chosen_epoch_ = course.epoch
        course.note(record, self.parameters_)
        return record

    # What the loop stands on.

    def _prepare(
        self, X: Any, y: Any, validation_data: tuple[Any, Any] | None, sample_weight: Any
    ) -> tuple[Part, Part | None]:
        """Check everything, number the classes, and begin a course or go on with the one that was loaded."""
        check_settings(self.get_params(deep=False))
        X = inputs.features(self, X, reset=True)
        y = inputs.labels(y, len(X))
        classes = np.unique(y)
        weights = inputs.weights_of_rows(sample_weight, self.class_weight, X, y, classes)
        resumed = getattr(self, "_loaded_course", None)
        if resumed is None:
            self.seed_ = seed_from(self.random_state)
        self._set_classes(classes)
        train = Part(X, inputs.class_numbers(y, classes), weights)
        validation = None
        if validation_data is not None:
            X_val = inputs.features(self, validation_data[0])
            y_val = inputs.labels(validation_data[1], len(X_val), "validation y")
            validation = Part(X_val, inputs.class_numbers(y_val, classes, "validation y"))
        elif self.patience:
            train, validation = inputs.carve(train, self.validation_fraction, self.seed_)
        if resumed is None:
            self._begin()
        else:
            self._go_on(*resumed)
        return train, validation

    def _set_classes(self, classes: np.ndarray) -> None:
        if len(classes) < 2:
            raise DataError(
                f"y holds one class only, {classes[0]!r}.",
                "A classifier needs at least two classes to tell apart.",
            )
        self.classes_ = classes

    def _begin(self) -> None:
        self._sizes = (self.n_features_in_, *hidden_sizes(self.hidden_layer_sizes), len(self.classes_))
        self.parameters_ = new_parameters(self._sizes, self.init, self.activation, self.seed_, self.dtype)
        self.history_: list[EpochRecord] = []
        self.chosen_epoch_ = 0
        self._course = Course()

    def _go_on(self, course: Course, parameters: np.ndarray, history: list[EpochRecord]) -> None:
        self._begin()
        if parameters.shape != self.parameters_.shape or parameters.dtype != self.parameters_.dtype:
            raise DataError(
                f"The training state holds {parameters.size:,} {parameters.dtype} parameters; "
                f"this network has {self.parameters_.size:,} {self.parameters_.dtype}.",
                "Go on with the settings and classes the training began with.",
            )
        self._course, self.parameters_, self.history_ = course, parameters, history
        del self._loaded_course

    def _network(self, *, training: bool = False) -> Network:
        # A network of its own for each caller: workspaces are not shared between threads that predict.
        dropout = {"dropout": self.dropout, "input_dropout": self.input_dropout} if training else {}
        return Network(
            self.parameters_, self._sizes, activation=self.activation, loss=self.loss, l2=self.l2, **dropout
        )

    def _solver(self) -> Solver:
        momentum = {"momentum": self.momentum} if self.solver == "nesterov" else {}
        solver: Solver = SOLVERS[self.solver](self.parameters_, shapes_of(self._sizes), **momentum)
        solver.resume(self._course.memory, self._course.solver_steps)
        self._course.memory = solver.memory
        return solver

    def _rate(self, done: float) -> float:
        return rate_at(
            done,
            base=self.learning_rate,
            schedule=self.schedule,
            warmup_epochs=self.warmup_epochs,
            epochs=self.epochs,
        )

    def _restore_best(self) -> None:
        np.copyto(self.parameters_, self._course.best)
        self.chosen_epoch_ = self._course.best_epoch

    # What a fitted classifier can do.

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go once through X and y."""
        check_settings(self.get_params(deep=False))
        first = not hasattr(self, "parameters_")
        X = inputs.features(self, X, reset=first)
        y = inputs.labels(y, len(X))
        if first:
            self.seed_ = seed_from(self.random_state)
            self._set_classes(np.unique(y if classes is None else classes))
            self._begin()
        weights = inputs.weights_of_rows(sample_weight, self.class_weight, X, y, self.classes_)
        part = Part(X, inputs.class_numbers(y, self.classes_), weights)
        self._run_epoch(
            self._network(training=True), self._solver(), Batches(part, self.batch_size, self.seed_)
        )
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the raw outputs."""
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, classes)."""
        outputs = self._outputs(X)
        return self._network().loss.probabilities(outputs)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the largest output for each row, (n,)."""
        return self.classes_[self._outputs(X).argmax(axis=1)]

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "parameters_")
        return self._network().outputs(inputs.features(self, X))

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weight matrices, (inputs, outputs) each: views of parameters_."""
        return views(self.parameters_, shapes_of(self._sizes))[::2]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases, (outputs,) each: views of parameters_."""
        return [bias[0] for bias in views(self.parameters_, shapes_of(self._sizes))[1::2]]

    def describe(self) -> dict[str, Any]:
        """Return {"summary": "784-50-10, relu", "parameters": count}."""
        check_is_fitted(self, "parameters_")
        return {
            "summary": f"{'-'.join(map(str, self._sizes))}, {self.activation}",
            "parameters": int(self.parameters_.size),
        }

    def save(self, folder: str | Path) -> None:
        """Write weights.safetensors and model.json into folder."""
        check_is_fitted(self, "parameters_")
        tensors = {f"coefs.{i}": w for i, w in enumerate(self.coefs_)}
        tensors |= {f"intercepts.{i}": b for i, b in enumerate(self.intercepts_)}
        model = {
            "classes": state.classes_as_json(self.classes_),
            "n_features_in": int(self.n_features_in_),
            "chosen_epoch": self.chosen_epoch_,
            "parameters": state.parameters_as_json(self.get_params(deep=False)),
        }
        state.write(Path(folder), tensors, model)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the classifier that save wrote."""
        tensors, model = state.read(Path(folder))
        try:
            classifier = cls(**state.parameters_from_json(model["parameters"]))
            check_settings(classifier.get_params(deep=False))
            classifier.classes_ = np.array(model["classes"])
            classifier.n_features_in_ = model["n_features_in"]
            classifier.seed_ = seed_from(classifier.random_state)
            classifier._begin()
            for i, (w, b) in enumerate(zip(classifier.coefs_, classifier.intercepts_, strict=True)):
                for into, name in ((w, f"coefs.{i}"), (b, f"intercepts.{i}")):
                    if tensors[name].shape != into.shape:
                        raise DataError(
                            f"{name} has shape {tensors[name].shape}; model.json asks for {into.shape}."
                        )
                    into[...] = tensors[name]
            classifier.chosen_epoch_ = model["chosen_epoch"]
        except (KeyError, TypeError) as error:
            raise DataError(f"The model in {folder} is damaged ({type(error).__name__}: {error}).") from error
        return classifier

    def training_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what exact resume needs: named arrays, and plain JSON values."""
        check_is_fitted(self, "parameters_")
        arrays, values = state.course_as_state(self._course, self.parameters_, self.history_)
        return arrays, values | {"seed": self.seed_}

    def load_training_state(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take back what training_state returned; the next fit goes on from there."""
        self._loaded_course = state.course_from_state(arrays, values)
        self.seed_ = values["seed"]
