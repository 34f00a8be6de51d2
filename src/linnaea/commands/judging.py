"""Judging: what a trained network does with the validation part, then the test part, each predicted once."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from linnaea.classifiers.contract import saved_temperature, takes_photographs
from linnaea.commands import ood
from linnaea.commands.baselines import baselines
from linnaea.commands.mistakes import keep_mistakes
from linnaea.commands.study import Study, count_look
from linnaea.errors import DataError, RunError
from linnaea.evaluation.ood import OutlierScore
from linnaea.evaluation.predictions import Predictions
from linnaea.runs import checksums, tables
from linnaea.runs.folder import RunFolder


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
    score = ood.fit(run, classifier, study, untempered)
    if len(study.rows("test")) == 0:
        return
    predictions, features = _predicted(classifier, study, "test")
    tables.write_table(run, "test", predictions)
    if score is not None:
        ood.judge(run, score, classifier, features, predictions)
    count_look(run, study)
    recompute(run)
    run.update_info(
        baselines=baselines(study, classifier, predictions.predicted),
        chosen=_choices(run, classifier, stated[0] if stated is not None and calibrated else None, score),
    )
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
    run.check_there()  # save would make the folder again
    with checksums.sealed(run, *checksums.NETWORK):
        classifier.save(run.path)
    mended = replace(stated, probabilities=calibration.tempered(stated.probabilities, temperature))
    tables.write_table(run, "val", mended)
    run.write_numbers("calibration.json", {"temperature": temperature})
    return True


@dataclass(frozen=True)
class Numbers:
    """What follows from a run's tables: metrics.json, calibration.json, and run.json's "leaks".

    calibration, leaks: None where there is nothing to write.
    """

    metrics: dict[str, Any]
    calibration: dict[str, Any] | None
    leaks: dict[str, Any] | None


def recompute(run: RunFolder) -> dict[str, Any]:
    """Write metrics.json and calibration.json from the run's tables, and return the metrics.

    Raises, before anything is written, as computed does.
    """
    return keep(run, computed(run))


def keep(run: RunFolder, numbers: Numbers) -> dict[str, Any]:
    """Write what was computed of a run, and return its metrics."""
    if numbers.leaks not in (None, run.info().get("leaks")):
        run.update_info(leaks=numbers.leaks)
    if numbers.calibration is not None:
        run.write_numbers("calibration.json", numbers.calibration)
    run.write_numbers("metrics.json", numbers.metrics)
    return numbers.metrics


def computed(run: RunFolder) -> Numbers:
    """Compute a run's numbers from its tables, and write nothing.

    From the tables as they stand on disk, so that computing them again gives the same to the last digit.
    The temperature stays: the network has it, and the tables were made with it. Which pictures leak is read
    from split.csv again.

    Raises DataError for a table that was damaged or edited (see tables.read_table), a temperature that is not
    the network's, and leaks that cannot be; RunError for a damaged JSON file.
    """
    from linnaea.evaluation.metrics import compute_metrics

    split = tables.split_of(run)
    predictions = tables.read_table(run, "test", split)
    held = {"test": predictions}
    if tables.is_there(run, "val"):
        held["val"] = tables.read_table(run, "val", split)
    for part, table in held.items():
        tables.check_number(run, part, table)
    validation, temperature = held.get("val"), _temperature(run)
    leaks = tables.told_leaks(run, predictions) if split is None else tables.leaks_of(split)
    leaked = leaks["pictures"] if leaks else None
    metrics = compute_metrics(
        predictions, validation=validation, temperature=temperature, leaked=leaked or None
    )
    if (outliers := ood.metric(run)) is not None:
        metrics["outliers"] = outliers
    calibration = None
    if validation is not None and temperature is not None:
        calibration = _on_validation(validation, temperature)
    return Numbers(metrics, calibration, leaks)


def _temperature(run: RunFolder) -> float | None:
    """Return the temperature that the run's tables were made with; None where nothing was calibrated.

    Of a run with a validation part that lost its calibration.json: the network's. Raises DataError where the
    two differ.
    """
    if not (run.path / "calibration.json").exists():
        known = (run.path / tables.FILES["val"]).exists() and (run.path / "model.json").exists()
        return _saved_temperature(run, "model.json") if known else None
    told = _saved_temperature(run, "calibration.json")
    # The weights may have been taken out of a run that is only to be read.
    own = _saved_temperature(run, "model.json") if (run.path / "model.json").exists() else told
    if told != own:
        raise DataError(
            f"{run.path / 'calibration.json'} has the temperature {told!r}; that of the network, in "
            f"model.json, is {own!r}.",
            "Restore the file, or train again.",
        )
    return told


def _saved_temperature(run: RunFolder, name: str) -> float:
    try:
        return saved_temperature(run.read_json(name))
    except TypeError as error:
        raise RunError(f"{run.path / name} is damaged ({error}).", "Restore it, or train again.") from error


def _predicted(classifier: Any, study: Study, part: str) -> tuple[Predictions, np.ndarray]:
    """Return the table of a part, and its features (n, width)."""
    X, y = study.test if part == "test" else study.pair(part)
    features, probabilities = ood.seen(classifier, X, part)
    table = Predictions(
        paths=tuple(study.dataset.paths[row] for row in study.rows(part)),
        true=y,
        classes=tuple(str(name) for name in classifier.classes_),
        probabilities=probabilities,
        groups=study.grouped(study.rows(part)),
    )
    return table, features


def _on_validation(validation: Predictions, temperature: float) -> dict[str, Any]:
    """Return calibration.json: what was fitted and chosen on the validation part, with its numbers there."""
    from linnaea.evaluation import abstention, calibration, prediction_sets
    from linnaea.evaluation.metrics import SET_COVERAGE, mean_log_loss

    sets = None
    if not prediction_sets.too_few(validation, SET_COVERAGE):
        fitted = prediction_sets.PredictionSets.fit(validation, SET_COVERAGE)
        sets = {
            "wanted": SET_COVERAGE,
            "threshold": fitted.threshold,
            "confidence": fitted.confidence,
            "mean_size": fitted.mean_size,
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


def _choices(
    run: RunFolder, classifier: Any, validation: Predictions | None, score: OutlierScore | None
) -> dict[str, str]:
    """Return run.json's "chosen": what → on what; a value that begins with "nothing" chose nothing.

    validation: the part that the temperature, the sets and the thresholds come from; None: they do not exist.
    """
    info = run.info()
    on = info.get("chosen_on")
    chosen = {}
    probed = takes_photographs(classifier) and getattr(classifier, "probe_", None) is not None
    if probed:
        validated = classifier.probe_.val is not None
        chosen["strength of the probe"] = "validation accuracy" if validated else "nothing: one for all"
    if not probed or len(classifier.history_) > 1:
        chosen["epoch"] = on or "nothing: the last epoch is kept"
    if probed:
        only = "nothing: the probe is all there is" if len(classifier.history_) == 1 else ""
        chosen["probe or fine-tuning"] = on or only or "nothing: fine-tuning is kept"
    if validation is None:
        chosen["temperature"] = "nothing: it stays 1"
    else:
        chosen |= _calibrated(validation, run.calibration())
    chosen["none of the classes"] = _threshold(score)
    chosen["test part"] = "nothing: it was predicted once, after everything else was chosen"
    if info.get("recipe", {}).get("test_curve"):
        chosen["test curve"] = "nothing: it was only watched"
    return chosen


def _calibrated(validation: Predictions, found: dict[str, Any]) -> dict[str, str]:
    """Say of temperature, sets and threshold on what they were chosen; found: calibration.json."""
    from linnaea.evaluation import abstention, calibration, prediction_sets
    from linnaea.evaluation.metrics import SET_COVERAGE

    few = calibration.too_few(len(validation))
    no_sets = prediction_sets.too_few(validation, SET_COVERAGE)
    return {
        "temperature": f"nothing: it stays 1, because {few}" if few else "validation log loss",
        "prediction sets": f"nothing: {no_sets}" if no_sets else "validation coverage",
        "confidence threshold": (
            f"nothing: {abstention.why_none(validation)}"
            if found.get("abstention") is None
            else "validation accuracy"
        ),
    }


def _threshold(score: OutlierScore | None) -> str:
    if score is None:
        return "nothing: the network's features are no numbers"
    scores = "validation scores"
    if score.part == "training":
        scores = "training scores, each left out of its class"
    more = f"; {score.shortfall()}" if score.shortfall() else ""
    return f"{scores}: the threshold{more}"
