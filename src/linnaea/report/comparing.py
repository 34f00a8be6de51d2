"""The page of several runs: its first sentence, its table, its charts."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from linnaea.report import charts, formatting
from linnaea.report.charts import Bar, Line
from linnaea.report.entries import Entry
from linnaea.report.facts import RunFacts
from linnaea.report.figures import Figure, chart_figure, interval_figure, loss_axis
from linnaea.report.formatting import count, percent
from linnaea.report.pairing import Pairing


def eyebrow(entries: Sequence[Entry]) -> list[str]:
    """Return the line above the title: how many runs, on which data."""
    data = dict.fromkeys(
        str(d.get("name") or d.get("source")) for e in entries if (d := e.facts.part_of_info("data"))
    )
    return [formatting.counted(len(entries), "run"), *([formatting.listed(list(data), 3)] if data else [])]


def default_title(entries: Sequence[Entry]) -> str:
    """Return the runs' names as a title."""
    return formatting.listed([entry.name for entry in entries], 4)


def verdict(entries: Sequence[Entry], pairs: Sequence[Pairing]) -> str:
    """Return the first sentence: which is most accurate, and whether the next could be as good."""
    ranked = sorted(
        (entry for entry in entries if entry.accuracy is not None), key=lambda entry: -(entry.accuracy or 0)
    )
    if not ranked:
        return "None of these runs has been tested yet."
    best = ranked[0]
    pictures = f" of {formatting.counted(best.facts.tested, 'test picture')}" if best.facts.tested else ""
    lead = f"{best.name} classified {percent(best.accuracy or 0, 2)}{pictures} correctly"
    if len(ranked) == 1:
        return f"{lead}."
    if any(not pair.whole for pair in pairs):
        difference = f" {pairs[0].sentence}" if len(pairs) == 1 else ""
        common = difference if len(pairs) == 1 and pairs[0].result is not None else ""
        return (
            f"{lead}; not all runs were tested on the same pictures, so the table does not rank them.{common}"
        )
    level = [
        pair.second if pair.first is best else pair.first
        for pair in pairs
        if best in (pair.first, pair.second) and pair.result is not None and not pair.result.decided
    ]
    if not level:
        other = (
            "the other" if len(ranked) == 2 else f"each of the other {formatting.numeral(len(ranked) - 1)}"
        )
        return f"{lead}, significantly more than {other}."
    level_names = formatting.listed([entry.name for entry in level], 4)
    return f"{lead}, the highest accuracy, but not significantly higher than {level_names}."


@dataclass(frozen=True)
class Cell:
    """One value of the table of runs, whether it is the best of its column, and a smaller second line."""

    text: str
    best: bool = False
    below: str = ""


_COLUMNS = ("macro_auc", "log_loss")


def table_rows(entries: Sequence[Entry], out: Path, *, same_test: bool) -> list[dict[str, Any]]:
    """Return one row a run. Bests are marked among runs with one test set only."""
    judged = "accuracy", *_COLUMNS
    best = {name: _best(entries, name) if same_test else None for name in judged}
    rows = []
    for entry in entries:
        facts, network = entry.facts, entry.facts.part_of_info("network")
        spent = facts.training_seconds
        parameters = network.get("parameters")
        cells = {name: _metric_cell(facts, name, best[name]) for name in judged}
        reported = entry.reported.get("accuracy")
        rows.append(
            {
                "entry": entry,
                "link": relative_link(facts.path, out),
                "summary": network.get("summary") or facts.info.get("model") or "",
                "state": "" if facts.state == "finished" else facts.state,
                "parameters": count(parameters) if isinstance(parameters, int) else "–",
                "reported": f"{reported * 100:.2f}{formatting.NBSP}%"
                if isinstance(reported, (int, float))
                else "–",
                # Of none the best: what else the machine did meanwhile is not known.
                "seconds": Cell("–" if spent is None else formatting.duration(spent)),
                **cells,
            }
        )
    return rows


