"""From what a caller passes to what is learned from: arrays checked, labels numbered, weights of mean one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_array, column_or_1d, validate_data

from linnaea.errors import DataError
from linnaea.random_streams import Purpose, stream


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows to train or evaluate on, with their targets; X itself is never copied.

    X: ndarray, (m, features)
        May hold more rows than belong to it.
    targets: ndarray of intp, (n,)
        The class number of each row of the set.
    weights: ndarray, (n,), or None
        Of mean one. None: all alike.
    rows: ndarray of intp, (n,), or None
        Which rows of X belong to it; None: all.
    """

    X: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def block(self, start: int, stop: int) -> np.ndarray:
        """Return the features of rows start to stop of the set."""
        return self.X[start:stop] if self.rows is None else self.X[self.rows[start:stop]]

    def take(self, order: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Gather the features of these rows of the set into out, (len(order), features)."""
        rows = order if self.rows is None else self.rows[order]
        # mode="clip" writes straight to out; the default, "raise", would go through a buffer.
        return np.take(self.X, rows, axis=0, out=out, mode="clip")


def features(estimator: BaseEstimator, X: Any, *, reset: bool = False) -> np.ndarray:
    """Return X as a finite, C-contiguous (n, features) array of the estimator's dtype; itself if it is one.

    Integers are cast, not scaled. reset: remember the number of features; otherwise compare with it.
    Raises DataError for NaN and infinity, ValueError in scikit-learn's words for a wrong shape.
    """
    X = validate_data(estimator, X, reset=reset, dtype=estimator.dtype, order="C", ensure_all_finite=False)
    # One pass: the sum is finite unless something is not, or the sum itself overflows.
    if not np.isfinite(X.sum(dtype=np.float64)):
        wrong = np.argwhere(~np.isfinite(X))
        if len(wrong):
            row, column = (int(i) for i in wrong[0])
            raise DataError(
                f"X contains NaN or infinity: {len(wrong)} values, the first in row {row}, column {column}.",
                "Leave those rows out, or fill in the values first.",
            )
    return X


def labels(y: Any, n: int, what: str = "y") -> np.ndarray:
    """Return y as (n,) labels. Raises DataError for another length, ValueError for no classes."""
    y = column_or_1d(y, warn=True)
    if len(y) != n:
        raise DataError(f"X has {n} rows and {what} has {len(y)} labels.", "Give one label for each row.")
    check_array(y, ensure_2d=False, dtype=None)
    # Names are classes, however few pictures each has; of numbers, so many may be measurements, of which
    # scikit-learn warns.
    if not all(isinstance(label, str) for label in y):
        check_classification_targets(y)
    return y


def classes_of(y: Any) -> np.ndarray:
    """Return the sorted classes, (classes,). Raises DataError where there is only one."""
    classes = np.unique(y)
    if len(classes) < 2:
        only = f"one class only, '{classes[0]}'" if len(classes) else "no class"
        raise DataError(f"y holds {only}.", "Give at least two classes to tell apart.")
    return classes


def class_numbers(y: np.ndarray, classes: np.ndarray, what: str = "y") -> np.ndarray:
    """Return the position in classes of each label, (n,). Raises DataError, naming unknown labels."""
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise DataError(
            f"{what} holds classes that training does not know: {', '.join(map(str, unknown[:10]))}.",
            f"Known are: {', '.join(map(str, classes[:20]))}.",
        )
    return np.searchsorted(classes, y)


def weights_of_rows(
    sample_weight: Any, class_weight: Any, X: np.ndarray, y: np.ndarray, classes: np.ndarray
) -> np.ndarray | None:
    """Return the weight of each row, scaled to mean one, (n,); None where all weigh the same.

    Scaled, because only ratios carry meaning: doubling all weights must not double the learning rate.
    """
    if sample_weight is None and class_weight is None:
        return None
    try:
        weights = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True).copy()
    except ValueError as error:
        raise DataError(str(error), "Give each row a weight of 0 or more, and not 0 to all.") from error
    if class_weight is not None:
        present = np.unique(y)
        if isinstance(class_weight, dict) and (missing := np.setdiff1d(list(class_weight), classes)).size:
            raise DataError(
                f"class_weight names classes that y does not have: {', '.join(map(str, missing))}."
            )
        try:
            each = compute_class_weight(class_weight, classes=present, y=y)
            usable = bool(np.isfinite(each).all() and (each >= 0).all())
        except (TypeError, ValueError):
            usable = False
        if not usable:
            raise DataError(
                f"class_weight holds something else than finite numbers of 0 or more: {class_weight}.",
                "Give each class a weight of 0 or more.",
            )
        weights *= each[np.searchsorted(present, y)].astype(X.dtype)
    if not weights.sum() > 0:
        raise DataError("The sample weights sum to zero.", "At least one row must count.")
    return weights / weights.mean(dtype=np.float64).astype(X.dtype)


def carve(samples: Samples, fraction: float, seed: int) -> tuple[Samples, Samples]:
    """Split samples into a training and a validation set, stratified, without copying X.

    Raises DataError where a class has too few rows to stand on both sides.
    """
    counts = np.bincount(samples.targets)
    if counts.min() < 2:
        raise DataError(
            f"No validation set can be carved out of {len(samples)} rows: "
            f"the smallest class has {counts.min()}.",
            "Pass validation_data, or set patience=0.",
        )
    # At least one row of each class on either side, however small the samples.
    size = min(max(round(fraction * len(samples)), len(counts)), len(samples) - len(counts))
    random = int(stream(seed, Purpose.VALIDATION).integers(2**31))
    splitter = StratifiedShuffleSplit(1, test_size=size, random_state=random)
    train, validation = next(splitter.split(np.zeros((len(samples), 1)), samples.targets))
    return _subset(samples, np.sort(train)), _subset(samples, np.sort(validation))


def _subset(samples: Samples, rows: np.ndarray) -> Samples:
    weights = None if samples.weights is None else samples.weights[rows]
    return Samples(samples.X, samples.targets[rows], weights, rows)
