"""How far the stated probabilities can be believed: calibration, abstaining, prediction sets."""

from dataclasses import dataclass, field
from typing import Any

from linnaea.evaluation import calibration, clustered
from linnaea.evaluation.abstention import risk_coverage, threshold_for, why_none
from linnaea.evaluation.metrics import SET_COVERAGE, mean_log_loss
from linnaea.evaluation.prediction_sets import PredictionSets, in_words, too_few
from linnaea.report import formatting, trust_charts
from linnaea.report.charts import Drawing
from linnaea.report.facts import RunFacts
from linnaea.report.figures import Figure
from linnaea.report.formatting import count, counted, number, percent
from linnaea.report.svg import both_widths

WANTED = (0.9, 0.95, 0.98, 0.99)  # accuracies for which a threshold is looked up
MOST_SIZES = 6  # rows of set sizes; larger sets share the last


@dataclass(frozen=True)
class Trust:
    """What the section says and draws; an empty part is left out."""

    calibration: str
    reliability: Figure | None
    coverage: Figure | None
    answered: str
    thresholds: list[dict[str, str]]
    sets: str
    sizes: list[tuple[str, str, float, str]] = field(default_factory=list)


def trust_section(facts: RunFacts) -> Trust | None:
    """Return what the predictions tell of their own probabilities, or None before the test was judged."""
    table = facts.predictions
    if table is None or not len(table) or len(table.classes) < 2:
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
    sentences = []
    said = calibration.in_words(facts.metrics)
    if said:
        sentences.append(said[0].upper() + said[1:].rstrip(".") + ".")
    temperature = facts.calibration.get("temperature")
    if isinstance(temperature, (int, float)):
        pictures = facts.calibration.get("pictures") or 0
        few = calibration.too_few(pictures) if temperature == 1 else ""
        made = _made_by(facts, float(temperature)) if abs(temperature - 1) > 0.005 else ""
        sentences.append(
            f"The temperature stays 1, because {few}."
            if few
            else f"The temperature is {temperature:.2f}, fitted on "
            f"{counted(pictures, 'validation picture')}{made}."
        )
    return " ".join(sentences)


def _made_by(facts: RunFacts, temperature: float) -> str:
    """Say what a temperature did: to the probabilities, and to the loss that it is fitted to make small.

    The calibration error is another thing, and may rise where that loss falls.
    """
    effect = "more cautious" if temperature > 1 else "bolder"
    if facts.predictions is None:
        return f"; it made the probabilities {effect}"
    before = mean_log_loss(calibration.untempered(facts.predictions, temperature))
    after = mean_log_loss(facts.predictions)
    moved = "lowered" if after < before else "raised"
    return (
        f"; it made the probabilities {effect}, and {moved} the log loss on the test part from "
        f"{number(before, 3)} to {number(after, 3)}"
    )