def _metric_cell(facts: RunFacts, name: str, best: float | None) -> Cell:
    value, interval = facts.metric(name), facts.interval(name)
    if value is None:
        return Cell("–")
    if name != "accuracy":
        return Cell(formatting.metric_text(formatting.meaning_of(name), value), best=value == best)
    # Two decimals: reported numbers have them, and neighbours in a table differ in the second.
    below = "" if interval is None else f"{interval[0] * 100:.2f}–{interval[1] * 100:.2f}"
    return Cell(percent(value, 2), best=value == best, below=below)


def _best(entries: Sequence[Entry], name: str) -> float | None:
    values = [v for entry in entries if (v := entry.facts.metric(name)) is not None]
    if len(values) < 2:
        return None
    return max(values) if formatting.meaning_of(name).higher_is_better else min(values)


def relative_link(run: Path, out: Path) -> str:
    """Return the way from the page to the run's own report, or to its folder where none was drawn."""
    target = run / "report.html" if (run / "report.html").exists() else run
    try:
        way = os.path.relpath(target.resolve(), out.resolve().parent)
    except ValueError:  # another drive of Windows
        return target.resolve().as_uri()
    return quote(Path(way).as_posix())


def interval_chart(entries: Sequence[Entry]) -> Figure | None:
    """Return all accuracies with their intervals on one scale, reported values as hollow diamonds."""
    bars, ends = [], []
    for entry in entries:
        if entry.accuracy is None:
            continue
        low, high = entry.facts.interval("accuracy") or (entry.accuracy, entry.accuracy)
        reported = entry.reported.get("accuracy")
        reported = reported * 100 if isinstance(reported, (int, float)) else None
        label = f"{entry.letter}  {entry.name}"
        text = percent(entry.accuracy, 2)
        bars.append(Bar(label, text, entry.accuracy * 100, low * 100, high * 100, entry.colour, reported))
        ends += [low * 100, high * 100, *([] if reported is None else [reported])]
    if not bars:
        return None
    low, high = min(ends), max(ends)
    room = max((high - low) * 0.08, 0.25)
    step = charts.nice_step((high - low + 2 * room) / 5)
    domain = (max(0.0, (low - room) // step * step), min(100.0, -(-(high + room) // step) * step))
    return interval_figure("accuracies", "Accuracies with 95 % intervals", bars, domain)


def overlaid_curves(entries: Sequence[Entry]) -> list[Figure]:
    """Return overlaid accuracy curves, and one graph of losses for each loss that was trained.

    Validation where every run has it, else training for all: the two must not be mixed.
    """
    trained = [entry for entry in entries if entry.facts.history]
    if beginnings(trained):
        return []
    part = "val" if all(e.facts.series("val", "accuracy") for e in trained) else "train"
    figures = [_overlay(trained, part, "accuracy", "Accuracy", "accuracy (%)", "accuracy-curves")]
    for number, loss in enumerate(dict.fromkeys(entry.facts.loss_name for entry in trained)):
        alike = [entry for entry in trained if entry.facts.loss_name == loss]
        used = part if all(e.facts.series(part, "loss") for e in alike) else "train"
        figures.append(
            _overlay(alike, used, "loss", loss.capitalize(), loss_axis(loss), f"loss-curves-{number}")
        )
    return [figure for figure in figures if figure is not None]


def beginnings(entries: Sequence[Entry]) -> str:
    """Return what stands in the place of curves where no run has an epoch; "" of others."""
    begun = [record for entry in entries for record in entry.facts.history]
    if not begun or any(record["epoch"] for record in begun):
        return ""
    return "None of these runs was trained for an epoch: there are no curves to draw."


def _overlay(
    entries: Sequence[Entry], part: str, quantity: str, title: str, axis: str, ident: str
) -> Figure | None:
    factor = 100 if quantity == "accuracy" else 1
    lines = [
        Line(f"{e.letter} {charts.shortened(e.name, 13)}", e.colour, points, short=e.letter)
        for e in entries
        if (points := [(epoch, value * factor) for epoch, value in e.facts.series(part, quantity)])
    ]
    if not lines:
        return None
    where = "validation set" if part == "val" else "training set"
    note = (
        "" if part == "val" else "Not every run has a validation set, so the curves show the training set. "
    )
    return chart_figure(
        ident, f"{title} on the {where} per epoch", axis, lines, share=quantity == "accuracy", note=note
    )
