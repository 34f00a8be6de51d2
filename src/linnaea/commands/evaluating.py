"""The evaluation of a trained network: on the validation set, and when it is whole on the test set."""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from linnaea.classifiers.common.saved import saved_temperature
from linnaea.commands import ood
from linnaea.commands.mistakes import keep_mistakes
from linnaea.commands.recording import count_evaluation
from linnaea.commands.study import Study, spread
from linnaea.data.flatten import BLOCK
from linnaea.errors import DataError, RunError
from linnaea.evaluation.ood import OutlierScore
from linnaea.evaluation.predictions import Predictions
from linnaea.runs import tables
from linnaea.runs.folder import RunFolder

# Of the linear classifier, which is a baseline and no competitor: so many training pictures and steps take
# MNIST about a second.
MOST_PICTURES, MOST_STEPS = 10_000, 30
# pictures · values · classes, of which a step takes some multiple; MNIST has 8e7. Beyond, fewer pictures.
MOST_WORK = 2e8
# With fewer pictures a class than this the limit on the work has left nothing to learn from.
FEWEST_PER_CLASS = 5
# Inverse of the L2 penalty on the mean cross-entropy, for pixels of mean square one.
STRENGTH = 30.0


@dataclass(frozen=True)
class Calibrated:
    """What was fitted on the validation set.

    validation: its table at temperature 1; None where there is none, or its probabilities are no numbers
    score: None where the network's features are no numbers
    """

    validation: Predictions | None
    score: OutlierScore | None


def calibrate(run: RunFolder, classifier: Any, study: Study) -> Calibrated:
    """Fit on the validation set what answers are given with, and give the classifier its temperature.

    Writes validation.csv and calibration.json (temperature, prediction sets, threshold), of which the
    temperature is what `linnaea predict` uses from then on. Nothing of the test set is seen.
    """
    classifier.temperature_ = 1.0  # of one that was calibrated before and is opened again
    table, untempered = None, None
    if len(study.rows("val")):
        stated, features = _predicted(classifier, study, "val")
        untempered = features, stated.probabilities
        if np.isfinite(stated.probabilities).all():
            table = stated
            classifier.temperature_ = _fit_temperature(run, stated)
    return Calibrated(table, ood.fit(classifier, study, untempered))


def _fit_temperature(run: RunFolder, stated: Predictions) -> float:
    """Write validation.csv and calibration.json, and return the temperature.

    stated: the table of the validation set at temperature 1
    """
    from linnaea.evaluation import calibration

    temperature = calibration.fit_temperature(stated)
    tempered = calibration.tempered(stated.probabilities, temperature)
    tables.write_table(run, "val", replace(stated, probabilities=tempered))
    # From the table as it stands on disk, so that computing it again gives the same to the last digit.
    written = tables.read_table(run, "val", tables.split_of(run))
    run.write_json("calibration.json", _on_validation(written, temperature))
    return temperature


def leave_unopened(run: RunFolder, calibrated: Calibrated) -> None:
    """Keep what a network that was stopped answers new pictures with; its test set stays unopened."""
    if calibrated.score is not None:
        ood.write(run, calibrated.score)


def evaluate(run: RunFolder, classifier: Any, study: Study, calibrated: Calibrated) -> None:
    """Open the test set: predict it, and count that.

    Writes predictions.csv, metrics.json and the worst mistakes, and in run.json what the scores are compared
    with, on what each choice was made, and how often this test set was evaluated before.
    """
    from linnaea.evaluation.baselines import difference

    predictions, features = _predicted(classifier, study, "test")
    tables.write_table(run, "test", predictions)
    if calibrated.score is not None:
        flagged = ood.flagged(calibrated.score, classifier, features, predictions)
        ood.write(run, calibrated.score, flagged)
    count_evaluation(run, study)
    # What else follows from the tables is written already: calibration.json by calibrate, the leaks with the
    # data.
    run.write_json("metrics.json", computed(run).metrics)
    right, answers = predictions.predicted == predictions.true, baselines(study, classifier)
    run.update_info(
        baselines={name: float(of_baseline.mean()) for name, of_baseline in answers.items()},
        baseline_differences={
            name: difference(right, of_baseline, predictions.groups) for name, of_baseline in answers.items()
        },
        chosen=_choices(run, calibrated.validation, calibrated.score),
    )
    keep_mistakes(run, study, classifier, predictions)


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
    """Write what was computed of a run, and return its metrics; run.flush() keeps their checksums."""
    if numbers.leaks is not None:
        run.update_info(leaks=numbers.leaks)
    if numbers.calibration is not None:
        run.write_json("calibration.json", numbers.calibration)
    run.write_json("metrics.json", numbers.metrics)
    return numbers.metrics


