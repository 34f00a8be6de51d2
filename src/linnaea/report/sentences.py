"""What the numbers of an evaluation say, in words: for the pages and for the terminal alike.

Each begins with a small letter and has no full stop, so that it can stand after a colon; see sentence.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from linnaea.evaluation import clustered, conformal, ood, prediction_sets
from linnaea.evaluation.comparison import Comparison
from linnaea.evaluation.ood import OutlierScore
from linnaea.evaluation.repeated import RepeatedComparison
from linnaea.report import formatting
from linnaea.report.formatting import NBSP
from linnaea.runs.schema import GroupInfo, Opening, Pooled, Reuse, RunInfo, Selection
from linnaea.text import counted, percent, plural

Metrics = Mapping[str, Mapping[str, Any]]
NOT_RANKED = "not all runs were tested on the same pictures, so the table does not rank them."
SURE = f"{100 * conformal.CONFIDENCE:g} % confidence"


def sentence(words: str | None) -> str:
    """Return words with a capital and a full stop; "" for none."""
    return f"{words[0].upper()}{words[1:]}." if words else ""


def remarks(metrics: Metrics) -> list[str]:
    """Return what a reader of metrics.json should know beside the numbers and the caveats."""
    found = (in_groups(metrics), calibration_error(metrics), false_alarms(metrics))
    return [words for words in found if words]


def in_groups(metrics: Metrics) -> str | None:
    """Return what groups of test pictures do to the intervals; None where next to nothing."""
    accuracy = metrics.get("accuracy", {})
    pictures, groups, alone = (accuracy.get(name) for name in ("pictures", "groups", "independent"))
    if pictures is None or groups is None or alone is None or not clustered.matters(alone, pictures):
        return None
    return (
        f"its {pictures:,} test pictures belong to {counted(groups, 'group')}, and predictions within a "
        f"group tend to be right or wrong together; the intervals therefore count them as "
        f"{independent_pictures(alone)}"
    )


def independent_pictures(number: float) -> str:
    """Return an effective sample size: '120 independent pictures'."""
    return f"{round(number):,} independent {plural(round(number), 'picture')}"


def calibration_error(metrics: Metrics) -> str | None:
    """Return how far the stated probabilities are off; None where that was not computed."""
    now, before = metrics.get("ece", {}), metrics.get("ece_before", {})
    if now.get("value") is None:
        return None
    words = f"its stated probabilities are off by {100 * now['value']:.1f} points on average"
    if before.get("value") is not None and before.get("temperature") != 1:
        words += f" ({100 * before['value']:.1f} before temperature scaling)"
    if now.get("by_chance_high") is not None and now["value"] <= now["by_chance_high"]:
        words += f", no more than expected by chance with {counted(now['pictures'], 'picture')}"
    return words


def broken_sets(metrics: Metrics) -> str | None:
    """Return that the prediction sets missed their guarantee on the test set, and what of it; or None."""
    missed = missed_sets(metrics)
    return missed and (
        f"{missed}. The validation set, which prediction sets and thresholds are based on, was probably "
        "easier: for new pictures, too, they may hold less often than guaranteed"
    )


def missed_sets(metrics: Metrics) -> str | None:
    """Return that the prediction sets missed their guarantee on the test set; None where they did not."""
    if not prediction_sets.broken(metrics):
        return None
    entry = metrics["set_coverage"]
    return (
        f"its prediction sets for {100 * entry['wanted']:g} % contained the true class for only "
        f"{100 * entry['value']:.1f} % of the test pictures; if the test pictures were like the validation "
        f"pictures, so few would be expected in {_how_seldom(entry['p_value'])} of cases"
    )


def false_alarms(metrics: Metrics) -> str | None:
    """Return that too many familiar pictures are flagged as unfamiliar; None where they are not."""
    if not ood.too_many(metrics):
        return None
    entry = metrics["outliers"]
    split = entry.get("split") or entry.get("part", "validation")  # as older runs call it
    return (
        f"it flagged {100 * entry['value']:.1f} % of the test pictures, all of known classes, as unfamiliar "
        f"(out-of-distribution), instead of at most {100 * entry['wanted']:.3g} %; if the test pictures were "
        f"like the {split} pictures, so many would be expected in {_how_seldom(entry['p_value'])} of cases. "
        "Expect as many false alarms for new pictures"
    )


def _how_seldom(chance: float) -> str:
    return f"{100 * chance:.1f} %" if chance >= 0.001 else "less than 0.1 %"


def guarantee(rule: Mapping[str, Any]) -> str:
    """Return what "these sets …" do; rule: PredictionSets.guarantee."""
    wanted, pictures, independent = f"{100 * rule['coverage']:g} %", rule["pictures"], rule["independent"]
    rest_on = counted(pictures, "validation picture")
    if clustered.matters(independent, pictures):
        rest_on += f", which carry as much information as {independent_pictures(independent)}"
    if rule["confidence"] >= conformal.CONFIDENCE:
        return (
            f"contain the true class at least {wanted} of the time, with {SURE}, and "
            f"{100 * rule['mean_coverage']:.1f} % of the time on average (they are based on {rest_on})"
        )
    # Cut, not rounded: 94.99 % is not the 95 % that more pictures give.
    return (
        f"contain the true class at least {wanted} of the time on average over many trainings; that these do "
        f"is {math.floor(100 * rule['confidence'])} % sure: they are based on {rest_on}, and {SURE} would "
        f"take {conformal.surest(rule['coverage']):,}"
    )


def why_none(reason: Mapping[str, Any]) -> str:
    """Return why there are no prediction sets, or no threshold.

    reason: of prediction_sets.too_few, or of abstention.why_none.
    """
    if reason["code"] == "too_few":
        kind = "" if reason["independent"] == reason["pictures"] else "independent "
        return (
            f"a guarantee of {100 * reason['wanted']:g} % takes {reason['needed']:,} {kind}validation "
            f"pictures, and there are only {reason['independent']:,}"
        )
    if reason["code"] == "too_hard":
        wanted = f"{100 * reason['wanted']:g} %"
        return f"the validation set is too small, or too hard, to guarantee {wanted} correct answers"
    # Older runs call it promised. Cut, not rounded: 94.99 % is not 95 %.
    least = math.floor(1000 * reason.get("guaranteed", reason.get("promised"))) / 10
    return (
        f"without one, {reason['right']:,} of {reason['pictures']:,} validation pictures are classified "
        f"correctly already, which guarantees at least {least:g} % correct answers"
    )


def shortfall(score: OutlierScore) -> str:
    """Return what is guaranteed instead of the asked false-alarm rate with confidence; "" where that is."""
    if score.is_sure:
        return ""
    surest = conformal.surest(1 - score.asked)
    kind = "" if score.independent == score.pictures else "independent "
    more = f"; {100 * score.asked:g} % would take {surest:,}" if score.independent < surest else ""
    return (
        f"at most {100 * score.guaranteed:.3g} % false alarms are guaranteed on average, and at most "
        f"{100 * score.surely_guaranteed:.3g} % with {SURE}, based on {score.independent:,} {kind}"
        f"{score.split} pictures{more}"
    )


def difference(result: Comparison, name_a: str, name_b: str) -> str:
    """Return a comparison in percentage points, the better model first."""
    if not result.decided:
        return f"no significant difference on {counted(result.n, 'picture')}"
    name, points, low, high = _better(result, name_a, name_b)
    return f"{name} is better by {points} points (95 %: {low} to {high})"


def repeated_difference(result: RepeatedComparison, name_a: str, name_b: str) -> str:
    """Return a comparison of repeats in percentage points, the better recipe first, with its interval.

    Without one where no picture of any repeat tells the two apart.
    """
    spread = f"standard deviation {100 * result.deviation:.1f}"
    if result.decided:
        name, points, low, high = _better(result, name_a, name_b)
        return (
            f"{name} is better by {points} points on average (95 %: {low} to {high}, {spread} "
            f"over {result.n} repeats)"
        )
    nothing = f"no significant difference over {result.n} repeats"
    if result.low == result.high:
        return f"{nothing}: both classified the same pictures correctly each time"
    points, low, high = (formatting.signed(100 * end) for end in (result.difference, result.low, result.high))
    return f"{nothing} ({name_a} − {name_b}: {points} points on average, 95 %: {low} to {high}, {spread})"


def paired_difference(result: Comparison, name_a: str, name_b: str, *, common: bool) -> str:
    """Return a comparison as a sentence; common: it is of the pictures that both were tested on alone."""
    words = difference(result, name_a, name_b)
    if common:
        where = f"on the {formatting.counted(result.n, 'picture')} that both were tested on"
        words = f"{words}, {where}" if result.decided else f"no significant difference {where}"
    # A run is written as its folder is called, at the beginning of a sentence too.
    return f"{words}." if result.decided else sentence(words)


def paired_details(result: Comparison, a: str, b: str) -> str:
    """Return the difference of a comparison, what each of a and b alone had right, and the p value."""
    r, words = result, ""
    # The sentence of a decided one has the difference already.
    if not r.decided:
        points, low, high = (formatting.signed(100 * end, 2) for end in (r.difference, r.low, r.high))
        words = f"{a} − {b}: {points} points (95{NBSP}%: {low} to {high}). "
    test = "McNemar" if r.independent == r.n else "sign-flip test over groups,"
    return (
        f"{words}Only {a} was correct {formatting.times(r.only_a)}, only {b} {formatting.times(r.only_b)}; "
        f"{chance(r.p_value, test)}."
    )


def chance(p_value: float, test: str = "McNemar") -> str:
    """Return an exact test's p in words: how often chance alone would give such a difference."""
    if p_value >= 0.5:
        often = "by this much or more in most tests"
    elif p_value >= 0.0001:
        often = f"by this much or more once in {formatting.count(round(1 / p_value))} tests"
    else:
        often = "by this much or more less than once in 10,000 tests"
    shown = f"={NBSP}{p_value:.2g}" if p_value >= 0.0001 else f"<{NBSP}0.0001"
    return f"two equally good classifiers would differ {often} ({test} p{NBSP}{shown})"


