"""The learning curve: what fewer training pictures gave, and so what more would probably bring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from linnaea.evaluation.learning_curve import LEAST_GAIN
from linnaea.report import formatting
from linnaea.report.card import training_counts
from linnaea.report.charts import ABOVE, NARROW, PALETTE, Drawing, nice_step
from linnaea.report.facts import RunFacts
from linnaea.report.figures import Figure
from linnaea.report.formatting import count, percent
from linnaea.report.svg import both_widths

_KEYS = ("pictures", "accuracy")


@dataclass(frozen=True)
class Growth:
    """The chart, what it says of twice as many pictures, and which classes want them most."""

    figure: Figure
    outlook: str
    classes: str


def growth_section(facts: RunFacts) -> Growth | None:
    """Return the learning curve of run.json, or None where none was asked for."""
    points = _points(facts)
    if len(points) < 2:
        return None
    return Growth(_figure(facts, points), _outlook(facts, points), _wanting(facts))


def _points(facts: RunFacts) -> list[Mapping[str, Any]]:
    curve = facts.info.get("learning_curve")
    known = [
        point
        for point in (curve if isinstance(curve, list) else [])
        if isinstance(point, dict) and all(isinstance(point.get(key), (int, float)) for key in _KEYS)
    ]
    return sorted(known, key=lambda point: point["pictures"])


def _figure(facts: RunFacts, points: Sequence[Mapping[str, Any]]) -> Figure:
    known = facts.part_of_info("learning_forecast")
    ahead = None
    if all(isinstance(known.get(key), (int, float)) for key in _KEYS):
        ahead = float(known["pictures"]), float(known["accuracy"])

    def draw(width: int) -> Drawing:
        return _drawing(points, width, ahead)

    title = "Accuracy by the number of training pictures"
    caption = f"{_whose(facts)} The lines through the points are 95 % intervals."
    if ahead is not None:
        caption += " The hollow point is a forecast, not a measurement."
    return Figure(
        ident="growth-chart",
        title=title,
        svg=both_widths(
            draw,
            "growth-chart",
            title,
            " ".join(f"{count(int(p['pictures']))} pictures: {percent(p['accuracy'])}." for p in points),
        ),
        caption=caption,
        headers=["Training pictures", "Accuracy", "95 % interval"],
        rows=[[count(int(p["pictures"])), percent(p["accuracy"]), _between(p)] for p in points],
    )


def _between(point: Mapping[str, Any]) -> str:
    low, high = point.get("low"), point.get("high")
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        return f"{low * 100:.1f} to {percent(high)}"
    return "–"


def _outlook(facts: RunFacts, points: Sequence[Mapping[str, Any]]) -> str:
    before, last = points[-2], points[-1]
    gain = (last["accuracy"] - before["accuracy"]) * 100
    words = (
        f"From {count(int(before['pictures']))} to {count(int(last['pictures']))} training pictures the "
        f"accuracy changed by {gain:+.1f} points, from {percent(before['accuracy'])} to "
        f"{percent(last['accuracy'])}."
    )
    ahead = facts.part_of_info("learning_forecast")
    if not isinstance(ahead.get("accuracy"), (int, float)):
        return words
    more = ahead["accuracy"] - last["accuracy"]
    about = f"would give about {percent(ahead['accuracy'])}"
    if more >= LEAST_GAIN:
        words += (
            f" If the error continues to fall as it has, twice as many pictures {about}, "
            f"{more * 100:.1f} points more"
        )
    else:
        words += f" More pictures have hardly lowered the error: twice as many {about}, no more than now"
    between = _between(ahead)
    return words + (f" (95{formatting.NBSP}%: {between})." if between != "–" else ".")


def _wanting(facts: RunFacts) -> str:
    """Name the classes that would gain most, as the forecast has them."""
    known = facts.part_of_info("learning_forecast").get("classes")
    gaining = [
        item
        for item in (known if isinstance(known, list) else [])
        if isinstance(item, dict)
        and isinstance(item.get("class"), str)
        and isinstance(item.get("now"), (int, float))
        and isinstance(item.get("then"), (int, float))
        and item["then"] > item["now"]
    ]
    if not gaining:
        return ""
    counts = training_counts(facts)
    named = formatting.listed(
        [
            f"{item['class']} ({count(counts[item['class']])} in training)"
            if item["class"] in counts
            else item["class"]
            for item in gaining
        ]
    )
    return f"More pictures of these classes would probably help most: {named}."


def _whose(facts: RunFacts) -> str:
    """Return what was trained and evaluated: of a pretrained network, the probe alone."""
    ahead = facts.part_of_info("learning_forecast")
    which = (
        "The linear probe, not the fine-tuned network," if ahead.get("of") == "probe" else "The same recipe"
    )
    judged, part = ahead.get("judged"), str(ahead.get("judged_on") or "validation")
    on = f", evaluated on {formatting.counted(judged, f'{part} picture')}" if isinstance(judged, int) else ""
    return f"{which} trained on subsets of the training set{on}."


def _drawing(rows: Sequence[Mapping[str, Any]], width: int, forecast: tuple[float, float] | None) -> Drawing:
    """Draw accuracy over the number of training pictures, with intervals; forecast is drawn hollow.

    rows: {"pictures", "accuracy", "low", "high"}, accuracies as shares; forecast: (pictures, accuracy).
    """
    narrow = width <= NARROW
    height = 210 if narrow else 250
    values = [
        {
            "x": row["pictures"],
            "y": row["accuracy"] * 100,
            "low": (row["accuracy"] if row.get("low") is None else row["low"]) * 100,
            "high": (row["accuracy"] if row.get("high") is None else row["high"]) * 100,
        }
        for row in rows
    ]
    lowest = min(value["low"] for value in values)
    step = nice_step(max(100 - lowest, 1) / 4)
    bottom = max(0.0, step * int(lowest // step))
    most = max([value["x"] for value in values] + ([forecast[0]] if forecast else []))
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[0, most * 1.04], nice=False),
        axis=alt.Axis(title="training pictures", grid=False, tickCount=5, format=",d"),
    )
    scale = alt.Scale(domain=[bottom, 100], nice=False)
    ticks = [bottom + step * i for i in range(round((100 - bottom) / step) + 1)]
    axis = alt.Axis(title="accuracy (%)", values=ticks, minExtent=36, maxExtent=36, **ABOVE)
    y = alt.Y("y:Q", scale=scale, axis=axis)
    base = alt.Chart(alt.Data(values=values))
    colour = PALETTE["blue"]
    layers = [
        base.mark_line(color=colour, strokeWidth=2).encode(x=x, y=y),
        base.mark_rule(color=colour, strokeWidth=1.5, opacity=0.6).encode(
            x=x, y=alt.Y("low:Q", scale=scale), y2="high"
        ),
        base.mark_circle(color=colour, size=50, opacity=1).encode(x=x, y=y),
    ]
    if forecast is not None:
        last = values[-1]
        ahead = [{"x": last["x"], "y": last["y"]}, {"x": forecast[0], "y": forecast[1] * 100}]
        rest = alt.Chart(alt.Data(values=ahead))
        tip = alt.Chart(alt.Data(values=ahead[1:]))
        layers += [
            rest.mark_line(color=colour, strokeDash=[4, 4], strokeWidth=1.5).encode(x=x, y=y),
            tip.mark_point(color=colour, size=50, strokeWidth=1.5, fill=PALETTE["paper"], opacity=1).encode(
                x=x, y=y
            ),
        ]
    return alt.layer(*layers).properties(width=width - 60, height=height)