def computed(run: RunFolder) -> Numbers:
    """Compute a run's numbers from its tables, and write nothing.

    From the tables as they stand on disk, so that computing them again gives the same to the last digit. The
    temperature stays: the tables were made with it. Which pictures leak is read from split.csv again.

    Raises DataError for a table that was damaged or edited (see tables.read_table), and for leaks that cannot
    be; DataError or RunError as temperature_of; RunError for a damaged JSON file.
    """
    from linnaea.evaluation.metrics import compute_metrics, explained

    split = tables.split_of(run)
    predictions = tables.read_table(run, "test", split)
    tables.check_number(run, "test", predictions)
    validation = None
    if tables.is_there(run, "val"):
        validation = tables.read_table(run, "val", split)
        tables.check_number(run, "val", validation)
    temperature = temperature_of(run)
    leaks = tables.recorded_leaks(run, predictions) if split is None else tables.leaks_of(split)
    leaked = leaks["pictures"] if leaks else None
    metrics = compute_metrics(
        predictions, validation=validation, temperature=temperature, leaked=leaked or None
    )
    metrics = explained(metrics, predictions, validation=validation, temperature=temperature)
    if (outliers := ood.metric(run)) is not None:
        metrics["outliers"] = outliers
    calibration = None
    if validation is not None and temperature is not None:
        calibration = _on_validation(validation, temperature)
    return Numbers(metrics, calibration, leaks)


def temperature_of(run: RunFolder) -> float | None:
    """Return the temperature that a run answers with, that of calibration.json; None: it was not calibrated.

    One that was lost, edited, or is older than checksums is held against its copy: in metrics.json, or in the
    model.json of an older version.

    Raises RunError where it is gone or edited and there is no copy, DataError for one that is not its copy's.
    """
    path, known = run.path / "calibration.json", run.info.checksums.get("calibration.json")
    fault = run.fault(path.name)
    temperature = _saved_temperature(run, path.name) if path.exists() else None
    if temperature is not None and known is not None and not fault:
        return temperature
    file, copy = _copy_of_temperature(run)
    if copy is None and fault:
        raise RunError(f"{fault}.", "Restore the file, or train again.")
    if copy is None or temperature in (None, copy):
        return temperature if copy is None else copy
    raise DataError(
        f"{path} has the temperature {temperature!r}; that in {file} is {copy!r}.",
        "Restore the file, or train again.",
    )


def _copy_of_temperature(run: RunFolder) -> tuple[str, float | None]:
    """Return where the temperature stands a second time, and its value; None: nowhere."""
    if (run.path / "metrics.json").exists() and not run.fault("metrics.json"):
        before = run.metrics().get("ece_before", {})
        if "temperature" in before:
            return "metrics.json", saved_temperature(before)
    if (run.path / "model.json").exists() and (run.path / tables.FILES["val"]).exists():
        saved = _saved_temperature(run, "model.json")
        # 1 is what a network has before it is calibrated. Older versions wrote it once more, afterwards.
        older = "calibration.json" not in run.info.checksums and not (run.path / "calibration.json").exists()
        if saved != 1.0 or older:
            return "model.json", saved
    return "", None


def _saved_temperature(run: RunFolder, name: str) -> float:
    try:
        return saved_temperature(run.read_json(name))
    except TypeError as error:
        raise RunError(f"{run.path / name} is damaged ({error}).", "Restore it, or train again.") from error


def _predicted(classifier: Any, study: Study, split: str) -> tuple[Predictions, np.ndarray]:
    """Return the table of a set, and its features (n, width)."""
    X, y = study.test if split == "test" else study.pair(split)
    features, probabilities = ood.seen(classifier, X, split)
    table = Predictions(
        paths=tuple(study.dataset.paths[row] for row in study.rows(split)),
        true=y,
        classes=tuple(str(name) for name in classifier.classes_),
        probabilities=probabilities,
        groups=study.grouped(study.rows(split)),
    )
    return table, features


def baselines(study: Study, classifier: Any) -> dict[str, np.ndarray]:
    """Return name → which test pictures a baseline has right, bool (n,), the strongest kind first.

    Of a fine-tuned network its probe alone, of networks on pixels a linear classifier, if one can be had in
    a few seconds; always predicting the largest class.
    """
    X, y = study.test
    right = {}
    if classifier.probe_ is not None and classifier.kept_ != "probe":
        alone = classifier.classes_[classifier.probe_proba(X).argmax(axis=1)]
        right["the probe alone"] = y == alone
    names, counts = np.unique(study.dataset.labels[study.rows("train")], return_counts=True)
    if not classifier.takes_photographs:
        learned, targets = _learned_from(study, len(names))
        if len(learned):
            # Of unequal classes alike many were taken: each counts as often as it is there.
            weights = (counts / np.unique(targets, return_counts=True)[1])[np.searchsorted(names, targets)]
            named = linear_classifier(learned, targets, weights, X)
            of = f" of {len(learned):,} pictures" if len(learned) < counts.sum() else ""
            right[f"a linear classifier on the pixels{of}"] = y == named
    return {**right, "always the largest class": y == names[counts.argmax()]}