def most_accurate(name: str, accuracy: float, tested: int | None) -> str:
    """Return what the most accurate of several runs reached; tested: the number of its test pictures."""
    pictures = f" of {formatting.counted(tested, 'test picture')}" if tested else ""
    return f"{name} classified {formatting.percent(accuracy, 2)}{pictures} correctly"


def lead_over(others: int, level: Sequence[str], *, equal: bool = False) -> str:
    """Return how the most accurate run stands to so many others, after most_accurate.

    level: the names of those that may be as good; equal: whether one of them has as many right
    """
    if equal:
        return (
            f", and it is not shown which is the most accurate: {formatting.listed(level, 4)} may be as good"
        )
    if level:
        names = formatting.listed(level, 4)
        return f", the highest accuracy, but not significantly higher than {names}"
    if not others:
        return ""
    other = "the other" if others == 1 else f"each of the other {formatting.numeral(others)}"
    return f", significantly more than {other}"


def spread(info: GroupInfo, lost: Sequence[str]) -> str:
    """Return the spread of repeats or folds, and which runs it lacks.

    lost: the runs that were made and are gone.
    """
    words = []
    if info.state != "finished":
        were = "was" if info.evaluated == 1 else "were"
        words.append(f"{info.evaluated or 0} of {info.asked} runs {were} evaluated: {info.state}.")
    if lost:
        are = "is" if len(lost) == 1 else "are"
        words.append(f"Of {info.asked} runs, {formatting.listed(lost)} {are} missing.")
    accuracy = info.metrics.get("accuracy")
    if accuracy is None:
        return " ".join(words) or "No run has been evaluated on a test set."
    if accuracy.deviation is None:
        return " ".join([*words, "The spread needs at least two runs."])
    words.append(
        f"The accuracies lie between {accuracy.min * 100:.2f} and {formatting.percent(accuracy.max, 2)}; "
        f"their standard deviation is {accuracy.deviation * 100:.2f} points."
    )
    # Guarantees that were missed on the test set; see broken_sets and false_alarms.
    for runs, what in (
        (
            info.broken_sets,
            "the prediction sets contained the true class less often than guaranteed: the validation set "
            "was probably easier there than the test set",
        ),
        (
            info.broken_alarms,
            "more familiar pictures than allowed were flagged as unfamiliar (out-of-distribution)",
        ),
    ):
        if runs:
            words.append(f"In {formatting.counted(len(runs), 'run')} ({formatting.listed(runs)}) {what}.")
    return " ".join(words)


