"""How reliable the stated probabilities are: calibration, answers above a threshold, prediction sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt

from linnaea.report import findings, formatting, sentences
from linnaea.report.charts import ABOVE, NARROW, PALETTE, TEXT, Drawing, height_of, share_axis
from linnaea.report.facts import RunFacts
from linnaea.report.figures import Figure, figure
from linnaea.report.formatting import between, count, counted, number, percent

WANTED = (0.9, 0.95, 0.98, 0.99)  # accuracies whose thresholds are shown, beside the one that was chosen
MOST_SIZES = 6  # rows of set sizes; larger sets share the last

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Marked:
    """A point of a coverage curve that somebody chose, as shares, with its words."""

    coverage: float
    accuracy: float
    words: str


@dataclass(frozen=True)
class Trust:
    """What the section shows; what is empty is left out."""

    calibration: str
    reliability: Figure | None
    coverage: Figure | None
    answered: str
    thresholds: list[list[str]]
    sets: str
    sizes: list[tuple[str, str, float, str]] = field(default_factory=list)


def trust_section(facts: RunFacts) -> Trust | None:
    """Return how reliable the stated probabilities are, or None before the test set was evaluated."""
    if len(facts.rows("accuracy", "classes")) < 2:
        return None
    sets, sizes = _sets(facts)
    return Trust(
        calibration=_calibration(facts),
        reliability=_reliability_figure(facts),
        coverage=_coverage_figure(facts),
        answered=_answered(facts),
        thresholds=_thresholds(facts),
        sets=sets,
        sizes=sizes,
    )


def _calibration(facts: RunFacts) -> str:
    words = [formatting.unbroken(sentences.sentence(sentences.calibration_error(facts.metrics)))]
    temperature = facts.calibration.get("temperature")
    if isinstance(temperature, (int, float)):
        pictures = facts.calibration.get("pictures") or 0
        effect = _effect(facts, float(temperature)) if abs(temperature - 1) > 0.005 else ""
        words.append(
            "The temperature stays 1."  # as in older runs, of fewer than 20 pictures
            if temperature == 1
            else f"The temperature is {temperature:.2f}, fitted on "
            f"{counted(pictures, 'validation picture')}{effect}."
        )
    return " ".join(filter(None, words))


def _effect(facts: RunFacts, temperature: float) -> str:
    """Return the effect of a temperature on the probabilities, and on the loss that it was fitted to.

    The calibration error is another thing, and may rise where that loss falls.
    """
    effect = f"; it made the probabilities {'less confident' if temperature > 1 else 'more confident'}"
    before, after = facts.metrics.get("log_loss", {}).get("before"), facts.metric("log_loss")
    if not isinstance(before, (int, float)) or after is None:
        return effect
    start, end = number(before, 3), number(after, 3)
    if start == end:
        return f"{effect}, and left the log loss on the test set at {end}"
    moved = "lowered" if after < before else "raised"
    return f"{effect}, and {moved} the log loss on the test set from {start} to {end}"


def _reliability_figure(facts: RunFacts) -> Figure:
    after = facts.rows("accuracy", "by_confidence")
    temperature = facts.calibration.get("temperature")
    tempered = isinstance(temperature, (int, float)) and abs(temperature - 1) > 0.005
    before = facts.rows("accuracy", "by_confidence_before") if tempered else []

    known = {row["from"]: row for row in before}
    headers = ["Probability", "Pictures", "Mean", "Correct", "95 % interval"]
    described = " ".join(
        f"Stated {percent(row['confidence'])}: {percent(row['accuracy'])} correct." for row in after
    )
    return figure(
        "reliability",
        findings.of_reliability(facts),
        lambda width: _reliability(after, before, width),
        described,
        caption=(
            "A reliability diagram: pictures grouped by the probability of the predicted class. On the "
            "dotted line predictions are correct as often as stated, below it they are overconfident. Large "
            "points stand for many pictures; the lines through them are 95 % intervals."
        ),
        square=True,
        headers=[*headers, "Correct before temperature scaling"] if known else headers,
        rows=[
            [
                f"{row['from'] * 100:.0f} to {percent(row['to'], 0)}",
                count(int(row["pictures"])),
                percent(row["confidence"]),
                percent(row["accuracy"]),
                between(row["low"], row["high"]),
                *(
                    [percent(known[row["from"]]["accuracy"]) if row["from"] in known else "–"]
                    if known
                    else []
                ),
            ]
            for row in after
        ],
    )


def _coverage_figure(facts: RunFacts) -> Figure | None:
    rows = facts.rows("accuracy", "by_coverage")
    if len(rows) < 3:
        return None
    marked = None
    share, accuracy = facts.metric("answered"), facts.metric("accuracy_answered")
    threshold = facts.metrics.get("answered", {}).get("threshold")
    if share is not None and accuracy is not None and isinstance(threshold, (int, float)):
        marked = Marked(share, accuracy, f"threshold {percent(threshold)}")

    tens = [
        rows[min(range(len(rows)), key=lambda i: abs(rows[i]["coverage"] - tenth / 10))]
        for tenth in range(10, 0, -1)
    ]
    return figure(
        "coverage",
        findings.of_coverage(rows),
        lambda width: _coverage(rows, width, marked),
        " ".join(
            f"Answering {percent(row['coverage'], 0)} of them: {percent(row['accuracy'])} correct."
            for row in tens
        ),
        caption=(
            "If it may answer “I do not know”: accuracy when only the most confident predictions are given "
            "as answers, the further to the left, the fewer. If the curve does not rise to the left, "
            "confidence says little about correctness. The band is the 95 % interval."
        ),
        headers=["Answered", "Accuracy of answers", "95 % interval", "Lowest probability"],
        rows=[
            [
                percent(row["coverage"]),
                percent(row["accuracy"]),
                between(row["low"], row["high"]),
                number(row["threshold"], 3),
            ]
            for row in tens
        ],
    )


def _answered(facts: RunFacts) -> str:
    """Return what the threshold chosen on validation does on the test set, or why none was chosen."""
    entry = facts.metrics.get("answered", {})
    wanted, threshold = entry.get("wanted"), entry.get("threshold")
    if not isinstance(wanted, (int, float)) or not isinstance(threshold, (int, float)):
        reason = entry.get("reason")
        words = formatting.unbroken(sentences.why_none(reason)) if reason else ""
        return f"No confidence threshold was chosen: {words}." if words else ""
    reached = (
        f"For {formatting.wanted_share(wanted)} correct answers, the confidence threshold from the "
        f"validation set is {percent(threshold)}: {percent(facts.metric('answered') or 0)} of the test "
        "pictures reach it"
    )
    accuracy = facts.metric("accuracy_answered")
    if accuracy is None:
        return reached + "."
    return (
        f"{reached}, and {percent(accuracy)} of those were classified correctly"
        f"{_between(facts, 'accuracy_answered')}."
    )


def _between(facts: RunFacts, name: str) -> str:
    """Return the interval of a metric in brackets; "" where there is none."""
    interval = facts.interval(name)
    if interval is None:
        return ""
    return f" (95{formatting.NBSP}%: {between(*interval)})"


def _thresholds(facts: RunFacts) -> list[list[str]]:
    """Return rows: an accuracy one may want, validation's threshold, its coverage and accuracy on test."""
    # The one of the sentence above is among them.
    shown = {*WANTED, facts.metrics.get("answered", {}).get("wanted")}
    rows = []
    for level in facts.rows("answered", "levels"):
        if level["wanted"] not in shown:
            continue
        threshold, accuracy = level["threshold"], level["accuracy"]
        rows.append(
            [
                formatting.wanted_share(level["wanted"]),
                "–" if threshold is None else percent(threshold),
                "–" if threshold is None else percent(level["answered"]),
                "–" if accuracy is None else f"{percent(accuracy)} ({between(level['low'], level['high'])})",
            ]
        )
    return rows if any(row[1] != "–" for row in rows) else []