def linear_classifier(X: np.ndarray, y: np.ndarray, weights: np.ndarray, X_new: np.ndarray) -> np.ndarray:
    """Return the class names of X_new (m, features) by multinomial logistic regression on X and y.

    X: float32 (n, features), 0..1; y: (n,), two classes or more; weights: of the pictures, (n,). L-BFGS from
    zero weights: nothing is drawn by chance.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # One scale for all pixels: each by its own would make much of those that are nearly always black.
    mean = X.mean(axis=0)
    scale = float(np.sqrt(np.square(X - mean).mean())) or 1.0
    regression = LogisticRegression(C=STRENGTH / weights.sum(), max_iter=MOST_STEPS)
    # Products as narrow as a few classes gain nothing from a second thread, which would wait, busily, for the
    # first; and one thread's sums are the same on every machine of a kind.
    with threadpool_limits(1), warnings.catch_warnings():
        # One that is stopped early is a little more regular, and no worse as a baseline; and that there are
        # few pictures of each class is no fault of the targets.
        warnings.simplefilter("ignore", UserWarning)
        regression.fit((X - mean) / scale, y, weights)
    # In blocks: the test set is often the larger one.
    return np.concatenate(
        [regression.predict((X_new[at : at + BLOCK] - mean) / scale) for at in range(0, len(X_new), BLOCK)]
    )


def _learned_from(study: Study, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y of what the linear classifier learns from; empty where that would take long."""
    values = study.size**2 * (3 if study.colour else 1)
    most = min(MOST_PICTURES, int(MOST_WORK / (values * classes)))
    if most < FEWEST_PER_CLASS * classes:
        return np.empty((0, values), np.float32), np.empty(0, str)
    labels = study.dataset.labels
    train = study.rows("train")
    rows = train[spread(labels[train], most)]
    return study.vectors(rows), labels[rows]


def _on_validation(validation: Predictions, temperature: float) -> dict[str, Any]:
    """Return calibration.json: what was fitted and chosen on the validation set, with its numbers there."""
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
        "log_loss_before": mean_log_loss(calibration.untempered(validation, temperature)),
        "log_loss_after": mean_log_loss(validation),
        "prediction_sets": sets,
        "abstention": abstention.next_threshold(validation),
    }


def _choices(run: RunFolder, validation: Predictions | None, score: OutlierScore | None) -> dict[str, str]:
    """Return run.json's "chosen": what → by which set and quantity ("by …"), or why it was not chosen.

    validation: the set that the temperature, the sets and the thresholds come from; None: they do not exist.
    """
    from linnaea.report import sentences

    by = f"by {run.info.chosen_on}" if run.info.chosen_on else ""
    probe, lines = run.info.probe, len(run.history())
    chosen = {}
    if run.info.selection is not None:
        chosen["network"] = sentences.selection(run.info.selection)
    probed = probe is not None
    if probe is not None:
        validated = probe.get("split") == "validation"
        chosen["strength of the probe"] = "by validation accuracy" if validated else "not chosen: it is fixed"
    if not probed or lines > 1:
        chosen["epoch"] = by or "not chosen: the last one is kept"
    if probed:
        only = "not chosen: there is only the probe" if lines == 1 else ""
        chosen["probe or fine-tuning"] = by or only or "not chosen: fine-tuning is kept"
    if validation is None:
        chosen["temperature"] = "not chosen: it stays 1"
    else:
        chosen |= _calibrated(validation, run.calibration())
    chosen["out-of-distribution threshold"] = _threshold(score)
    before = sentences.own_evaluations(run.info.test_reuse)
    chosen["test set"] = before or "used for no choice: it was predicted once, after all of them"
    if run.info.recipe.get("test_curve"):
        chosen["test curve"] = "used for no choice: it was only drawn"
    return chosen


def _calibrated(validation: Predictions, calibration: dict[str, Any]) -> dict[str, str]:
    """Return how temperature, sets and threshold were chosen; calibration: calibration.json."""
    from linnaea.evaluation import abstention, prediction_sets
    from linnaea.evaluation.metrics import SET_COVERAGE
    from linnaea.report import sentences

    no_sets = prediction_sets.too_few(validation, SET_COVERAGE)
    return {
        "temperature": "by validation log loss",
        "prediction sets": f"not made: {sentences.why_none(no_sets)}"
        if no_sets
        else "by validation coverage",
        "confidence threshold": (
            f"not chosen: {sentences.why_none(abstention.why_none(validation))}"
            if calibration.get("abstention") is None
            else "by validation accuracy"
        ),
    }


def _threshold(score: OutlierScore | None) -> str:
    if score is None:
        return "not chosen: the network's features are not finite numbers"
    scores = "validation scores"
    if score.split == "training":
        scores = "training scores, each picture left out of its class"
    from linnaea.report.sentences import shortfall

    more = f"; {words}" if (words := shortfall(score)) else ""
    return f"by {scores}{more}"