def pooled(accuracy: Pooled) -> str:
    """Return the accuracy over the pictures of all folds, with its interval."""
    return (
        f"{percent(accuracy.value)} of all {counted(accuracy.pictures, 'picture')} right "
        f"(95 %: {100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}, wider than of one test of so many: "
        "the networks learned from nearly the same pictures), each predicted by a network that had not "
        "learned from it"
    )


def nothing_ahead(pictures: int, gain_low: float, gain_high: float) -> str:
    """Return that a learning curve that so many pictures evaluate cannot say what more would bring."""
    return (
        f"{counted(pictures, 'picture')} cannot tell what more would bring: twice as many to learn from "
        f"could raise the accuracy by anything from {100 * gain_low:.1f} to {100 * gain_high:.1f} points"
    )


def probe_folds(accuracy: Pooled) -> str:
    """Return the accuracy of the linear probe over folds of all but the test set, with its interval."""
    return (
        f"the linear probe alone, cross-validated over the {counted(accuracy.pictures, 'picture')} "
        f"outside the test set, classifies {percent(accuracy.value)} correctly "
        f"(95 %: {100 * accuracy.low:.1f} to {100 * accuracy.high:.1f})"
    )


def ended_early(info: RunInfo, history: Sequence[Mapping[str, Any]]) -> str:
    """Return why a fine-tuning that could hardly beat its probe has fewer epochs than planned, or "".

    history: the lines of history.jsonl.
    """
    planned, done = info.recipe.get("epochs"), len(history) - 1
    if not isinstance(planned, int) or done >= planned or info.recipe.get("patience") is not None:
        return ""
    if done == 0 and history[0].get("val_accuracy") != 1:
        return ""
    if done == 0:
        left_out = "fine-tuning could not beat it, and was left out"
        return f"the probe makes no mistake on the validation set: {left_out}"
    return (
        f"fine-tuning was ended after {done} of {counted(planned, 'epoch')}, all of them clearly below the "
        "probe on validation: the probe is what is kept"
    )


