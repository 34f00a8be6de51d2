"""What fit and predict receive, checked: features, labels, weights, and a validation part carved out."""

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from linnaea.errors import DataError
from linnaea.streams import Purpose, stream


def checked_features(estimator: Any, X: Any, *, reset: bool) -> np.ndarray:
    """Return X as float32 (n, features), without a copy where it is that already.

    reset: bool
        True learns the number and the names of the features; False compares with what was learned.

    Raises DataError for another shape, for what is no number, or for numbers that are not finite.
    """
    try:
        X = validate_data(estimator, X, reset=reset, dtype=np.float32, order="C", ensure_all_finite=False)
    except (ValueError, TypeError) as error:
        raise DataError(f"X cannot be used: {str(error).splitlines()[0]}") from error
    # The sum of a row is finite unless a number in it is not, or the row overflows float32: then look closely.
    suspects = np.flatnonzero(~np.isfinite(X.sum(axis=1)))
    if len(suspects):
        wrong = ~np.isfinite(X[suspects])
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"X holds NaN or infinity in {int(wrong.any(axis=1).sum()):,} of {len(X):,} rows "
                f"(the first: row {suspects[row]}, feature {column}).",
                "Leave these rows out, or replace the values.",
            )
    return X


def checked_labels(y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (classes sorted, class number of each label (n,)).

    Raises DataError for another length than n, labels that are not classes, or fewer than two classes.
    """
    y = _label_column(y, n)
    classes, targets = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"y holds one class only ({classes[0]!s}).", "A classifier needs pictures of two classes or more."
        )
    return classes, targets.astype(np.int64)


def checked_targets(y: Any, n: int, classes: np.ndarray) -> np.ndarray:
    """Return the class numbers (n,) of labels y under the classes learned; DataError for a label not learned."""
    y = _label_column(y, n)
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        shown = ", ".join(str(name) for name in unknown[:3]) + (", …" if len(unknown) > 3 else "")
        raise DataError(
            f"Validation labels name classes that training does not have ({shown}).",
            "Make the class list from training, or leave these pictures out.",
        )
    return np.searchsorted(classes, y).astype(np.int64)


def checked_weights(sample_weight: Any, class_weight: Any, y: np.ndarray) -> np.ndarray | None:
    """Return the weight of each picture, float32 (n,), of mean one; None where all weigh the same."""
    weight = None
    if sample_weight is not None:
        weight = np.asarray(sample_weight, dtype=np.float64)
        if weight.shape != y.shape:
            raise DataError(
                f"sample_weight has the shape {weight.shape}; expected {y.shape}.",
                "Give one weight a picture.",
            )
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
            raise DataError(
                "sample_weight must be finite, not negative and not all zero.", "Give one weight a picture."
            )
    if class_weight is not None:
        by_class = compute_sample_weight(class_weight, y)
        weight = by_class if weight is None else weight * by_class
    return None if weight is None else (weight / weight.mean()).astype(np.float32)


def carve_validation(targets: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (train, validation), sorted; stratified unless a class has too few pictures for it."""
    generator = stream(seed, Purpose.VALIDATION)
    counts = np.bincount(targets)
    size = round(len(targets) * fraction)
    possible = counts.min() >= 2 and min(size, len(targets) - size) >= len(counts)
    try:
        train, validation = train_test_split(
            np.arange(len(targets)),
            test_size=fraction,
            stratify=targets if possible else None,
            random_state=int(generator.integers(2**31)),
        )
    except ValueError as error:
        raise DataError(
            f"{len(targets)} pictures are too few to carve out a validation part of {fraction:g}.",
            "Give validation_data, or set patience=0.",
        ) from error
    return np.sort(train), np.sort(validation)


def seed_of(random_state: Any) -> int:
    """Return the integer itself, or one drawn from the generator or, for None, from the system."""
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(2**31))


def _label_column(y: Any, n: int) -> np.ndarray:
    try:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
    except (ValueError, TypeError) as error:
        raise DataError(f"y cannot be used: {str(error).splitlines()[0]}") from error
    if len(y) != n:
        raise DataError(f"X has {n:,} rows and y {len(y):,} labels.", "Give one label a row.")
    return y