def _sets(facts: RunFacts) -> tuple[str, list[tuple[str, str, float, str]]]:
    """Return the prediction sets in a sentence, and (size, pictures, share, share in words) rows."""
    entry = facts.metrics.get("set_coverage", {})
    wanted, coverage, rule = entry.get("wanted"), facts.metric("set_coverage"), entry.get("sets")
    if entry.get("reason"):
        why = formatting.unbroken(sentences.why_none(entry["reason"]))
        return f"No prediction sets were made: {why}.", []
    if coverage is None or wanted is None or rule is None:
        return "", []
    sizes = {int(size): pictures for size, pictures in entry["sizes"].items()}
    total = sum(sizes.values())
    rows = [(counted(size, "class", "classes"), sizes.get(size, 0)) for size in range(1, MOST_SIZES)]
    most = sum(pictures for size, pictures in sizes.items() if size >= MOST_SIZES)
    rows.append((f"{MOST_SIZES} classes or more", most))
    words = (
        f"Prediction sets for {formatting.wanted_share(float(wanted))} contained the true class for "
        f"{percent(coverage)} of the test pictures{_between(facts, 'set_coverage')}, "
        f"with {number(facts.metric('set_size'), 2)} classes per picture on average. "
        f"Such sets {formatting.unbroken(sentences.guarantee(rule))}."
    )
    if 2 * (facts.metric("set_size") or 0.0) > len(facts.rows("accuracy", "classes")) > 2:
        words += " Sets that name more than half of the classes tell little."
    if sentences.broken_sets(facts.metrics):
        words += " This guarantee was probably missed here: see the warning beside the score."
    return words, [(name, count(n), n / total, percent(n / total)) for name, n in rows if n]


