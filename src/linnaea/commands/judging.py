"""Judging: what a trained network does with the validation part, then the test part, each predicted once."""

from typing import Any

import numpy as np

from linnaea.classifiers.contract import saved_temperature, takes_photographs
from linnaea.commands import unlike
from linnaea.commands.mistakes import keep_mistakes
from linnaea.commands.study import Study, count_look
from linnaea.errors import RunError
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder
from linnaea.runs.looks import leaked


def judge(run: RunFolder, classifier: Any, study: Study) -> None:
    """Calibrate on the validation part, then predict the test part once.

    Writes validation.csv and calibration.json where there is a validation part (and the network again, with
    its temperature), the outlier score, and predictions.csv, metrics.json and the worst mistakes where there
    is a test part.
    """
    if not getattr(classifier, "history_", None):
        return
    stated = _predicted(classifier, study, "val") if len(study.rows("val")) else None
    calibrated = stated is not None and calibrate(run, classifier, stated[0])
    untempered = None if stated is None else (stated[1], stated[0].probabilities)
    score = unlike.fit(run, classifier, study, untempered)
    if len(study.rows("test")) == 0:
        return
    predictions, features = _predicted(classifier, study, "test")
    run.write_text("predictions.csv", predictions.to_csv())
    if score is not None:
        unlike.judge(run, score, classifier, features, predictions.probabilities)
    count_look(run, study)
    recompute(run)
    y = study.test[1]
    largest = _largest_class(study)
    baselines = {"always the largest class": float((y == largest).mean())}
    if getattr(classifier, "probe_", None) is not None:
        alone = predictions.predicted
        if classifier.kept_ != "probe":
            alone = classifier.classes_[classifier.probe_proba(study.test[0]).argmax(axis=1)]
        baselines = {"the probe alone": float((y == alone).mean()), **baselines}
    run.update_info(baselines=baselines, chosen=_choices(run.info(), classifier, calibrated))
    keep_mistakes(run, study, classifier, predictions)


def calibrate(run: RunFolder, classifier: Any, stated: Predictions) -> bool:
    """Give the classifier the temperature that suits the validation part, and write down what came of it.

    stated: the validation part at temperature 1.

    Returns False, and changes nothing, where the network's answers are no numbers.
    """
    from dataclasses import replace

    from linnaea.evaluation import calibration

    if not np.isfinite(stated.probabilities).all():
        return False
    temperature = calibration.fit_temperature(stated)
    classifier.temperature_ = temperature
    classifier.save(run.path)
    mended = replace(stated, probabilities=calibration.tempered(stated.probabilities, temperature))
    run.write_text("validation.csv", mended.to_csv())
    run.write_json("calibration.json", {"temperature": temperature})
    return True


def recompute(run: RunFolder) -> dict[str, Any]:
    """Write metrics.json and calibration.json from the run's tables, and return the metrics.

    From the tables as they stand on disk, so that computing them again gives the same to the last digit.
    The temperature stays: the network has it, and the tables were made with it.

    Raises DataError, before anything is written, for a table that was damaged or edited.
    """
    from linnaea.evaluation.metrics import compute_metrics

    predictions = Predictions.read_csv(run.path / "predictions.csv")
    validation, temperature = None, None
    if (run.path / "validation.csv").exists():
        validation = Predictions.read_csv(run.path / "validation.csv")
    if (run.path / "calibration.json").exists():
        try:
            temperature = saved_temperature(run.read_json("calibration.json"))
        except TypeError as error:
            raise RunError(
                f"{run.path / 'calibration.json'} is damaged ({error}).", "Restore it, or train again."
            ) from error
    metrics = compute_metrics(
        predictions, validation=validation, temperature=temperature, leaked=leaked(run) or None
    )
    if validation is not None and temperature is not None:
        run.write_json("calibration.json", _on_validation(validation, temperature))
    if (outliers := unlike.metric(run)) is not None:
        metrics["outliers"] = outliers
    run.write_json("metrics.json", metrics)
    return metrics


def _predicted(classifier: Any, study: Study, part: str) -> tuple[Predictions, np.ndarray]:
    """Return the table of a part, and its features (n, width)."""
    X, y = study.test if part == "test" else study.pair(part)
    features, probabilities = unlike.seen(classifier, X, part)
    table = Predictions(
        paths=tuple(study.dataset.paths[row] for row in study.rows(part)),
        true=y,
        classes=tuple(str(name) for name in classifier.classes_),
        probabilities=probabilities,
    )
    return table, features


def _on_validation(validation: Predictions, temperature: float) -> dict[str, Any]:
    """Return calibration.json: what was fitted and chosen on the validation part, with its numbers there."""
    from linnaea.evaluation import abstention, calibration, prediction_sets
    from linnaea.evaluation.metrics import SET_COVERAGE, mean_log_loss

    sets = None
    if len(validation) >= prediction_sets.fewest_pictures(SET_COVERAGE):
        fitted = prediction_sets.PredictionSets.fit(validation, SET_COVERAGE)
        sets = {
            "wanted": SET_COVERAGE,
            "method": fitted.method,
            "threshold": fitted.threshold,
            "mean_size": fitted.mean_sizes,
        }
    return {
        "temperature": temperature,
        "pictures": len(validation),
        "part": "validation",
        "log_loss_before": mean_log_loss(calibration.untempered(validation, temperature)),
        "log_loss_after": mean_log_loss(validation),
        "prediction_sets": sets,
        "abstention": abstention.next_threshold(validation),
    }


def _choices(info: dict[str, Any], classifier: Any, calibrated: bool) -> dict[str, str]:
    """Return run.json's "chosen": what → on what; a value that begins with "nothing" chose nothing."""
    on = info.get("chosen_on")
    chosen = {"epoch": on or "nothing: the last epoch is kept"}
    if takes_photographs(classifier) and getattr(classifier, "probe_", None) is not None:
        chosen["probe or fine-tuning"] = on or "nothing: fine-tuning is kept"
    if calibrated:
        few = classifier.temperature_ == 1.0
        chosen["temperature"] = (
            "nothing: with so few validation pictures it stays 1" if few else "validation log loss"
        )
        chosen["prediction sets"] = "validation set size"
        chosen["confidence threshold"] = "validation accuracy"
        chosen["none of the classes"] = "validation scores: the threshold"
    else:
        chosen["temperature"] = "nothing: it stays 1"
        chosen["none of the classes"] = "training scores, each left out of its class: the threshold"
    chosen["test part"] = "nothing: it was predicted once, after everything else was chosen"
    if info.get("recipe", {}).get("test_curve"):
        chosen["test curve"] = "nothing: it was only watched"
    return chosen


def _largest_class(study: Study) -> str:
    names, counts = np.unique(study.dataset.labels[study.rows("train")], return_counts=True)
    return str(names[counts.argmax()])
