"""From what a caller passes to what is learned from: arrays checked, labels numbered, weights of mean one.

Callers pass whatever holds their data: arrays, lists, columns of a table, tensors. What is no collection of
rows, pictures or labels is refused here; pictures are looked at further in finetune/pictures.py.
"""

import os
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from linnaea.errors import DataError, NotNumbersError
from linnaea.random_streams import Purpose, stream
from linnaea.text import counted


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


def count(X: Any, what: str = "X", cure: str = "Pass an array of shape (n, features).") -> int:
    """Return how many rows, pictures or labels a caller passed, 0 or more.

    what, cure: what errors call it, and what they advise for a single thing.

    Raises DataError for what is no collection, or has no order, or can be gone through only once.
    """
    kind = type(X).__name__
    if isinstance(X, Iterator):
        raise DataError(
            f"{what} is a {kind}, which can be gone through only once.", "Make a list of it first."
        )
    # One kind of them is a mapping, too.
    if sparse.issparse(X):
        raise DataError(
            f"{what} is a sparse array.", "Sparse data cannot be used: pass a dense array, toarray()."
        )
    if isinstance(X, (Mapping, Set)):
        raise DataError(f"{what} is a {kind}, which is no sequence.", "Pass a list of what is in it.")
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        masked = counted(int(np.ma.count_masked(X)), "masked value")
        raise DataError(f"{what} holds {masked}.", "Leave those rows out, or fill in the values first.")
    if X is None:
        raise DataError(f"{what} is None.", cure)
    if not isinstance(X, (str, bytes, os.PathLike)):
        try:
            # A container of scikit-learn's tests has nothing but __array__.
            return len(X if hasattr(X, "__len__") or not hasattr(X, "__array__") else np.asarray(X))
        except TypeError:  # a number, a picture, an array without a dimension
            pass
    raise DataError(f"{what} is a single {kind}.", cure)


def features(estimator: BaseEstimator, X: Any, *, reset: bool = False, what: str = "X") -> np.ndarray:
    """Return X as a finite, C-contiguous (n, features) array of the estimator's dtype; itself if it is one.

    Integers are cast, not scaled. reset: remember the number of features; otherwise compare with it.
    Raises DataError for what is no such array, is empty, or holds NaN or infinity; ValueError in
    scikit-learn's words for another number of features, or other names of them, than in fit.
    """
    count(X, what)
    passed = X
    try:
        X = validate_data(
            estimator, X, reset=reset, dtype=estimator.dtype, order="C", ensure_all_finite=False
        )
    except (TypeError, ValueError, RuntimeError) as error:
        refusal = _in_our_words(passed, error, what)
        if refusal is None:
            raise
        raise refusal from error
    # One pass: the sum is finite unless something is not, or the sum itself overflows.
    if not np.isfinite(X.sum(dtype=np.float64)):
        wrong = np.argwhere(~np.isfinite(X))
        if len(wrong):
            row, column = (int(i) for i in wrong[0])
            raise DataError(
                f"{what} contains NaN or infinity: {len(wrong)} values, the first in row {row}, "
                f"column {column}.",
                "Leave those rows out, or fill in the values first.",
            )
    return X


def _in_our_words(X: Any, error: Exception, what: str) -> DataError | None:
    """Return what scikit-learn or NumPy refused of X, with a cure; None where they say it well enough."""
    one_row = "Make one row of numbers of each picture, all of one size: X.reshape(len(X), -1)."
    try:
        array = np.asarray(X)
    except ValueError:
        return DataError(f"The rows of {what} differ in length or shape.", one_row)
    except Exception:
        # A tensor on a graphics card, or with a gradient: each library has an exception of its own.
        return DataError(f"{what} cannot be made an array ({error}).", "Make a NumPy array of it first.")
    kind, shape = array.dtype.kind, array.shape
    if not len(array):
        return DataError(f"{what} holds no rows.", "Give one at least.")
    strange = next((item for item in array.flat if not _is_number(item)), None) if kind in "OUS" else None
    if isinstance(strange, (str, bytes, os.PathLike)):
        return NotNumbersError(
            f"{what} holds text, such as {str(strange)[:100]!r}, and rows of numbers are needed.",
            "Read pictures first, pass their paths to a FineTuneClassifier, or give them and the run to "
            "linnaea.predict.",
        )
    if kind == "c":
        return DataError(f"Complex data not supported: {what} holds complex numbers.", "Pass real ones.")
    if len(shape) > 2:
        return DataError(f"{what} has the shape {shape}, and rows of numbers are needed.", one_row)
    if strange is not None:
        return NotNumbersError(f"{what} holds something else than numbers ({error}).", "Pass numbers only.")
    if len(shape) == 1:
        return DataError(
            f"{what} has the shape {shape}, and rows of numbers are needed.",
            "Reshape your data, as an array: X.reshape(1, -1) makes one row, X.reshape(-1, 1) rows of one "
            "number.",
        )
    return None