def selection(made: Selection) -> str:
    """Return on what the network was chosen, and how each one that was tried did."""
    tried = sorted(made.tried, key=lambda each: -each.accuracy)
    return (
        f"by the linear probe over {counted(made.folds, 'fold')} of "
        f"{counted(made.pictures, 'training picture')}: "
        + ", ".join(f"{each.model} {percent(each.accuracy)}" for each in tried)
    )


def earlier_evaluations(reuse: Reuse | None) -> str:
    """Return how many runs evaluated the test set before, a sentence; "" where an older run did not count."""
    if reuse is None:
        return ""
    if reuse.earlier is None:
        return "Earlier evaluations on this test set could not be counted."
    if reuse.earlier == 0:
        return "This is the first run on this computer that was evaluated on this test set."
    one = reuse.earlier == 1
    return (
        f"Other runs were evaluated {formatting.times(reuse.earlier)} on this test set before: if "
        f"{'that score' if one else 'those scores'} influenced this run, the score is optimistic."
    )


def own_evaluations(reuse: Reuse | None) -> str:
    """Return when this run was evaluated on its test set before, in words; "" where it never was."""
    before = openings(reuse)
    return before and f"perhaps used to choose how long to train: evaluated {before}, and then trained on"


def openings(reuse: Reuse | None) -> str:
    """Return when this run was evaluated before it trained on, as "after epoch 3 (2026-01-01 10:00 UTC)"."""
    before = [] if reuse is None else reuse.own[:-1]
    return formatting.listed([_opened(opening) for opening in before]) if before else ""


def _opened(opening: Opening) -> str:
    after = f"after epoch {opening.epoch}" if opening.epoch else "before the first epoch was over"
    return f"{after} ({formatting.moment(opening.at)})"


def _better(result: Comparison | RepeatedComparison, name_a: str, name_b: str) -> tuple[str, str, str, str]:
    """Return the better one's name, and from its side the difference with its interval, in points."""
    name, ends = name_a, (result.difference, result.low, result.high)
    if result.difference <= 0:
        name, ends = name_b, (-result.difference, -result.high, -result.low)
    points, low, high = (f"{100 * end:.1f}" for end in ends)
    return name, points, low, high
