"""Judging: what a trained network does with the test part, predicted once."""

from typing import Any

import numpy as np

from linnaea.commands.mistakes import keep_mistakes
from linnaea.commands.study import Study
from linnaea.runs.folder import RunFolder


def judge(run: RunFolder, classifier: Any, study: Study) -> None:
    """Predict the test part once, and write predictions.csv, metrics.json and the worst mistakes."""
    from linnaea.evaluation.metrics import compute_metrics
    from linnaea.evaluation.predictions import Predictions

    if not getattr(classifier, "history_", None) or len(study.rows("test")) == 0:
        return
    X, y = study.test
    names = study.dataset.paths
    predictions = Predictions(
        paths=tuple(names[row] for row in study.rows("test")),
        true=y,
        classes=tuple(str(name) for name in classifier.classes_),
        probabilities=np.asarray(classifier.predict_proba(X), dtype=np.float64),
    )
    run.write_text("predictions.csv", predictions.to_csv())
    # From the table as it stands on disk, so that computing them again gives the same to the last digit.
    written = Predictions.read_csv(run.path / "predictions.csv")
    run.write_json("metrics.json", compute_metrics(written))
    largest = _largest_class(study)
    baselines = {"always the largest class": float((y == largest).mean())}
    if getattr(classifier, "probe_", None) is not None:
        alone = predictions.true == classifier.classes_[classifier.probe_proba(X).argmax(axis=1)]
        baselines = {"the probe alone": float(alone.mean()), **baselines}
    run.update_info(baselines=baselines)
    keep_mistakes(run, study, classifier, predictions)


def _largest_class(study: Study) -> str:
    names, counts = np.unique(study.dataset.labels[study.rows("train")], return_counts=True)
    return str(names[counts.argmax()])
