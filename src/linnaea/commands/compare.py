"""linnaea compare: several runs on one page, and whether their difference could be luck."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from linnaea.commands import terminal
from linnaea.errors import DataError
from linnaea.runs.folder import RunFolder


def compare(
    *runs: Annotated[Path, Parameter(required=True)],
    out: Path = Path("comparison.html"),
) -> Path:
    """Compare runs: one table, one page with overlaid graphs, and each pair's difference in words.

    Parameters
    ----------
    runs
        Run folders.
    out
        Where the page is written.
    """
    from linnaea.report.page import build_comparison

    folders = [RunFolder.open(run) for run in runs]
    show_comparison(folders)
    page = build_comparison(folders, out)
    terminal.say("Page", terminal.shown_path(page))
    return page


def show_comparison(folders: list[RunFolder], reported: dict[str, dict[str, Any]] | None = None) -> None:
    """Print the table of runs, then a sentence for each neighbouring pair in order of accuracy.

    reported: dict
        Run folder's name → {"accuracy": …}, shown in a column of its own.
    """
    rows = [_row(folder, (reported or {}).get(folder.path.name, {})) for folder in folders]
    columns = {"run": "Run", "network": "Network", "accuracy": "Accuracy", "interval": "95 % interval"}
    if reported:
        columns["reported"] = "Reported"
    columns |= {"auc": "Macro AUC", "log_loss": "Log loss", "seconds": "Training"}
    terminal.results.print(
        terminal.comparison_table(rows, columns, spare=("network", "log_loss", "seconds", "auc", "interval"))
    )
    for sentence in _sentences(folders):
        terminal.say("", sentence)


def _row(folder: RunFolder, reported: dict[str, Any]) -> dict[str, str]:
    info = folder.info()
    row = {"run": folder.path.name, "network": info.get("network", {}).get("summary", info.get("model", "–"))}
    if (folder.path / "metrics.json").exists():
        metrics = folder.read_json("metrics.json")
        accuracy = metrics["accuracy"]
        row["accuracy"] = terminal.percent(accuracy["value"], 2)
        row["interval"] = f"{100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f}"
        row["auc"] = _number(metrics.get("macro_auc", {}).get("value"), 5)
        row["log_loss"] = _number(metrics["log_loss"]["value"], 4)
    if "accuracy" in reported:
        row["reported"] = terminal.percent(reported["accuracy"], 2)
    history = folder.history()
    if history:
        row["seconds"] = terminal.duration(sum(record["seconds"] for record in history))
    return row


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _sentences(folders: list[RunFolder]) -> list[str]:
    from linnaea.evaluation import comparison
    from linnaea.evaluation.predictions import Predictions

    judged: list[tuple[float, str, Any]] = []
    for folder in folders:
        if (folder.path / "predictions.csv").exists():
            predictions = Predictions.read_csv(folder.path / "predictions.csv")
            accuracy = float((predictions.predicted == predictions.true).mean())
            judged.append((accuracy, folder.path.name, predictions))
    judged.sort(key=lambda item: -item[0])
    sentences = []
    for (_, better, a), (_, worse, b) in pairwise(judged):
        try:
            sentences.append(f"{better} and {worse}: {comparison.compare(a, b).sentence(better, worse)}")
        except DataError as error:
            sentences.append(f"{better} and {worse}: {error}")
    return sentences
