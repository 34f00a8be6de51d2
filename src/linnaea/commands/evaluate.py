"""linnaea evaluate: compute the metrics of a run again from its predictions."""

from pathlib import Path
from typing import Any, Literal

from linnaea.classifiers.contract import saved_class
from linnaea.commands import terminal
from linnaea.runs.folder import RunFolder

# key in metrics.json → what a person calls it
METRIC_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "top_3": "Among the first 3",
    "top_5": "Among the first 5",
    "macro_f1": "Macro F1",
    "macro_auc": "Macro AUC",
    "log_loss": "Log loss (nats)",
}


def load(run: str | Path) -> Any:
    """Return the trained classifier of a run folder.

    run: str or Path
        The folder that `linnaea train` wrote.

    Raises RunError where it is no run folder, or holds no network.
    """
    folder = RunFolder.open(run)
    model = folder.read_json("model.json").get("model")
    return saved_class(str(model)).load(folder.path)


def evaluate(run: Path, /, *, format: Literal["table", "json"] = "table") -> dict[str, Any]:
    """Compute a run's metrics again from its table of predictions, and draw its report again.

    Parameters
    ----------
    run
        A run folder.
    format
        table for people, json for programs.
    """
    import json

    from linnaea.evaluation.metrics import compute_metrics
    from linnaea.evaluation.predictions import Predictions
    from linnaea.report.page import build_report

    folder = RunFolder.open(run)
    predictions = Predictions.read_csv(folder.path / "predictions.csv")
    metrics = compute_metrics(predictions)
    folder.write_json("metrics.json", metrics)
    build_report(folder)
    if format == "json":
        terminal.results.print_json(json.dumps(metrics), indent=2)
    else:
        terminal.say("Pictures", f"{len(predictions):,} of the test part, {len(predictions.classes)} classes")
        terminal.results.print(metrics_table(metrics))
    return metrics


def metrics_table(metrics: dict[str, Any]) -> Any:
    """Return metrics with their intervals as a table, percent where they are shares."""
    rows = []
    for key, metric in metrics.items():
        digits = 4 if key in ("macro_auc", "log_loss") else 2
        scale, unit = (1, "") if key in ("macro_auc", "log_loss") else (100, " %")
        value = "–" if metric["value"] is None else f"{scale * metric['value']:.{digits}f}{unit}"
        bounds = "–"
        if metric.get("low") is not None:
            bounds = f"{scale * metric['low']:.{digits}f} to {scale * metric['high']:.{digits}f}{unit}"
        rows.append({"metric": METRIC_NAMES.get(key, key), "value": value, "interval": bounds})
    return terminal.comparison_table(
        rows, {"metric": "Metric", "value": "Value", "interval": "95 % interval"}
    )