def _reliability(after: Rows, before: Rows, width: int) -> Drawing:
    """Draw how often each stated probability was correct, with Wilson intervals (Guo et al., 2017).

    after, before: {"confidence", "accuracy", "low", "high", "pictures"} a bin, as shares; before may be
    empty.
    Square, so that a perfect classifier's points lie on a line of 45 degrees.
    """
    side = 270 if width <= NARROW else 400
    diagonal = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 100, "y": 100}])).mark_line(
        color=PALETTE["soft"], strokeDash=[2, 3], strokeWidth=1
    )
    x = _per_cent_axis("x", "stated probability (%)")
    y = _per_cent_axis("y", "correct (%)", above=True)
    layers = [diagonal.encode(x=x, y=y)]
    if before:
        layers += _bins(before, "vermillion", x, y, hollow=True)
    layers += _bins(after, "blue", x, y)
    if before:
        layers += [
            _key("○ before temperature", "vermillion", side, at=side - 30),
            _key("● after", "blue", side, at=side - 12),
        ]
    return alt.layer(*layers).properties(width=side, height=side)


def _bins(rows: Rows, colour: str, x: alt.X, y: alt.Y, *, hollow: bool = False) -> list[alt.Chart]:
    most = max(row["pictures"] for row in rows)
    values = [
        {
            "x": row["confidence"] * 100,
            "y": row["accuracy"] * 100,
            "low": row["low"] * 100,
            "high": row["high"] * 100,
            # The area of a point follows its pictures; the smallest can still be seen.
            "size": 25 + 175 * row["pictures"] / most,
        }
        for row in rows
    ]
    base = alt.Chart(alt.Data(values=values))
    dot = base.mark_point(
        filled=not hollow,
        color=PALETTE[colour],
        opacity=1,
        strokeWidth=1.5,
        fill=None if hollow else alt.Undefined,
    ).encode(x=x, y=y, size=alt.Size("size:Q", scale=None))
    if hollow:
        return [dot]
    spread = base.mark_rule(color=PALETTE[colour], strokeWidth=1.5, opacity=0.6)
    low = alt.Y("low:Q", scale=alt.Scale(domain=[0, 100], nice=False))
    return [spread.encode(x=x, y=low, y2="high"), dot]


def _key(words: str, colour: str, side: int, *, at: float) -> alt.Chart:
    """Name a colour in the corner where no point is: nobody is always sure and always wrong."""
    data = alt.Data(values=[{"words": words}])
    mark = alt.Chart(data).mark_text(x=side - 6, y=at, align="right", fontSize=TEXT, color=PALETTE[colour])
    return mark.encode(text="words:N")


def _per_cent_axis(name: str, title: str, *, above: bool = False) -> Any:
    scale = alt.Scale(domain=[0, 100], nice=False)
    values = [0, 20, 40, 60, 80, 100]
    if above:
        axis = alt.Axis(title=title, values=values, minExtent=36, maxExtent=36, **ABOVE)
        return alt.Y(f"{name}:Q", scale=scale, axis=axis)
    return alt.X(f"{name}:Q", scale=scale, axis=alt.Axis(title=title, values=values, grid=False))


def _coverage(rows: Rows, width: int, marked: Marked | None) -> Drawing:
    """Draw accuracy over the share of pictures answered, with its 95 % band (El-Yaniv & Wiener, 2010).

    rows: {"coverage", "accuracy", "low", "high"}, as shares.
    """
    # A handful of pictures at the left end has a band as high as the frame; it would press the rest together.
    steady = [row for row in rows if row["pictures"] >= 20] or list(rows)
    values = [
        {
            "x": row["coverage"] * 100,
            "y": row["accuracy"] * 100,
            "low": row["low"] * 100,
            "high": row["high"] * 100,
        }
        for row in steady
    ]
    x = _per_cent_axis("x", "answered (%)")
    y, scale = share_axis(min(value["low"] for value in values), "accuracy of answers (%)")
    base = alt.Chart(alt.Data(values=values))
    low = alt.Y("low:Q", scale=scale)
    layers = [
        base.mark_area(color=PALETTE["blue"], opacity=0.18, clip=True).encode(x=x, y=low, y2="high"),
        base.mark_line(color=PALETTE["blue"], strokeWidth=2, clip=True).encode(x=x, y=y),
    ]
    if marked is not None:
        data = alt.Data(
            values=[{"x": marked.coverage * 100, "y": marked.accuracy * 100, "words": marked.words}]
        )
        point = alt.Chart(data)
        left = marked.coverage > 0.5
        layers += [
            point.mark_rule(color=PALETTE["soft"], strokeDash=[2, 3]).encode(x=x),
            point.mark_circle(size=60, opacity=1, color=PALETTE["blue"]).encode(x=x, y=y),
            point.mark_text(
                align="right" if left else "left",
                dx=-6 if left else 6,
                y=height_of(width) - 12,
                fontSize=TEXT,
                color=PALETTE["soft"],
            ).encode(x=x, text="words:N"),
        ]
    return alt.layer(*layers).properties(width=width - 60, height=height_of(width))
