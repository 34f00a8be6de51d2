"""linnaea evaluate: compute the metrics of a run again, or open the test set of one that was stopped."""

from pathlib import Path
from typing import Any, Literal

from linnaea.commands import terminal
from linnaea.errors import RunError
from linnaea.runs import provenance, tables
from linnaea.runs.folder import NETWORK, RunFolder
from linnaea.runs.guard import claimed
from linnaea.runs.repeated import RunGroup
from linnaea.text import command

_CURE = "Wait for it to finish."
# Written under two names in metrics.json, and printed once.
SYNONYMS = {"mean_per_class_accuracy"}


def evaluate(run: Path, /, *, format: Literal["table", "json"] = "table") -> dict[str, Any]:
    """Compute a run's metrics again from its table of predictions, and draw its report again.

    Of a run that was stopped, whose test set is still unopened: predict the test set with the network as it
    was saved. That counts: if the training is continued, its report says that the score was known before.

    Of repeats or folds: those of each run, and their mean, deviation, lowest and highest value. A table that
    does not match the run's split.csv is refused, and nothing is written.

    Parameters
    ----------
    run
        Run folder, or folder of repeats or folds.
    format
        Output format: table for people, json for programs.
    """
    if RunGroup.is_group(run):
        return _evaluate_group(RunGroup.open_group(run), format)
    folder = RunFolder.open(run)
    # A path that is no run is told before what takes seconds to load.
    from linnaea.commands.evaluating import recompute
    from linnaea.commands.pipeline import print_caveats
    from linnaea.report import sentences
    from linnaea.report.page import build_report

    with claimed(run, cure=_CURE):
        metrics = _opened(folder) if _is_stopped(folder) else recompute(folder)
        folder.flush()
        build_report(folder)
    if format == "json":
        terminal.print_json(metrics)
    else:
        terminal.print_line("Pictures", f"{metrics['accuracy']['pictures']:,} in the test set")
        terminal.results.print(metrics_table(metrics))
        for label, sentence in (("Groups", sentences.in_groups), ("Alarms", sentences.false_alarms)):
            terminal.print_line(label, *filter(None, [sentence(metrics)]))
        print_caveats(folder)
    return metrics


def _is_stopped(run: RunFolder) -> bool:
    """Return whether a run was stopped, and its test set not opened since."""
    return run.info.state in ("interrupted", "failed") and not tables.is_there(run, "test")


def _opened(run: RunFolder) -> dict[str, Any]:
    """Evaluate a run that was stopped on its test set, and return the metrics.

    Raises RunError where it has no network; what reopened_study raises, where its pictures have changed.
    """
    from linnaea.commands import evaluating
    from linnaea.commands.predict import load
    from linnaea.commands.reopening import reopened_recipe, reopened_study

    if not all((run.path / name).exists() for name in NETWORK):
        raise RunError(
            f"{run.path} was stopped before it had a network: there is nothing to evaluate.",
            f"Continue it: {command('linnaea', 'resume', run.path)}.",
        )
    chosen, unfitted = reopened_recipe(run)
    classifier = load(run.path)
    with provenance.with_threads(run.info.threads_used):
        study = reopened_study(run, chosen.recipe, unfitted)
        calibrated = evaluating.calibrate(run, classifier, study)
        evaluating.evaluate(run, classifier, study, calibrated)
    return run.metrics()


def _evaluate_group(group: RunGroup, format: str) -> dict[str, Any]:
    """Recompute each run that was evaluated; return name → {"mean", "deviation", "min", "max", "values"}."""
    from linnaea.commands.evaluating import computed, keep
    from linnaea.commands.repeating import print_summary, sum_up
    from linnaea.report.groups import build_group
    from linnaea.report.page import build_report
    from linnaea.runs.tables import is_there

    group.check_tables()
    evaluated = [run for run in group.runs() if is_there(run, "test")]
    group.refuse_unevaluated(evaluated)
    # All of them before any is written: one table that was edited leaves the others as they are.
    numbers_of_runs = [computed(run) for run in evaluated]
    with claimed(group.path, cure=_CURE):
        for run, numbers in zip(evaluated, numbers_of_runs, strict=True):
            keep(run, numbers)
            run.flush()
            build_report(run)
        sum_up(group)
        group.flush()
        build_group(group)
    metrics: dict[str, Any] = group.info.as_json()["metrics"]
    if format == "json":
        terminal.print_json(metrics)
    else:
        print_summary(group)
    return metrics


def metrics_table(metrics: dict[str, Any]) -> Any:
    """Return metrics with their intervals as a table, by the names and in the units of the report."""
    from linnaea.report import formatting

    rows, pictures = [], metrics["accuracy"]["pictures"]
    for key, metric in metrics.items():
        # What could not be had has a reason instead of a value.
        if key in SYNONYMS or metric.get("reason"):
            continue
        meaning = formatting.meaning_of(key)
        shares = meaning.percent or meaning.points
        digits, scale = (2, 100) if shares else (formatting.decimals_of(meaning, pictures), 1)
        unit = " %" if meaning.percent else " points" if meaning.points else ""
        value = "–" if metric["value"] is None else f"{scale * metric['value']:.{digits}f}{unit}"
        bounds = "–"
        if metric.get("low") is not None:
            bounds = f"{scale * metric['low']:.{digits}f} to {scale * metric['high']:.{digits}f}{unit}"
        rows.append(
            {"metric": formatting.title_of(key, metric.get("wanted")), "value": value, "interval": bounds}
        )
    return terminal.comparison_table(
        rows, {"metric": "Metric", "value": "Value", "interval": "95 % interval"}
    )
