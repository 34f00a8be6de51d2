"""The charts of a page, as Altair charts in the light palette: usable in a notebook as they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

# Okabe & Ito (2008), told apart by readers with any kind of colour vision; then the greys of the page, and
# five shades for the right and the wrong cells of a confusion matrix. page.css holds the dark counterparts.
PALETTE = {
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "orange": "#e69f00",
    "sky": "#56b4e9",
    "yellow": "#d9c400",  # a shade deeper than the original, which cannot be seen on white
    "black": "#3b3b38",
    "ink": "#1c1c1a",
    "soft": "#5c5c57",
    "line": "#dddcd6",
    "paper": "#fdfdfb",
    "hit-1": "#e4eff6",
    "hit-2": "#b9d8e9",
    "hit-3": "#8bbfdb",
    "hit-4": "#5ea6cd",
    "hit-5": "#4498c5",
    "miss-1": "#fbeadf",
    "miss-2": "#f6d3bb",
    "miss-3": "#efb48c",
    "miss-4": "#e8945a",
    "miss-5": "#e07a33",
}
FIRST_EPOCHS = 0.2  # of a curve, which a zoomed chart may leave outside
RUN_COLOURS = ("blue", "vermillion", "green", "purple", "orange", "sky", "black", "yellow")

Drawing = alt.LayerChart | alt.FacetChart  # what alt.layer() says that it returns

# Pixels of the drawing: the column of page.css on a desk, elsewhere and on paper, and on a phone: text keeps
# its size.
DESK, WIDE, NARROW = 960, 704, 346
TEXT = 12.5
_LETTER = 7.8  # mean width of a letter at that size, in the widest of those fonts
# A vertical axis is named above its top, where a title can be read without turning the head.
ABOVE: dict[str, Any] = {
    "titleAngle": 0,
    "titleAlign": "left",
    "titleAnchor": "end",
    "titleX": -36,
    "titleY": -14,
}


@dataclass(frozen=True)
class Line:
    """One curve: its name, the name of its colour, and (epoch, value) points."""

    name: str
    colour: str
    points: Sequence[tuple[int, float]]
    short: str = ""
    dashed: bool = False


@dataclass(frozen=True)
class Bar:
    """One row of an interval chart, in per cent; low and high where there is an interval."""

    label: str
    text: str
    value: float
    low: float | None = None
    high: float | None = None
    colour: str = "blue"
    reported: float | None = None


@dataclass(frozen=True)
class Frame:
    """The vertical range of curves, its ticks, and whether the points of epoch 0 lie outside."""

    low: float
    high: float
    ticks: tuple[float, ...]
    hidden: bool


def frame(lines: Sequence[Line], *, percent: bool, zoom: bool = False) -> Frame:
    """Choose the vertical range of curves; percent says that values end at 0 and 100.

    zoom: of many curves, the first fifth of their epochs may lie outside, so that they can be told apart.

    Before training, a network guesses: drawn to scale, that one point would press everything that was
    learned into a line at the edge. Where it takes more than 60 % of the height, it is left outside. A
    network that begins with what a probe has learned does not guess: its epoch 0 is no worse than the rest.
    """
    every = [value for line in lines for _, value in line.points]
    ends = {line.name: line.points[-1][0] for line in lines}
    learned = [
        value
        for line in lines
        for epoch, value in line.points
        if epoch > (FIRST_EPOCHS * ends[line.name] if zoom else 0)
    ] or every
    low, high = min(learned), max(learned)
    before = [value for line in lines for epoch, value in line.points if epoch == 0]
    known = learned + [value for value in before if (value >= low if percent else value <= high)]
    low, high = min(known), max(known)
    narrower = 0.7 if zoom else 0.4
    hidden = len(known) < len(every) and (max(every) - min(every)) * narrower > high - low > 0
    if not hidden:
        low, high = min(every), max(every)
    if not percent and low < 0.35 * high:
        low = 0.0
    step = nice_step(max(high - low, abs(high) * 0.02, 1e-9) / 4)
    first = max(0, math.floor(low / step + 1e-9))
    last = max(first + 1, math.ceil(high / step - 1e-9))
    if percent and last * step > 100:
        first, last = min(first, round(100 / step) - 1), round(100 / step)
    ticks = tuple(round(i * step, 12) for i in range(first, last + 1))
    return Frame(ticks[0], ticks[-1], ticks, hidden)


def curves(
    lines: Sequence[Line],
    width: int,
    *,
    title: str,
    percent: bool,
    chosen: int | None = None,
    zoom: bool = False,
) -> Drawing:
    """Draw curves over epochs with their names at their ends, and a rule at the chosen epoch.

    title names the vertical axis; percent says that the values are per cent, which end at 0 and 100.
    zoom: see frame.
    """
    narrow = width <= NARROW
    height = height_of(width)
    fit = frame(lines, percent=percent, zoom=zoom)
    epochs = [epoch for line in lines for epoch, _ in line.points]
    first, last = min(epochs), max(epochs)
    # Not the last epoch: a history that was edited may be out of order.
    reached = max(line.points[-1][0] for line in lines)
    ends = [line for line in lines if line.points[-1][0] == reached]
    letters = max(len(line.short if narrow and line.short else line.name) for line in ends)
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(domain=[first, max(last, first + 1)], nice=False),
        axis=alt.Axis(grid=False, values=epoch_ticks(first, last, most=6 if narrow else 11), format="d"),
    )
    y = alt.Y(
        "value:Q",
        title=title,
        scale=alt.Scale(domain=[fit.low, fit.high], nice=False),
        axis=alt.Axis(
            values=list(fit.ticks),
            minExtent=36,
            maxExtent=36,
            format="~s" if fit.high >= 1e4 else alt.Undefined,
            **{**ABOVE, "titleY": -14 if chosen is None else -30},
        ),
    )
    layers = [_curve(line, x, y) for line in lines]
    if chosen is not None and first <= chosen <= last:
        layers = [*_chosen_rule(chosen, first, last, x), *layers]
    inner = width - 40 - letters * _LETTER - 12
    beside = _LETTER * 2 * max(last - first, 1) / inner  # epochs within which two letters would overlap
    layers += _names_of_early_ends(lines, last, x, y, fit, height, beside)
    layers += _names_at_ends(lines, last, x, y, fit, height, narrow=narrow)
    return alt.layer(*layers).properties(width=inner, height=height)


def epoch_ticks(first: int, last: int, most: int) -> list[int]:
    """Return at most so many whole epochs from first to last, evenly spaced from a round number."""
    step = max(1, math.ceil(nice_step(max(last - first, 1) / (most - 1))))
    return list(range(math.ceil(first / step) * step, last + 1, step))


def _curve(line: Line, x: alt.X, y: alt.Y) -> alt.Chart:
    values = [{"epoch": epoch, "value": value} for epoch, value in line.points]
    # Few epochs are seen as points; many points would hide the line.
    points: Any = {"size": 22, "filled": True, "color": PALETTE[line.colour]} if len(values) <= 13 else False
    mark = alt.Chart(alt.Data(values=values)).mark_line(
        color=PALETTE[line.colour],
        strokeWidth=2,
        strokeDash=[5, 3] if line.dashed else [1, 0],
        clip=True,
        point=points,
    )
    return mark.encode(x=x, y=y)


def _names_at_ends(
    lines: Sequence[Line], last: int, x: alt.X, y: alt.Y, fit: Frame, height: int, *, narrow: bool
) -> list[alt.Chart]:
    """Mark the last point of each curve, and name those that end with the frame beside it.

    Names are pushed apart where two ends lie closer than a line of text.
    """
    per_pixel = (fit.high - fit.low) / height
    layers = []
    for line in lines:
        epoch, value = line.points[-1]
        data = alt.Data(values=[{"epoch": epoch, "value": value}])
        dot = alt.Chart(data).mark_circle(size=34, opacity=1, color=PALETTE[line.colour], clip=True)
        layers.append(dot.encode(x=x, y=y))
    ends = [line for line in lines if line.points[-1][0] == last]
    for line, place in zip(ends, _apart(ends, fit, per_pixel), strict=True):
        name = line.short if narrow and line.short else line.name
        data = alt.Data(values=[{"epoch": last, "value": place, "name": name}])
        text = alt.Chart(data).mark_text(align="left", dx=8, fontSize=TEXT, color=PALETTE["ink"])
        layers.append(text.encode(x=x, y=y, text="name:N"))
    return layers


def _names_of_early_ends(
    lines: Sequence[Line], last: int, x: alt.X, y: alt.Y, fit: Frame, height: int, beside: float
) -> list[alt.Chart]:
    """Name each curve that stops before the frame does above its last point.

    Names are pushed apart where two ends lie closer than a line of text, and no more than `beside` epochs.
    """
    per_pixel = (fit.high - fit.low) / height
    early = [line for line in lines if line.points[-1][0] < last]
    near: list[list[Line]] = []
    for line in sorted(early, key=lambda line: line.points[-1][0]):
        if near and line.points[-1][0] - near[-1][-1].points[-1][0] <= beside:
            near[-1].append(line)
        else:
            near.append([line])
    layers = []
    for ends in near:
        places = _apart(ends, fit, per_pixel)
        # Up, so that none is pushed down onto its own curve.
        up = max(line.points[-1][1] - place for line, place in zip(ends, places, strict=True))
        for line, place in zip(ends, places, strict=True):
            values = [{"epoch": line.points[-1][0], "value": place + up, "name": line.short or line.name}]
            base = alt.Chart(alt.Data(values=values)).encode(x=x, y=y, text="name:N")
            look: dict[str, Any] = {"dy": -11, "fontSize": TEXT, "fontWeight": 600}
            layers.append(base.mark_text(stroke=PALETTE["paper"], strokeWidth=3, **look))
            layers.append(base.mark_text(color=PALETTE["ink"], **look))
    return layers


def _apart(ends: Sequence[Line], fit: Frame, per_pixel: float) -> list[float]:
    """Return where the names of curves stand: at their last values, a line of text apart."""
    heights = [min(max(line.points[-1][1], fit.low), fit.high) / per_pixel for line in ends]
    return [place * per_pixel for place in spread(heights, gap=15)]


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Return places moved as little as needed to be gap apart; their order, also of equals, stays."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    # Groups that touch are merged and centred on the mean of what they stand for.
    groups: list[tuple[float, list[int]]] = []
    for i in order:
        groups.append((places[i], [i]))
        while len(groups) > 1:
            (lower, below), (upper, above) = groups[-2:]
            if upper - lower >= gap * (len(below) + len(above)) / 2:
                break
            members = below + above
            groups[-2:] = [(sum(places[j] for j in members) / len(members), members)]
    moved = list(places)
    for centre, members in groups:
        for rank, i in enumerate(members):
            moved[i] = centre + (rank - (len(members) - 1) / 2) * gap
    return moved


def _chosen_rule(chosen: int, first: int, last: int, x: alt.X) -> list[alt.Chart]:
    """Mark the chosen epoch; its words stand over the frame, where no curve runs."""
    data = alt.Data(values=[{"epoch": chosen, "words": f"epoch {chosen}, chosen"}])
    rule = alt.Chart(data).mark_rule(color=PALETTE["soft"], strokeDash=[2, 3]).encode(x=x)
    left = chosen - first > (last - first) / 2
    text = alt.Chart(data).mark_text(
        align="right" if left else "left",
        dx=3 if left else -3,
        y=-9,
        fontSize=TEXT,
        color=PALETTE["soft"],
    )
    return [rule, text.encode(x=x, text="words:N")]


def intervals(
    bars: Sequence[Bar], width: int, *, domain: tuple[float, float], differences: bool = False
) -> Drawing:
    """Draw one value with its interval a row, all on one scale: domain is (low, high).

    differences: the values are not per cent but differences in points, and a line marks where there is none.
    """
    row = 48
    letters = max(int(width / _LETTER) - 2 - max(len(bar.text) for bar in bars), 8)
    values = [
        {
            "y": row * i + 32,
            "label": shortened(bar.label, letters),
            "text": bar.text,
            "value": bar.value,
            "low": bar.value if bar.low is None else bar.low,
            "high": bar.value if bar.high is None else bar.high,
            "left": domain[0],
            "right": domain[1],
            "reported": bar.reported,
            "colour": PALETTE[bar.colour],
        }
        for i, bar in enumerate(bars)
    ]
    height = row * len(bars)
    base = alt.Chart(alt.Data(values=values))
    label = "replace(datum.label, '-', '−')" if differences else "datum.label + ' %'"
    axis = alt.Axis(title=None, grid=False, tickCount=5, labelExpr=label)
    scale = alt.Scale(domain=list(domain), nice=False)

    def x(name: str) -> alt.X:
        return alt.X(f"{name}:Q", scale=scale, axis=axis)

    y = alt.Y("y:Q", scale=alt.Scale(domain=[height, 0], nice=False), axis=None)
    colour = alt.Color("colour:N", scale=None)
    layers = [
        base.mark_rule(color=PALETTE["line"]).encode(x=x("left"), x2="right", y=y),
        base.mark_rule(strokeWidth=11, opacity=0.38).encode(x=x("low"), x2="high", y=y, color=colour),
        base.mark_tick(orient="vertical", thickness=2.5, size=18, opacity=1).encode(
            x=x("value"), y=y, color=colour
        ),
        base.mark_text(align="left", dy=-20, fontSize=TEXT, color=PALETTE["ink"]).encode(
            x=x("left"), y=y, text="label:N"
        ),
        base.mark_text(align="right", dy=-20, fontSize=TEXT, color=PALETTE["ink"]).encode(
            x=x("right"), y=y, text="text:N"
        ),
    ]
    if differences:
        # A mark a row, which no words are written across.
        none = base.transform_calculate(none="0").mark_tick(
            orient="vertical", size=24, color=PALETTE["ink"], opacity=1
        )
        layers.append(none.encode(x=x("none"), y=y))
    if any(bar.reported is not None for bar in bars):
        hollow = base.transform_filter("datum.reported !== null").mark_point(
            shape="diamond", size=70, strokeWidth=1.5, color=PALETTE["ink"], fill=PALETTE["paper"], opacity=1
        )
        layers.append(hollow.encode(x=x("reported"), y=y))
    return alt.layer(*layers).properties(width=width - 2, height=height)


def level(share: float, *, right: bool) -> str:
    """Return the shade of one confusion cell by its share of the row, e.g. 'miss-2'.

    Mistakes are rare where a classifier is any good, so their steps are finer: 1, 3, 10 and 30 %.
    """
    edges = (0.5, 0.8, 0.9, 0.95) if right else (0.01, 0.03, 0.1, 0.3)
    return f"{'hit' if right else 'miss'}-{1 + sum(share > edge for edge in edges)}"


def heatmap(matrix: np.ndarray, width: int) -> Drawing:
    """Draw a large confusion matrix, (k, k) with true classes in rows, without its empty cells."""
    k = len(matrix)
    side = width - 26
    totals = matrix.sum(axis=1)
    cells = [
        {
            "x": int(j),
            "x2": int(j) + 1,
            "y": int(i),
            "y2": int(i) + 1,
            "colour": PALETTE[level(matrix[i, j] / totals[i], right=bool(i == j))],
        }
        for i, j in zip(*np.nonzero(matrix), strict=True)
    ]
    scale = alt.Scale(domain=[0, k], nice=False)
    down = alt.Scale(domain=[k, 0], nice=False)
    bare: dict[str, Any] = {"labels": False, "ticks": False, "grid": False, "domain": False}
    x = alt.X(
        "x:Q",
        scale=scale,
        axis=alt.Axis(title="predicted class →", orient="top", titleAnchor="start", **bare),
    )
    y = alt.Y("y:Q", scale=down, axis=alt.Axis(title="← true class", titleAnchor="end", **bare))
    border = alt.Chart(alt.Data(values=[{"x": 0, "x2": k, "y": 0, "y2": k}])).mark_rect(
        filled=False, stroke=PALETTE["line"]
    )
    grid = alt.Chart(alt.Data(values=cells)).mark_rect(strokeWidth=0)
    return alt.layer(
        border.encode(x=x, x2="x2", y=y, y2="y2"),
        grid.encode(x=x, x2="x2", y=y, y2="y2", color=alt.Color("colour:N", scale=None)),
    ).properties(width=side, height=side)


def height_of(width: int) -> int:
    """Return the height of a chart of curves."""
    return 210 if width <= NARROW else 250


def share_axis(lowest: float, title: str) -> tuple[alt.Y, alt.Scale]:
    """Return the vertical axis of per cents, named above its top, and its scale: to 100 from below lowest."""
    step = nice_step(max(100 - lowest, 1) / 4)
    bottom = max(0.0, step * int(lowest // step))
    ticks = [bottom + step * i for i in range(round((100 - bottom) / step) + 1)]
    axis = alt.Axis(title=title, values=ticks, minExtent=36, maxExtent=36, **ABOVE)
    scale = alt.Scale(domain=[bottom, 100], nice=False)
    return alt.Y("y:Q", scale=scale, axis=axis), scale


def nice_step(raw: float) -> float:
    """Return the least of 1, 2, 5 × a power of ten that is not below raw (> 0)."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)


def shortened(text: str, letters: int) -> str:
    """Return text cut to so many letters, the last of them an ellipsis."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"
