"""MLPClassifier: a multi-layer perceptron under scikit-learn's conventions, in NumPy."""

import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from linnaea import signals
from linnaea.classifiers.common import samples
from linnaea.classifiers.common.progress import TrainingProgress, whole_state
from linnaea.classifiers.common.samples import Samples
from linnaea.classifiers.contract import OnEpoch, OnStep, TrainingState
from linnaea.classifiers.perceptron.batches import Batches
from linnaea.classifiers.perceptron.estimator import Perceptron
from linnaea.classifiers.perceptron.network import Network, new_parameters, shapes_of
from linnaea.classifiers.perceptron.solvers import SOLVERS, Solver
from linnaea.errors import DataError, DivergenceError
from linnaea.progress_bar import ProgressBar
from linnaea.random_streams import Purpose, seed_from, stream
from linnaea.settings import MLP


@dataclass(eq=False, repr=False)
class MLPClassifier(Perceptron):
    """Multi-layer perceptron, trained in mini-batches by backpropagation.

    The gradient of a step is the mean over its batch, plus l2 · W. With one integer seed two trainings on the
    same machine and number of threads give the same weights, bit for bit; so does a training that was
    broken off and resumed.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(50,)
        Units of each hidden layer; () is a linear classifier.
    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Of the hidden units.
    loss : {"cross_entropy", "squared_error"}, default="cross_entropy"
        Softmax cross-entropy on the outputs, or the textbook's ½ Σ (a - target)² on sigmoid outputs a
        (Nielsen 2015). The textbook's code, too, divides the summed gradient by the batch size.
    solver : {"adam", "nesterov", "sgd"}, default="adam"
        Adam (Kingma and Ba 2015), Nesterov momentum (Sutskever et al. 2013), or plain gradient descent.
    learning_rate : float, default=0.001
        0.1 is a good first guess for "sgd", 0.05 for "nesterov".
    batch_size : int, default=100
        Rows a step; all of them where there are fewer.
    epochs : int, default=20
        Passes over the training set, at most.
    init : {"auto", "normal", "xavier", "he"}, default="auto"
        Deviation of the normal first weights: 0.1 for "normal"; "auto" is "he" before a ReLU, else "xavier".
        Biases start at zero.
    momentum : float in [0, 1), default=0.9
        Of "nesterov"; the others have none.
    schedule : {"constant", "cosine"}, default="constant"
        "cosine" falls to zero at the end of the last epoch.
    warmup_epochs : float, default=0.0
        Epochs over which the rate first grows linearly to learning_rate.
    l2 : float, default=0.0
        Adds l2/2 · ΣW² to the objective; biases are free. The losses in history_ are without it.
    dropout, input_dropout : float in [0, 1), default=0.0
        Chance that a hidden unit, or an input, is left out of a step (Srivastava et al. 2014).
    max_norm : float or None, default=None
        Largest norm of a hidden unit's incoming weights, restored after each step (ibid.).
    augment : {None, "digits"}, default=None
        "digits": rows are square grey pictures, ink above 0, bent anew each time they are seen.
    patience : int, default=0
        Stop when so many epochs brought no higher validation accuracy (among equals: no lower loss). 0: go
        through all epochs.
    keep : {"best", "last"}, default="best"
        Which epoch's weights are kept: that of the best validation accuracy, or the last. Where nothing is
        validated on, it is the last.
    validation_fraction : float in (0, 1), default=0.1
        Carved out of X, stratified, where patience asks for a validation set and none is passed.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, as in scikit-learn.
    dtype : {"float32", "float64"}, default="float32"
        Of the weights and all computation. X of this type, C-contiguous, is used as it is, never copied
        whole; other types are cast once. Integers are cast, not scaled: divide bytes by 255 before.
    progress : bool, default=False
        Show a progress bar.
    random_state : int, RandomState or None, default=None
        An integer is the seed itself.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        Sorted.
    history_ : list of EpochRecord
        One an epoch, epoch 0 (before training) included. Both sets are evaluated with the network in the
        same state, after the epoch, without dropout or distortion; this is not part of `seconds`.
    chosen_epoch_ : int
        The epoch whose weights the classifier holds.
    parameters_ : ndarray of shape (parameters,)
        All weights and biases; coefs_ and intercepts_ are views of it, layer by layer.
    sizes_ : tuple of int
        Features, hidden units, classes.
    n_features_in_, seed_ : int
        Features of X, and the seed that was used.

    References
    ----------
    C. M. Bishop, Pattern Recognition and Machine Learning, 2006, chapter 5.
    M. A. Nielsen, Neural Networks and Deep Learning, 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> MLPClassifier((64,), epochs=20, random_state=0).fit(X / 16, y).score(X / 16, y) > 0.9
    True
    """

    KIND = MLP

    # Beside those of every perceptron.
    _: KW_ONLY
    max_norm: float | None = None
    augment: str | None = None
    dtype: str = "float32"

    # The loop: fit → _run_epoch → _train_step.

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        sample_weight: Any = None,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> Self:
        """Learn from X (n, features) and labels y (n,).

        Parameters
        ----------
        validation_data : tuple (X, y), optional
            Evaluated after each epoch; decides when patience is over.
        sample_weight : array of shape (n,), optional
            Only ratios count: the weights are scaled to mean one.
        on_epoch : callable, optional
            Called with (record, self) after each epoch, 0 included; self predicts with the present weights.
        on_step : callable, optional
            Called with ("", rows done, rows, seconds) of the epoch after each step; training_state may be
            asked for there.

        Raises SettingError for a setting, DataError for arrays that cannot be used, DivergenceError when loss
        or weights leave the finite numbers or the loss grows tenfold; the classifier then holds the weights
        of the best epoch. After KeyboardInterrupt too, where the best is kept; else those of the last whole
        step.
        """
        state = self._state_to_resume()
        train, validation = self._prepare(X, y, validation_data, sample_weight, state)
        self._begin()
        if state is not None:
            self._resume(*state)
        progress, network, solver = self._progress, self._network(training=True), self._new_solver()
        batches = Batches(train, self.batch_size, self.seed_, self.augment)
        try:
            with ProgressBar("Epoch", self.epochs, done=progress.epoch, shown=self.progress) as bar:
                while True:
                    if progress.awaits_record:
                        # The solver's memory, too: a training that went on with it would only stand still.
                        arrays = [self.parameters_, *self._solver_memory.values()]
                        record = self._close_epoch(
                            progress.epoch,
                            progress.seconds,
                            train,
                            validation,
                            weights=self.parameters_,
                            is_finite=all(np.isfinite(array).all() for array in arrays),
                        )
                        bar.show(loss=record.train_loss, accuracy=record.train_accuracy)
                        if on_epoch is not None:
                            on_epoch(record, self)
                    if progress.is_over(self.epochs, self.patience):
                        break
                    self._run_epoch(network, solver, batches, self._rate, on_step)
                    bar.update()
        except DivergenceError:
            self._restore_best()
            raise
        finally:
            # Also after Ctrl-C: what is chosen on validation is the best epoch, whenever training ends.
            if self.keep == "best" and validation is not None:
                self._restore_best()
        return self

    def _run_epoch(
        self,
        network: Network,
        solver: Solver,
        batches: Batches,
        rate: Callable[[float], float],
        on_step: OnStep | None = None,
    ) -> None:
        """Go through the batches of one epoch, from the first step not yet made."""
        progress, epoch, rows = self._progress, self._progress.epoch + 1, len(batches.samples)
        dropping = self.dropout > 0 or self.input_dropout > 0
        started = time.perf_counter() - progress.seconds
        # Overflow is looked for once an epoch, in _close_epoch, not warned of at each operation.
        with signals.between_steps() as poll, np.errstate(all="ignore"):
            for x, targets, weights in batches.epoch(epoch, progress.step):
                # The rate in the middle of the step: zero neither in the first of a warm-up nor in the last.
                solver.rate = rate(progress.epoch + (progress.step + 0.5) / batches.steps)
                rng = stream(self.seed_, Purpose.DROPOUT, epoch, progress.step) if dropping else None
                self._train_step(network, solver, x, targets, weights, rng)
                progress.step, self._solver_steps = progress.step + 1, solver.steps
                progress.seconds = time.perf_counter() - started
                if on_step is not None:
                    on_step("", min(progress.step * batches.batch_size, rows), rows, progress.seconds)
                poll()
        progress.epoch, progress.step = epoch, 0

    def _train_step(
        self,
        network: Network,
        solver: Solver,
        x: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        rng: np.random.Generator | None,
    ) -> None:
        """Forward, backward, and the solver's step: layers hand it each gradient as it is found."""
        outputs = network.forward(x.T, rng)
        delta = network.loss.delta(outputs, targets)
        if weights is not None:
            delta *= weights
        network.backward(delta, solver)
        solver.finish()
        if self.max_norm is not None:
            network.limit_norms(self.max_norm)

    # What the loop stands on.

    def _restore_best(self) -> None:
        if self._progress.kept is not None:
            np.copyto(self.parameters_, self._progress.kept)
            self.chosen_epoch_ = self._progress.kept_epoch

    def _begin(self) -> None:
        """Make the network of the first step, seed_ being known."""
        super()._begin()
        self.parameters_ = new_parameters(self.sizes_, self.init, self.activation, self.seed_, self.dtype)
        # Adam's bias correction counts the steps; each array of the memory is as long as the parameters.
        self._solver_steps = 0
        self._solver_memory: dict[str, np.ndarray] = {}

    def _new_solver(self) -> Solver:
        momentum = {"momentum": self.momentum} if self.solver == "nesterov" else {}
        solver: Solver = SOLVERS[self.solver](self.parameters_, shapes_of(self.sizes_), **momentum)
        solver.resume(self._solver_memory, self._solver_steps)
        self._solver_memory = solver.memory
        return solver

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go once through X and y, at the constant learning_rate; history_ stays as it is.

        Parameters
        ----------
        classes : array, optional
            All labels that later calls may bring; needed in the first call unless y has them all.

        Raises as fit does.
        """
        state = self._state_to_resume()
        self.check_settings()
        first = not hasattr(self, "parameters_")
        X = samples.features(self, X, reset=first)
        y = samples.labels(y, len(X))
        if first:
            self.classes_ = (
                samples.classes_of(y) if classes is None else samples.classes_of(classes, "classes")
            )
            self.seed_ = seed_from(self.random_state)
            self._begin()
            if state is not None:
                self._resume(*state)
        weights = samples.weights_of_rows(sample_weight, self.class_weight, y, self.classes_, X.dtype)
        rows = Samples(X, samples.class_numbers(y, self.classes_), weights)
        batches = Batches(rows, self.batch_size, self.seed_, self.augment)
        before = self.parameters_.copy()
        self._run_epoch(
            self._network(training=True), self._new_solver(), batches, lambda _: self.learning_rate
        )
        if not np.isfinite(self.parameters_).all():
            np.copyto(self.parameters_, before)
            raise DivergenceError(
                f"This pass over {len(X):,} rows diverged: the weights are no longer finite. They are again "
                "those from before it.",
                f"Lower the learning rate (now {self.learning_rate:g}), or scale the features to 0..1.",
            )
        self.chosen_epoch_ = self._progress.epoch
        return self

    # What a fitted perceptron can do.

    def _evaluate(self, rows: Samples) -> tuple[float, float]:
        return self._network().evaluate(rows)

    def _outputs(self, X: np.ndarray) -> np.ndarray:
        return self._network().outputs(X).T

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer sees, float32 (n, width): the last hidden units; X where there are none.

        Raises as predict_proba does.
        """
        check_is_fitted(self, "parameters_")
        return self._network().last_hidden(samples.features(self, X))

    def _network(self, *, training: bool = False) -> Network:
        # One for each caller: threads that predict at the same time must not share workspaces.
        dropout = {"dropout": self.dropout, "input_dropout": self.input_dropout} if training else {}
        return Network(
            self.parameters_, self.sizes_, activation=self.activation, loss=self.loss, l2=self.l2, **dropout
        )

    # A training that goes on.

    def training_state(self) -> TrainingState:
        """Return copies of the arrays, and the plain JSON values, from which fit can go on exactly."""
        check_is_fitted(self, "parameters_")
        arrays = {"parameters": self.parameters_.copy()}
        arrays |= {f"solver.{name}": array.copy() for name, array in self._solver_memory.items()}
        if self._progress.kept is not None:
            arrays["best"] = self._progress.kept.copy()
        values = {"seed": self.seed_, "solver_steps": self._solver_steps, **self._progress.as_json()}
        return arrays, values

    def _resume(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Put a training that began with the same settings to where training_state was asked for."""
        expected = self.parameters_
        for name, array in arrays.items():
            if array.shape != expected.shape or array.dtype != expected.dtype:
                raise DataError(
                    f"The training state holds {array.size:,} {array.dtype} numbers as {name!r}; "
                    f"this network has {expected.size:,} {expected.dtype} parameters.",
                    "Go on with the settings and the classes the training began with.",
                )
        copies = {name: array.copy() for name, array in arrays.items()}
        self._go_on_with(TrainingProgress.from_json(values, copies.pop("best", None)))
        self.chosen_epoch_ = self._progress.epoch
        with whole_state():
            self.parameters_ = copies.pop("parameters")
            self.seed_, self._solver_steps = values["seed"], values["solver_steps"]
        self._solver_memory = {name.removeprefix("solver."): array for name, array in copies.items()}

    # The network on disk.

    @staticmethod
    def _layer_names(sizes: tuple[int, ...]) -> list[tuple[str, str]]:
        """Return what the weights and the biases of each layer are called in a file."""
        return [(f"coefs.{layer}", f"intercepts.{layer}") for layer in range(len(sizes) - 1)]

    def _set_layers(self, layers: list[tuple[np.ndarray, np.ndarray]]) -> None:
        for place, offsets, (weights, bias) in zip(self.coefs_, self.intercepts_, layers, strict=True):
            place[...], offsets[...] = weights, bias
