"""The page of several runs of one recipe: what they say together, then each of them."""

from pathlib import Path
from typing import Any

from linnaea import files
from linnaea.report import comparing, page, words
from linnaea.report.entries import entries_of
from linnaea.report.facts import read_run
from linnaea.report.words import percent
from linnaea.runs.repeated import RunGroup


def build_group(group: RunGroup) -> Path:
    """Draw report.html of repeats or folds from their runs, and return its path.

    Raises RunError or DataError where a file of a run is damaged; the old page then stays.
    """
    info = group.info()
    path = group.path / "report.html"
    entries = entries_of([read_run(run) for run in group.runs()], {})
    data = info.get("data") or {}
    context: dict[str, Any] = {
        "page_title": f"{group.path.resolve().name} · {words.counted(len(entries), 'run')} · Linnaea",
        "eyebrow": [str(data.get("name") or ""), words.counted(len(entries), "run")],
        "title": _title(group.kind, info),
        "verdict": _verdict(group.kind, info),
        "metrics": metric_rows(info.get("metrics") or {}),
        "labels": "label_errors.html" if (group.path / "label_errors.html").exists() else "",
        "same_test": True,
        "rows": comparing.table_rows(entries, path, same_test=False),
        "about": _about(group.kind),
        "reported": False,
        "sources": "",
        "intervals": comparing.interval_chart(entries),
        "curves": comparing.overlaid_curves(entries) if entries else [],
        "pairs": [],
        "folded": [],
        "together": [],
    }
    files.write_text(path, page.render("group.html.jinja", **context))
    return path


def metric_rows(metrics: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Return one row of text a metric: its name, mean, deviation, lowest and highest value."""
    rows = []
    for name, values in metrics.items():
        meaning = words.meaning_of(name)
        row = {"title": meaning.title, "meaning": meaning.meaning}
        for key in ("mean", "deviation", "min", "max"):
            value = values.get(key)
            shown = "–" if value is None else words.number(value, meaning.decimals)
            # A deviation is in points of percent, a mean is a percentage.
            row[key] = f"{100 * value:.2f}" if meaning.percent and value is not None else shown
        rows.append({**row, "title": f"{meaning.title} (%)" if meaning.percent else meaning.title})
    return rows


def _title(kind: str, info: dict[str, Any]) -> str:
    accuracy = (info.get("metrics") or {}).get("accuracy")
    what = f"over {words.counted(info.get('judged', 0), kind.removesuffix('s'))}"
    if accuracy is None:
        return f"No result yet {what}"
    return f"{percent(accuracy['mean'], 2)} on average {what}"


def _verdict(kind: str, info: dict[str, Any]) -> str:
    """Return what the spread says, and what it does not."""
    accuracy = (info.get("metrics") or {}).get("accuracy")
    state = info.get("state")
    unfinished = (
        ""
        if state == "finished"
        else f"{info.get('judged', 0)} of {info.get('asked')} runs were judged: {state}. "
    )
    if accuracy is None or accuracy["deviation"] is None:
        return f"{unfinished}One run says nothing about the spread."
    spread = (
        f"The accuracies lie between {accuracy['min'] * 100:.2f} and {percent(accuracy['max'], 2)}; "
        f"their standard deviation is {accuracy['deviation'] * 100:.2f} points."
    )
    return unfinished + spread


def _about(kind: str) -> str:
    if kind == "folds":
        return "Each fold was judged by a network that had not learned from it. "
    return "Each run has another seed: other first weights, another order, another split where it is drawn. "
