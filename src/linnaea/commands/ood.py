"""Out-of-distribution pictures: from a trained network to its outlier score, in a run and in new answers."""

from typing import Any

import numpy as np

from linnaea.commands.study import SAMPLE, Study, spread
from linnaea.errors import RunError
from linnaea.evaluation import clustered
from linnaea.evaluation.calibration import tempered
from linnaea.evaluation.intervals import wilson
from linnaea.evaluation.ood import OutlierScore, fit_outlier_score
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder


def seen(classifier: Any, X: Any, split: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, width) and probabilities (n, classes) of X, perhaps a whole set that fit had.

    Photographs, which are what takes time, go through the network once for both, or not at all.
    """
    features, probabilities = classifier.features_and_proba(X, split)
    return features, np.asarray(probabilities, dtype=np.float64)


def scored(classifier: Any, X: Any, score: OutlierScore) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, classes) and outlier scores (n,) of X."""
    features, probabilities = seen(classifier, X)
    return probabilities, score.scores(features, tempered(probabilities, 1 / classifier.temperature_))


def pictures_for_fit(study: Study) -> int:
    """Return how many pictures `fit` sends through the network."""
    return len(spread(study.dataset.labels[study.rows("train")], SAMPLE))


def fit(
    classifier: Any, study: Study, validation: tuple[np.ndarray, np.ndarray] | None
) -> OutlierScore | None:
    """Fit the score of a trained classifier.

    validation: features and untempered probabilities of the validation set, which sets the threshold; None
    where there is none, and training pictures must.

    Returns None where the features are not finite.
    """
    rows, X = study.sample
    made = classifier.remembered("train")
    if made is None:
        made = classifier.features(X)
    else:
        place = {row: number for number, row in enumerate(study.rows("train").tolist())}
        made = made[[place[row] for row in rows.tolist()]]
    if not all(np.isfinite(values).all() for values in (made, *(validation or ()))):
        return None
    # Every class has a training picture, so that the numbers are those of classes_.
    targets = np.unique(study.dataset.labels[rows], return_inverse=True)[1]
    setting = rows if validation is None else study.rows("val")
    return fit_outlier_score(made, targets, validation=validation, groups=study.grouped(setting))


def write(run: RunFolder, score: OutlierScore, test: dict[str, Any] | None = None) -> None:
    """Write outliers.safetensors and outliers.json, which new pictures are answered with.

    test: what flagged returned; None where the test set was not opened.
    """
    tensors, values = score.to_files()
    run.write_bytes("outliers.safetensors", tensors)
    run.write_json("outliers.json", values if test is None else {**values, "test": test})


def flagged(score: OutlierScore, classifier: Any, features: np.ndarray, table: Predictions) -> dict[str, Any]:
    """Return how many test pictures are flagged as unfamiliar, of how many.

    features: of the test set, (n, width); table: its predictions
    """
    scores = score.scores(features, tempered(table.probabilities, 1 / classifier.temperature_))
    above = score.is_ood(scores)
    test: dict[str, Any] = {"pictures": len(scores), "above": int(above.sum())}
    if table.groups is not None:
        test["independent"] = clustered.independent(above, table.groups)
    return test


def metric(run: RunFolder) -> dict[str, Any] | None:
    """Return metrics.json's "outliers": the false-alarm rate on the test set, and its threshold.

    None for a run without outlier score, or whose test set it has not seen.
    """
    score = load(run)
    test = run.outliers().get("test")
    if score is None or test is None:
        return None
    if (counts := _counts(test)) is None:
        raise RunError(
            f"{run.path / 'outliers.json'} is damaged: test is {test!r}.", "Restore it, or train again."
        )
    above, pictures, independent = counts
    low, high = wilson(above / pictures * independent, independent)
    # "wanted" is what evaluate and the report call allowed: a rate that the threshold can keep.
    return {
        "value": above / pictures,
        "low": low,
        "high": high,
        "pictures": pictures,
        "threshold": score.threshold,
        "wanted": score.guaranteed,
        "on_threshold_split": score.seen,
        "p_value": score.p_value(round(above / pictures * independent), round(independent)),
        "split": score.split,
    }


def _counts(test: Any) -> tuple[int, int, float] | None:
    """Return how many pictures lie above, are there, are independent, as write has it; None: it cannot be."""
    if not isinstance(test, dict):
        return None
    above, pictures = test.get("above"), test.get("pictures")
    if type(above) is not int or type(pictures) is not int or not 0 <= above <= pictures or not pictures:
        return None
    independent = test.get("independent", pictures)
    if type(independent) not in (int, float) or not 0 < independent <= pictures:
        return None
    return above, pictures, independent


def load(run: RunFolder) -> OutlierScore | None:
    """Return a run's outlier score; None for runs that are older than it.

    Raises RunError or DataError for damaged files, and for those that were edited or lost.
    """
    values = run.outliers()
    return OutlierScore.read(run.path, values) if (run.path / "outliers.json").exists() else None