def _is_number(item: Any) -> bool:
    # None becomes NaN, which is looked for later.
    return item is None or isinstance(item, (Real, complex, np.number, np.bool_))


def labels(y: Any, n: int, what: str = "y", *, like: np.ndarray | None = None) -> np.ndarray:
    """Return y as (n,) labels of one kind: text, whole numbers, truth values or dates.

    like: classes that the labels will be compared with.

    Raises DataError for what is missing, of several kinds, or of another length or kind than X or `like`.
    """
    y = _of_one_kind(y, what)
    if len(y) != n:
        raise DataError(f"X has {n} rows and {what} has {len(y)} labels.", "Give one label for each row.")
    if like is not None:
        _refuse_another_kind(y, like, what)
    # Names are classes, however few pictures each has; of numbers, so many may be measurements, of which
    # scikit-learn warns.
    elif y.dtype.kind not in "UO":
        check_classification_targets(y)
    return y


def _of_one_kind(y: Any, what: str) -> np.ndarray:
    """Return labels as a plain array (n,): integers stay integers, whatever kind of column they come in."""
    if y is None:
        raise DataError(
            f"{what} should be a 1d array of labels; received None.", "Give one label for each row."
        )
    count(y, what, "Pass a list of labels, one for each row.")
    # As objects: NumPy would make text of a number beside text, and NaN of an integer that is missing.
    plain = isinstance(getattr(y, "dtype", None), np.dtype)
    try:
        y = np.asarray(y if hasattr(y, "__array__") else list(y), dtype=None if plain else object)
    except Exception as error:
        raise DataError(f"{what} cannot be made an array ({error}).", "Pass a list of labels.") from error
    if y.ndim != 1:
        if y.ndim != 2 or y.shape[1] != 1:
            raise DataError(
                f"{what} should be a 1d array of labels; received one of shape {y.shape}.",
                "Give one label for each row; of rows of zeros and a one, y.argmax(axis=1).",
            )
        y = column_or_1d(y, warn=True)
    if y.dtype.kind in "OT":
        y = _from_objects(y, what, text=y.dtype if plain and y.dtype.kind == "O" else None)
    _refuse_missing(
        np.isnat(y) if y.dtype.kind in "mM" else ~np.isfinite(y) if y.dtype.kind == "f" else [], y, what
    )
    if y.dtype.kind == "f" and (y != np.trunc(y)).any():
        raise DataError(
            f"{what} holds {y[y != np.trunc(y)][0]:g}: continuous numbers are no classes.",
            "Make classes of them first: numpy.digitize puts numbers into intervals; or make text of them.",
        )
    if y.dtype.kind not in "biufUOmM":
        raise DataError(
            f"Unknown label type: {what} holds {y.dtype} values.",
            "Pass text or whole numbers; text of bytes is numpy.char.decode(y).",
        )
    return y


def _from_objects(y: np.ndarray, what: str, text: Any) -> np.ndarray:
    """Return an array of Python's objects as one of their kind; text: the type that text is given."""
    # Of tensors without a dimension, their numbers.
    values = [label.item() if getattr(label, "ndim", None) == 0 else label for label in y.tolist()]
    _refuse_missing([_is_missing(value) for value in values], y, what)
    examples: dict[str, Any] = {}
    for value in values:
        examples.setdefault(_kind_of(value), value)
    if len(examples) > 1:
        shown = " and ".join(f"{kind} ({value!r})" for kind, value in list(examples.items())[:3])
        raise DataError(
            f"{what} holds labels of several kinds: {shown}.",
            "Make them all text: [str(label) for label in y].",
        )
    kind, value = next(iter(examples.items()), ("text", ""))
    if kind not in ("text", "numbers", "truth values"):
        raise DataError(
            f"Unknown label type: {what} holds {kind} ({str(value)[:100]!r}).",
            "Pass text or whole numbers, one label for each row.",
        )
    return np.array(values, dtype=(text or str) if kind == "text" else None)


def _kind_of(label: Any) -> str:
    if isinstance(label, str):
        return "text"
    if isinstance(label, (bool, np.bool_)):
        return "truth values"
    return "numbers" if isinstance(label, Real) else f"values of type {type(label).__name__}"


