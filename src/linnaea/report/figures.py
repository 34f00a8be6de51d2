"""Charts with everything around them: a heading, both drawings, a caption, and the same data as a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from linnaea.report import charts, findings
from linnaea.report.caveats import may_be_chance
from linnaea.report.charts import Bar, Drawing, Line
from linnaea.report.facts import SPLITS, RunFacts
from linnaea.report.formatting import count, counted, number, percent
from linnaea.report.svg import at_widths

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
MOST_EPOCHS = 1000
"""Drawn and listed, about; a chart has fewer pixels, and a page of a hundred thousand rows opens nowhere."""
SPLIT_COLOURS = {"train": "blue", "val": "vermillion", "test": "green"}


@dataclass(frozen=True)
class Figure:
    """One chart as the templates need it; headers and rows are its data for those who cannot see it."""

    ident: str
    title: str
    svg: Markup
    caption: str = ""
    headers: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def figure(
    ident: str,
    title: str,
    draw: Callable[[int], Drawing],
    description: str,
    *,
    caption: str = "",
    headers: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    square: bool = False,
) -> Figure:
    """Return draw(width) for every width of a page, with what else is known of it.

    description: what a reader of the page hears who cannot see it.
    square: see svg.at_widths.
    """
    drawn = at_widths(draw, ident, title, description, square=square)
    return Figure(ident, title, drawn, caption, headers, rows)


def learning_curves(facts: RunFacts) -> list[Figure]:
    """Return the accuracy graph and the loss graph of one run, each only where it has a finite value.

    None of a run without an epoch: sections.beginning describes it in a sentence.
    """
    figures: list[Figure] = []
    if not facts.epochs:
        return figures
    chosen = facts.info.chosen_epoch if facts.info.chosen_on else None
    note = ""
    if facts.info.probe:
        note += "Epoch 0 is the linear probe; from epoch 1 on, the training curve is of augmented pictures. "
    if facts.series("test", "accuracy"):
        note += "The test curve is shown for comparison; no choice was made on it. "
    for quantity, name, axis in (
        ("accuracy", "accuracy", "accuracy (%)"),
        ("loss", facts.loss_name, loss_axis(facts.loss_name)),
    ):
        factor = 100 if quantity == "accuracy" else 1
        lines = [
            Line(
                SPLIT_NAMES[split],
                SPLIT_COLOURS[split],
                [(epoch, value * factor) for epoch, value in facts.series(split, quantity)],
                dashed=split == "test",
            )
            for split in SPLITS
        ]
        lines = [line for line in lines if line.points]
        if lines:
            drawn = chart_figure(
                f"{quantity}-curve",
                _finding(facts, quantity, name),
                axis,
                lines,
                share=quantity == "accuracy",
                chosen=chosen,
                note=_untempered(facts) if figures else f"{note}{_kept_of_equals(facts)}",
            )
            figures.append(drawn)
    return figures


def _finding(facts: RunFacts, quantity: str, name: str) -> str:
    """Return what the curve of the validation set shows, or, without one, that of the training set."""
    split = next(split for split in ("val", "train", "test") if facts.series(split, quantity))
    return findings.of_curve(
        f"{SPLIT_NAMES[split]} {name}",
        facts.series(split, quantity),
        last=facts.epochs,
        share=quantity == "accuracy",
        before="the linear probe" if facts.info.probe else "training",
    )


def _kept_of_equals(facts: RunFacts) -> str:
    """Say why an epoch was chosen that another, before it, was as accurate as; "" where none was."""
    points = dict(facts.series("val", "accuracy"))
    chosen = facts.info.chosen_epoch
    if facts.info.chosen_on is None or chosen not in points:
        return ""
    equals = [epoch for epoch, value in points.items() if value == points[chosen] and epoch < chosen]
    return (
        "Of epochs with the same validation accuracy, that with the lowest loss was chosen. "
        if equals
        else ""
    )


def _untempered(facts: RunFacts) -> str:
    """Say why a loss here is not the log loss of the result."""
    if facts.loss_name != "cross-entropy" or facts.calibration.get("temperature", 1) == 1:
        return ""
    return "Before temperature scaling, which the log loss of the result includes. "


def loss_axis(loss_name: str) -> str:
    """Return the title of a loss axis: cross-entropy has a unit, squared error has none."""
    return f"{loss_name} (nats)" if loss_name == "cross-entropy" else loss_name


def chart_figure(
    ident: str,
    title: str,
    axis: str,
    lines: Sequence[Line],
    *,
    share: bool,
    chosen: int | None = None,
    note: str = "",
    zoom: bool = False,
) -> Figure:
    """Return curves over epochs with their caption and their table; share: the values are per cent.

    zoom: see charts.frame. Of very many epochs, some are drawn and listed: see thinned.
    """
    epochs = len({epoch for line in lines for epoch, _ in line.points})
    lines = thinned(lines, chosen)
    shown = len({epoch for line in lines for epoch, _ in line.points})
    if shown < epochs:
        note += (
            f"{shown:,} of {epochs:,} epochs are shown, among them the highest and lowest of each stretch; "
            "history.jsonl has all. "
        )
    return figure(
        ident,
        title,
        lambda width: charts.curves(lines, width, title=axis, percent=share, chosen=chosen, zoom=zoom),
        describe_curves(lines, share),
        caption=f"{note}{_outside(lines, share, zoom)}".strip(),
        headers=["Epoch", *(line.name[0].upper() + line.name[1:] for line in lines)],
        rows=curve_rows(lines, share),
    )


def thinned(lines: Sequence[Line], chosen: int | None = None) -> Sequence[Line]:
    """Return the lines at about MOST_EPOCHS epochs, the same for all of them.

    Of each stretch of epochs the highest and the lowest point of each line stay, so that no spike is lost;
    so do its first and last point, and the chosen epoch.
    """
    if len({epoch for line in lines for epoch, _ in line.points}) <= MOST_EPOCHS:
        return lines
    kept = {chosen}
    stretches = max(MOST_EPOCHS // (2 * len(lines)), 1)
    for line in lines:
        values = np.array([value for _, value in line.points])
        rows = {0, len(values) - 1}
        for stretch in np.array_split(np.arange(len(values)), stretches):
            if len(stretch):
                rows |= {int(stretch[values[stretch].argmin()]), int(stretch[values[stretch].argmax()])}
        kept |= {line.points[row][0] for row in rows}
    return [replace(line, points=[point for point in line.points if point[0] in kept]) for line in lines]


def describe_curves(lines: Sequence[Line], share: bool) -> str:
    """Return one sentence a curve for readers who use a screen reader."""
    sentences = []
    for line in lines:
        (first, start), (last, end) = line.points[0], line.points[-1]
        sentences.append(
            f"{line.name}: {_written(start, share)} at epoch {first}, {_written(end, share)} at epoch {last}."
        )
    return " ".join(sentences)


def curve_rows(lines: Sequence[Line], share: bool) -> list[list[str]]:
    """Return the points of all curves as table rows, one an epoch."""
    values = [dict(line.points) for line in lines]
    epochs = sorted(set().union(*values))
    return [
        [str(epoch), *(_written(known[epoch], share) if epoch in known else "–" for known in values)]
        for epoch in epochs
    ]


def _outside(lines: Sequence[Line], share: bool, zoom: bool) -> str:
    """Return what lies outside the range shown, so that the cut axis misleads nobody."""
    fit = charts.frame(lines, percent=share, zoom=zoom)
    if not fit.hidden:
        return ""
    points = [point for line in lines for point in line.points]
    outside = [(epoch, value) for epoch, value in points if not fit.low <= value <= fit.high]
    values = sorted(value for _, value in outside)
    least, most = (percent(v / 100) if share else f"{v:.3g}" for v in (values[0], values[-1]))
    where, last = "below" if share else "outside", max(epoch for epoch, _ in outside)
    if last:
        farthest = least if share else most
        return f"Epochs up to {last} lie partly {where} the range shown; the farthest is at {farthest}."
    value = least if least == most else f"{least} to {most}"
    return f"Epoch 0, before training ({value}), lies {where} the range shown."


def _written(value: float, share: bool) -> str:
    return percent(value / 100) if share else number(value)


def headline_figure(facts: RunFacts, accuracy_text: str) -> Figure | None:
    """Return the accuracy with its interval beside the baselines, on one scale from 0 to 100 %."""
    accuracy, interval = facts.metric("accuracy"), facts.interval("accuracy")
    if accuracy is None:
        return None
    low, high = (interval[0] * 100, interval[1] * 100) if interval else (None, None)
    bars = [Bar("this classifier", accuracy_text, accuracy * 100, low, high)]
    known = {name: value for name, value in facts.info.baselines.items() if value is not None}
    if facts.info.kept == "probe":
        # Of an earlier version: the probe is the result, and nothing to compare it with.
        known.pop("the probe alone", None)
    for name, value in sorted(known.items(), key=lambda item: -item[1]):
        bars.append(Bar(name, percent(value), value * 100, colour="black"))
    classes = len(facts.predictions.classes) if facts.predictions else 0
    if classes > 1:
        bars.append(Bar("guessing at random", percent(1 / classes), 100 / classes, colour="black"))
    title = findings.of_baselines(
        accuracy,
        known or ({"guessing at random": 1 / classes} if classes > 1 else {}),
        undecided=[name for name in known if may_be_chance(facts, name)],
    )
    return interval_figure("headline", title, bars, (0.0, 100.0))


def interval_figure(
    ident: str,
    title: str,
    bars: Sequence[Bar],
    domain: tuple[float, float],
    *,
    caption: str = "",
    differences: bool = False,
) -> Figure:
    """Return an interval chart of bars over domain: see charts.intervals."""
    return figure(
        ident,
        title,
        lambda width: charts.intervals(bars, width, domain=domain, differences=differences),
        " ".join(f"{bar.label}: {bar.text}." for bar in bars),
        caption=caption,
    )


def confusion_figure(matrix: np.ndarray, title: str) -> Figure:
    """Return the heat map of a confusion matrix too large for numbers; title: see findings.of_confusions."""
    wrong = int(matrix.sum() - matrix.diagonal().sum())
    description = (
        f"{len(matrix)} by {len(matrix)} classes, those that are confused beside each other; "
        f"{counted(int(matrix.diagonal().sum()), 'picture')} on the diagonal, {count(wrong)} off it. "
        "The table of mistakes contains the same."
    )
    return figure(
        "confusion-map",
        f"Confusion matrix: {title}",
        lambda width: charts.heatmap(matrix, width),
        description,
        square=True,
    )