def _reliability_figure(facts: RunFacts) -> Figure | None:
    table = facts.predictions
    if table is None:
        return None
    after = calibration.reliability(table)
    temperature = facts.calibration.get("temperature")
    tempered = isinstance(temperature, (int, float)) and abs(temperature - 1) > 0.005
    before = (
        calibration.reliability(calibration.untempered(table, float(temperature or 1))) if tempered else []
    )

    def draw(width: int) -> Drawing:
        return trust_charts.reliability(after, before, width)

    known = {row["from"]: row for row in before}
    headers = ["Stated", "Pictures", "Mean stated", "Right", "95 % interval"]
    title = "Does 80 % mean 80 %?"
    described = " ".join(
        f"Stated {percent(row['confidence'])}: {percent(row['accuracy'])} right." for row in after
    )
    return Figure(
        ident="reliability",
        title=title,
        svg=both_widths(draw, "reliability", title, described),
        caption=(
            "Pictures by the probability that the classifier stated for its answer. On the dotted line it "
            "was right as often as it said, below it was too sure; large points stand for many pictures, and "
            "the lines through them are 95 % intervals."
        ),
        headers=[*headers, "Right before temperature"] if known else headers,
        rows=[
            [
                f"{row['from'] * 100:.0f} to {percent(row['to'], 0)}",
                count(int(row["pictures"])),
                percent(row["confidence"]),
                percent(row["accuracy"]),
                f"{row['low'] * 100:.1f} to {percent(row['high'])}",
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
    table = facts.predictions
    if table is None:
        return None
    rows = risk_coverage(table)
    if len(rows) < 3:
        return None
    marked = None
    share, accuracy = facts.metric("answered"), facts.metric("accuracy_answered")
    threshold = facts.metrics.get("answered", {}).get("threshold")
    if share is not None and accuracy is not None and isinstance(threshold, (int, float)):
        marked = trust_charts.Marked(share, accuracy, f"from {percent(threshold)} on")

    def draw(width: int) -> Drawing:
        return trust_charts.coverage(rows, width, marked)

    title = "If it may say “I do not know”"
    tens = [
        rows[min(range(len(rows)), key=lambda i: abs(rows[i]["coverage"] - tenth / 10))]
        for tenth in range(10, 0, -1)
    ]
    return Figure(
        ident="coverage",
        title=title,
        svg=both_widths(
            draw,
            "coverage",
            title,
            " ".join(
                f"Answering {percent(row['coverage'], 0)} of the pictures: {percent(row['accuracy'])} right."
                for row in tens
            ),
        ),
        caption=(
            "What is right where it answers only the pictures it is surest of: the further to the left, the "
            "fewer. A curve that does not rise to the left says that its certainty is worth little. The band "
            "is the 95 % interval."
        ),
        headers=["Answered", "Right among those", "95 % interval", "Least probability"],
        rows=[
            [
                percent(row["coverage"]),
                percent(row["accuracy"]),
                f"{row['low'] * 100:.1f} to {percent(row['high'])}",
                number(row["threshold"], 3),
            ]
            for row in tens
        ],
    )


def _answered(facts: RunFacts) -> str:
    """Say what the threshold chosen on validation does on the test part, or why none was chosen."""
    entry = facts.metrics.get("answered", {})
    wanted, threshold = entry.get("wanted"), entry.get("threshold")
    if not isinstance(wanted, (int, float)) or not isinstance(threshold, (int, float)):
        if facts.validation is None or not len(facts.validation):
            return ""
        return f"No threshold was chosen: {formatting.unbroken(why_none(facts.validation))}."
    said = (
        f"For {wanted_share(wanted)} right answers, with 95{formatting.NBSP}% confidence, validation asks to "
        f"answer only from a probability of {percent(threshold)} on: "
        f"{percent(facts.metric('answered') or 0)} of the test pictures"
    )
    accuracy = facts.metric("accuracy_answered")
    if accuracy is None:
        return said + "."
    interval = facts.interval("accuracy_answered")
    between = (
        f" (95{formatting.NBSP}%: {interval[0] * 100:.1f} to {percent(interval[1])})" if interval else ""
    )
    return f"{said}, of which {percent(accuracy)} were named right{between}."


def wanted_share(share: float) -> str:
    """Return a share that somebody asked for, with no more decimals than it has: 95 %, 99.9 %."""
    return f"{100 * share:.6g}{formatting.NBSP}%"


def _thresholds(facts: RunFacts) -> list[dict[str, str]]:
    """Return, for each accuracy one may want, validation's threshold and what the test says to it."""
    validation, table = facts.validation, facts.predictions
    if validation is None or table is None or not len(validation):
        return []
    rows = []
    right = table.predicted == table.true
    chosen = facts.metrics.get("answered", {}).get("wanted")
    # The one that the sentence above tells of is among them.
    for wanted in sorted({*WANTED, *([float(chosen)] if isinstance(chosen, (int, float)) else [])}):
        found = threshold_for(validation, wanted)
        row = {"wanted": wanted_share(wanted), "threshold": "–", "answered": "–", "accuracy": "–"}
        if found is not None:
            answered = table.confidence >= found["threshold"]
            row["threshold"] = percent(found["threshold"])
            row["answered"] = percent(float(answered.mean()))
            if answered.any():
                low, high = clustered.share_interval(right[answered], table.groups_of(answered))
                between = f"({low * 100:.1f} to {percent(high)})"
                row["accuracy"] = f"{percent(float(right[answered].mean()))} {between}"
        rows.append(row)
    return rows if any(row["threshold"] != "–" for row in rows) else []


def _sets(facts: RunFacts) -> tuple[str, list[tuple[str, str, float, str]]]:
    """Return the prediction sets in a sentence, and (size, pictures, share, share in words) rows."""
    validation, table = facts.validation, facts.predictions
    entry: dict[str, Any] = facts.metrics.get("set_coverage", {})
    wanted, coverage = entry.get("wanted"), facts.metric("set_coverage")
    if validation is None or table is None:
        return "", []
    if coverage is None or not isinstance(wanted, (int, float)):
        few = too_few(validation, SET_COVERAGE)
        return f"No sets of classes were made: {formatting.unbroken(few)}." if few else "", []
    fitted = PredictionSets.fit(validation, coverage=float(wanted))
    sizes = fitted.members(table.probabilities).sum(axis=1)
    rows = []
    for size in range(int(sizes.min()), MOST_SIZES):
        rows.append((counted(size, "class", "classes"), int((sizes == size).sum())))
    rows.append((f"{MOST_SIZES} classes or more", int((sizes >= MOST_SIZES).sum())))
    interval = facts.interval("set_coverage")
    between = (
        f" (95{formatting.NBSP}%: {interval[0] * 100:.1f} to {percent(interval[1])})" if interval else ""
    )
    sentence = (
        f"Asked for a set of classes that holds the right one {wanted_share(float(wanted))} of the time, it "
        f"did so for {percent(coverage)} of the test pictures{between}, "
        f"with {number(facts.metric('set_size'), 2)} classes a picture on average. "
        f"Such sets {formatting.unbroken(fitted.promise())}."
    )
    if in_words(facts.metrics):
        sentence += " Here it was probably broken: see what stands beside the score."
    total = len(table)
    shown = [(name, count(n), n / total, percent(n / total)) for name, n in rows if n]
    return sentence, shown
