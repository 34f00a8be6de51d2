"""MLPClassifier: a multi-layer perceptron under scikit-learn's conventions, in NumPy."""

import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from tqdm.auto import tqdm

from linnaea import signals
from linnaea.classifiers.contract import EpochRecord, OnEpoch, OnStep
from linnaea.classifiers.perceptron import inputs
from linnaea.classifiers.perceptron.batches import Batches, Part
from linnaea.classifiers.perceptron.fitted import FittedPerceptron
from linnaea.classifiers.perceptron.network import Network, shapes_of
from linnaea.classifiers.perceptron.schedules import rate_at
from linnaea.classifiers.perceptron.solvers import SOLVERS, Solver
from linnaea.errors import DivergenceError
from linnaea.random_streams import Purpose, stream


class MLPClassifier(FittedPerceptron):
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
        Passes over the training part, at most.
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
        Carved out of X, stratified, where patience asks for a validation part and none is passed.
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
        One an epoch, epoch 0 (before training) included. Both parts are evaluated with the network in the
        same state, after the epoch, without dropout or distortion; this is not part of `seconds`.
    chosen_epoch_ : int
        The epoch whose weights the classifier holds.
    parameters_ : ndarray of shape (parameters,)
        All weights and biases; coefs_ and intercepts_ are views of it, layer by layer.
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
        warmup_epochs: float = 0.0,
        l2: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        max_norm: float | None = None,
        augment: str | None = None,
        patience: int = 0,
        keep: str = "best",
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
        self.keep = keep
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
        train, validation = self._prepare(X, y, validation_data, sample_weight)
        course, network, solver = self._course, self._network(training=True), self._solver()
        batches = Batches(train, self.batch_size, self.seed_, self.augment)
        try:
            with tqdm(
                total=self.epochs, initial=course.epoch, disable=not self.progress, unit="epoch"
            ) as bar:
                while True:
                    if len(self.history_) == course.epoch:  # not so where a training goes on after its record
                        record = self._close_epoch(network, train, validation)
                        bar.set_postfix(loss=record.train_loss, accuracy=record.train_accuracy)
                        if on_epoch is not None:
                            on_epoch(record, self)
                    if course.epoch >= self.epochs or course.is_over(self.patience):
                        break
                    self._run_epoch(network, solver, batches, self._rate, on_step)
                    bar.update()
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
        course, epoch, rows = self._course, self._course.epoch + 1, len(batches.part)
        dropping = self.dropout > 0 or self.input_dropout > 0
        started = time.perf_counter() - course.seconds
        # Overflow is looked for once an epoch, in _close_epoch, not warned of at each operation.
        with signals.between_steps() as poll, np.errstate(all="ignore"):
            for x, targets, weights in batches.epoch(epoch, course.step):
                # The rate in the middle of the step: zero neither in the first of a warm-up nor in the last.
                solver.rate = rate(course.epoch + (course.step + 0.5) / batches.steps)
                rng = stream(self.seed_, Purpose.DROPOUT, epoch, course.step) if dropping else None
                self._train_step(network, solver, x, targets, weights, rng)
                course.step, course.solver_steps = course.step + 1, solver.steps
                course.seconds = time.perf_counter() - started
                if on_step is not None:
                    on_step("", min(course.step * batches.batch_size, rows), rows, course.seconds)
                poll()
        course.epoch, course.step = epoch, 0

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

    def _close_epoch(self, network: Network, train: Part, validation: Part | None) -> EpochRecord:
        """Evaluate both parts with the network as it now is; record it, and stop if it has diverged."""
        course = self._course
        with np.errstate(all="ignore"):
            train_loss, train_accuracy = network.evaluate(train)
            val = network.evaluate(validation) if validation is not None else (None, None)
        self._refuse_divergence(train_loss, val[0])
        rate = self._rate(course.epoch)
        record = EpochRecord(course.epoch, course.seconds, rate, train_loss, train_accuracy, *val)
        course.seconds = 0.0
        self.history_.append(record)
        self.chosen_epoch_ = course.epoch
        course.note(record, self.parameters_)
        return record

    def _refuse_divergence(self, loss: float, val_loss: float | None) -> None:
        # The solver's memory, too: a training that went on with it would only stand still.
        arrays = [self.parameters_, *self._course.memory.values()]
        finite = np.isfinite([loss, val_loss or 0.0]).all() and all(np.isfinite(a).all() for a in arrays)
        if finite and not self._course.has_diverged(loss, self.history_):
            return
        self._restore_best()
        raise DivergenceError(
            f"Training diverged in epoch {self._course.epoch}: loss or weights are no longer finite."
            if not finite
            else f"Training diverged in epoch {self._course.epoch}: the loss is {loss:.3g}, "
            f"and was {self.history_[0].train_loss:.3g} before training.",
            f"Lower the learning rate (now {self.learning_rate:g}), or scale the features to 0..1.",
        )

    def _restore_best(self) -> None:
        if self._course.best is not None:
            np.copyto(self.parameters_, self._course.best)
            self.chosen_epoch_ = self._course.best_epoch

    def _prepare(
        self, X: Any, y: Any, validation_data: tuple[Any, Any] | None, sample_weight: Any
    ) -> tuple[Part, Part | None]:
        """Check everything; begin a course, or go on with the one that was loaded."""
        self.check_settings()
        X = inputs.features(self, X, reset=True)
        y = inputs.labels(y, len(X))
        self.classes_ = inputs.classes_of(y)
        self._begin()
        weights = inputs.weights_of_rows(sample_weight, self.class_weight, X, y, self.classes_)
        train, validation = Part(X, inputs.class_numbers(y, self.classes_), weights), None
        if validation_data is not None:
            X_val = inputs.features(self, validation_data[0])
            y_val = inputs.labels(validation_data[1], len(X_val), "validation y")
            validation = Part(X_val, inputs.class_numbers(y_val, self.classes_, "validation y"))
        elif self.patience:
            train, validation = inputs.carve(train, self.validation_fraction, self.seed_)
        return train, validation

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

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go once through X and y, at the constant learning_rate; history_ stays as it is.

        Parameters
        ----------
        classes : array, optional
            All labels that later calls may bring; needed in the first call unless y has them all.

        Raises as fit does.
        """
        self.check_settings()
        first = not hasattr(self, "parameters_")
        X = inputs.features(self, X, reset=first)
        y = inputs.labels(y, len(X))
        if first:
            self.classes_ = inputs.classes_of(y if classes is None else classes)
            self._begin()
        weights = inputs.weights_of_rows(sample_weight, self.class_weight, X, y, self.classes_)
        part = Part(X, inputs.class_numbers(y, self.classes_), weights)
        batches = Batches(part, self.batch_size, self.seed_, self.augment)
        before = self.parameters_.copy()
        self._run_epoch(self._network(training=True), self._solver(), batches, lambda _: self.learning_rate)
        if not np.isfinite(self.parameters_).all():
            np.copyto(self.parameters_, before)
            raise DivergenceError(
                f"This pass over {len(X):,} rows diverged: the weights are no longer finite. They are again "
                "those from before it.",
                f"Lower the learning rate (now {self.learning_rate:g}), or scale the features to 0..1.",
            )
        self.chosen_epoch_ = self._course.epoch
        return self
