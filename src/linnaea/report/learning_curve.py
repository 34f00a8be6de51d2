"""The learning curve: what fewer training pictures gave, and so what more would probably bring."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from linnaea.evaluation.learning_curve import LEAST_GAIN, tells
from linnaea.report import formatting, sentences
from linnaea.report.card import training_counts
from linnaea.report.charts import PALETTE, Drawing, height_of, share_axis
from linnaea.report.facts import RunFacts
from linnaea.report.figures import Figure, figure
from linnaea.report.formatting import between, count, percent
from linnaea.runs.schema import Forecast, LearningPoint


@dataclass(frozen=True)
class LearningCurve:
    """The chart, what it says of twice as many pictures, and which classes want them most."""

    figure: Figure
    outlook: str
    classes: str


def learning_curve_section(facts: RunFacts) -> LearningCurve | None:
    """Return the learning curve of run.json, or None where none was asked for."""
    points = sorted(facts.info.learning_curve, key=lambda point: point.pictures)
    if len(points) < 2:
        return None
    ahead = facts.info.learning_forecast or Forecast()
    low, high, evaluated = ahead.gain_low, ahead.gain_high, ahead.evaluated
    if not (low is None or high is None or evaluated is None or tells(low, high)):
        # The curve that was measured, and no forecast.
        nothing = Forecast(of=ahead.of, evaluated_on=ahead.evaluated_on, evaluated=evaluated)
        words = sentences.sentence(sentences.nothing_ahead(evaluated, low, high))
        return LearningCurve(_figure(points, nothing), f"{_outlook(points, nothing)} {words}", "")
    return LearningCurve(_figure(points, ahead), _outlook(points, ahead), _wanting(facts, ahead))


def _figure(points: Sequence[LearningPoint], ahead: Forecast) -> Figure:
    caption = f"{_whose(ahead)} The lines through the points are 95 % intervals."
    if ahead.accuracy is not None:
        caption += " The hollow point is a forecast, not a measurement."
    return figure(
        "learning-curve-chart",
        "Accuracy by the number of training pictures",
        lambda width: _drawing(points, width, ahead),
        " ".join(f"{count(p.pictures)} pictures: {percent(p.accuracy)}." for p in points),
        caption=caption,
        headers=["Training pictures", "Accuracy", "95 % interval"],
        rows=[[count(p.pictures), percent(p.accuracy), _between(p) or "–"] for p in points],
    )


def _between(point: LearningPoint | Forecast) -> str:
    """Return the interval of a point, "" where it has none."""
    return "" if point.low is None or point.high is None else between(point.low, point.high)


def _outlook(points: Sequence[LearningPoint], ahead: Forecast) -> str:
    before, last = points[-2], points[-1]
    gain = (last.accuracy - before.accuracy) * 100
    words = (
        f"From {count(before.pictures)} to {count(last.pictures)} training pictures the accuracy changed by "
        f"{formatting.signed(gain)} points, from {percent(before.accuracy)} to {percent(last.accuracy)}."
    )
    if ahead.accuracy is None:
        return words
    if last.accuracy == 1:
        return f"{words} No evaluated picture is wrong any more, so more pictures could not raise it here."
    more = ahead.accuracy - last.accuracy
    about = f"would give about {percent(ahead.accuracy)}"
    if more >= LEAST_GAIN:
        words += (
            f" If the error continues to fall as it has, twice as many pictures {about}, "
            f"{more * 100:.1f} points more"
        )
    else:
        words += f" More pictures have hardly lowered the error: twice as many {about}, no more than now"
    interval = _between(ahead)
    return words + (f" (95{formatting.NBSP}%: {interval})." if interval else ".")


def _wanting(facts: RunFacts, ahead: Forecast) -> str:
    """Name the classes that would gain most, as the forecast has them."""
    gaining = [gain.name for gain in ahead.classes if gain.then > gain.now]
    if not gaining:
        return ""
    counts = training_counts(facts)
    named = [f"{name} ({count(counts[name])} in training)" if name in counts else name for name in gaining]
    return f"More pictures of these classes would probably help most: {formatting.listed(named)}."


def _whose(ahead: Forecast) -> str:
    """Return what was trained and evaluated: of a pretrained network, the probe alone."""
    probe = ahead.of == "probe"
    which = "The linear probe, not the fine-tuned network," if probe else "The same recipe"
    on = ""
    if ahead.evaluated is not None and ahead.evaluated_on == "folds":
        others = formatting.counted(ahead.evaluated, "picture")
        on = f", cross-validated over the {others} outside the test set"
    elif ahead.evaluated is not None:
        pictures = f"{ahead.evaluated_on or 'validation'} picture"
        on = f", evaluated on {formatting.counted(ahead.evaluated, pictures)}"
    return f"{which} trained on subsets of the training set{on}."


def _drawing(points: Sequence[LearningPoint], width: int, ahead: Forecast) -> Drawing:
    """Draw accuracy over the number of training pictures, with intervals; the forecast is drawn hollow."""
    values = [
        {
            "x": point.pictures,
            "y": point.accuracy * 100,
            "low": (point.accuracy if point.low is None else point.low) * 100,
            "high": (point.accuracy if point.high is None else point.high) * 100,
        }
        for point in points
    ]
    most = max(points[-1].pictures, ahead.pictures or 0)
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[0, most * 1.04], nice=False),
        axis=alt.Axis(title="training pictures", grid=False, tickCount=5, format=",d"),
    )
    y, scale = share_axis(min(value["low"] for value in values), "accuracy (%)")
    base = alt.Chart(alt.Data(values=values))
    colour = PALETTE["blue"]
    layers = [
        base.mark_line(color=colour, strokeWidth=2).encode(x=x, y=y),
        base.mark_rule(color=colour, strokeWidth=1.5, opacity=0.6).encode(
            x=x, y=alt.Y("low:Q", scale=scale), y2="high"
        ),
        base.mark_circle(color=colour, size=50, opacity=1).encode(x=x, y=y),
    ]
    if ahead.pictures is not None and ahead.accuracy is not None:
        ends = [values[-1], {"x": ahead.pictures, "y": ahead.accuracy * 100}]
        rest = alt.Chart(alt.Data(values=ends))
        tip = alt.Chart(alt.Data(values=ends[1:]))
        layers += [
            rest.mark_line(color=colour, strokeDash=[4, 4], strokeWidth=1.5).encode(x=x, y=y),
            tip.mark_point(color=colour, size=50, strokeWidth=1.5, fill=PALETTE["paper"], opacity=1).encode(
                x=x, y=y
            ),
        ]
    return alt.layer(*layers).properties(width=width - 60, height=height_of(width))
