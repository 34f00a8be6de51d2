"""Charts of how far a score can be believed: reliability, coverage, and what more pictures would buy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from linnaea.report.charts import ABOVE, NARROW, PALETTE, TEXT, Drawing, nice_step

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Marked:
    """A point of a coverage curve that somebody chose, as shares, with its words."""

    coverage: float
    accuracy: float
    words: str


def reliability(after: Rows, before: Rows, width: int) -> Drawing:
    """Draw how often each stated probability was right, with Wilson intervals (Guo et al., 2017).

    after, before: {"confidence", "accuracy", "low", "high", "pictures"} a bin, as shares; before may be
    empty.
    Square, so that a perfect classifier's points lie on a line of 45 degrees.
    """
    side = 270 if width <= NARROW else 400
    diagonal = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 100, "y": 100}])).mark_line(
        color=PALETTE["soft"], strokeDash=[2, 3], strokeWidth=1
    )
    x = _per_cent_axis("x", "stated probability (%)")
    y = _per_cent_axis("y", "right (%)", above=True)
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


def coverage(rows: Rows, width: int, marked: Marked | None) -> Drawing:
    """Draw accuracy over the share of pictures answered, with its 95 % band (El-Yaniv & Wiener, 2010).

    rows: {"coverage", "accuracy", "low", "high"}, as shares.
    """
    narrow = width <= NARROW
    height = 210 if narrow else 250
    # A handful of pictures at the left end has a band as high as the frame; it would press the rest together.
    steady = [row for row in rows if row["pictures"] >= 20] or list(rows)
    lowest = min(row["low"] for row in steady) * 100
    step = nice_step(max(100 - lowest, 1) / 4)
    bottom = max(0.0, step * int(lowest // step))
    values = [
        {
            "x": row["coverage"] * 100,
            "y": row["accuracy"] * 100,
            "low": row["low"] * 100,
            "high": row["high"] * 100,
        }
        for row in steady
    ]
    ticks = [bottom + step * i for i in range(round((100 - bottom) / step) + 1)]
    x = _per_cent_axis("x", "answered (%)")
    scale = alt.Scale(domain=[bottom, 100], nice=False)
    y = alt.Y(
        "y:Q",
        scale=scale,
        axis=alt.Axis(title="right among those (%)", values=ticks, minExtent=36, maxExtent=36, **ABOVE),
    )
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
                y=height - 12,
                fontSize=TEXT,
                color=PALETTE["soft"],
            ).encode(x=x, text="words:N"),
        ]
    return alt.layer(*layers).properties(width=width - 60, height=height)


def more_pictures(rows: Rows, width: int, forecast: tuple[float, float] | None) -> Drawing:
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