def _is_missing(label: Any) -> bool:
    # pandas has two of its own, which are equal to nothing and cannot be asked whether they are.
    return (
        label is None
        or type(label).__name__ in ("NAType", "NaTType")
        or (isinstance(label, Real) and label != label)
    )


def _refuse_missing(missing: Any, y: np.ndarray, what: str) -> None:
    rows = np.flatnonzero(missing)
    if len(rows):
        raise DataError(
            f"{what} holds {y[rows[0]]}, which is no class, in {counted(len(rows), 'row')}, the first row "
            f"{rows[0]}.",
            "Leave those rows out, or give their class a name.",
        )


def _refuse_another_kind(y: np.ndarray, classes: np.ndarray, what: str) -> None:
    """Raise DataError where labels cannot be among the classes: NumPy would compare numbers as text."""
    kinds = [
        "text" if array.dtype.kind in "UO" else "dates" if array.dtype.kind in "mM" else "numbers"
        for array in (y, classes)
    ]
    if len(y) and kinds[0] != kinds[1]:
        raise DataError(
            f"{what} holds {kinds[0]}, such as {y[0]}, and the classes are {kinds[1]}, such as {classes[0]}.",
            "Give labels of the same kind as those of training.",
        )


def classes_of(y: Any, what: str = "y") -> np.ndarray:
    """Return the sorted classes, (classes,). Raises DataError where there is only one, and as labels does."""
    classes = np.unique(_of_one_kind(y, what))
    if len(classes) < 2:
        only = f"one class only, '{classes[0]}'" if len(classes) else "no class"
        raise DataError(f"{what} holds {only}.", "Give at least two classes to tell apart.")
    return classes


def class_numbers(y: np.ndarray, classes: np.ndarray, what: str = "y") -> np.ndarray:
    """Return the position in classes of each label, (n,). Raises DataError, naming unknown labels.

    y: of one kind, as labels() returns them.
    """
    _refuse_another_kind(y, classes, what)
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise DataError(
            f"{what} holds classes that training does not know: {', '.join(map(str, unknown[:10]))}.",
            f"Known are: {', '.join(map(str, classes[:20]))}.",
        )
    return np.searchsorted(classes, y)


def pair(data: Any, what: str = "validation_data") -> tuple[Any, Any]:
    """Return X and y of what a caller passed as both. Raises DataError for anything else."""
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return data[0], data[1]
    received = f"a {type(data).__name__}" + (f" of {len(data)}" if isinstance(data, (tuple, list)) else "")
    raise DataError(f"{what} is {received}.", "Pass a pair: (X, y).")


def weights_of_rows(
    sample_weight: Any, class_weight: Any, y: np.ndarray, classes: np.ndarray, dtype: Any
) -> np.ndarray | None:
    """Return the weight of each row, scaled to mean one, (n,) of dtype; None where all weigh the same.

    Scaled, because only ratios carry meaning: doubling all weights must not double the learning rate.

    Raises DataError for anything but a finite number of 0 or more for each row, or for each class.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = _checked_weights(sample_weight, len(y), dtype)
    if class_weight is not None:
        present = np.unique(y)
        if isinstance(class_weight, dict):
            named = _of_one_kind(list(class_weight), "class_weight")
            _refuse_another_kind(named, classes, "class_weight")
            if (missing := np.setdiff1d(named, classes)).size:
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
        weights *= each[np.searchsorted(present, y)].astype(dtype)
    if not weights.sum() > 0:
        raise DataError("The sample weights sum to zero.", "At least one row must count.")
    return weights / weights.mean(dtype=np.float64).astype(dtype)


def _checked_weights(sample_weight: Any, n: int, dtype: Any) -> np.ndarray:
    """Return the weights that a caller passed, (n,) of dtype, as a copy; ones for None."""
    if sample_weight is None or isinstance(sample_weight, Real):
        # One number weighs all rows alike.
        sample_weight = np.full(n, 1.0 if sample_weight is None else sample_weight)
    cure = "Give each row a weight of 0 or more, and not 0 to all."
    count(sample_weight, "sample_weight", cure)
    try:
        weights = np.array(sample_weight, dtype=dtype)
    except Exception as error:
        raise DataError(f"sample_weight holds something else than numbers ({error}).", cure) from error
    if weights.shape != (n,):
        raise DataError(f"X has {n} rows and sample_weight has the shape {weights.shape}.", cure)
    for wrong, of in ((~np.isfinite(weights), "is no number"), (weights < 0, "is negative")):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(f"sample_weight {of} in row {row} ({weights[row]:g}).", cure)
    if n and not weights.any():
        raise DataError("All sample weights are zero.", cure)
    return weights


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
