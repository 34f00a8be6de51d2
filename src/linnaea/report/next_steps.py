"""What to do with a run now, made from its numbers: use it, make it better, and what not to trust it for."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linnaea.evaluation import resolution
from linnaea.evaluation.learning_curve import LEAST_GAIN, tells
from linnaea.evaluation.metrics import SURE
from linnaea.report import formatting
from linnaea.report.caveats import is_shown_good, is_worth_using, leaked_paths, may_be_chance
from linnaea.report.facts import RunFacts
from linnaea.report.formatting import counted, percent
from linnaea.text import command, command_line, natural_order, option

_NOT_YET = "Not yet: the warning above says why, and what may help."
# Classes that are named; of more, their number is given.
MOST_NAMED = 4


@dataclass(frozen=True)
class Advice:
    """One sentence; the command to type after it, or words that lead to a section, where the page has it."""

    text: str
    command: str = ""
    link: str = ""
    to: str = ""


@dataclass(frozen=True)
class Step:
    """One of the three lines below the headline."""

    title: str
    advice: list[Advice]


def next_steps(facts: RunFacts) -> list[Step]:
    """Return what stands below the headline; empty before the test set was evaluated."""
    if facts.metric("accuracy") is None:
        return []
    steps = [
        Step("Use it", _use(facts)),
        Step("Make it better", _improve(facts)),
        Step("Do not trust it for", _distrust(facts)),
    ]
    return [step for step in steps if step.advice]


def lines_after_training(facts: RunFacts, path: str) -> list[str]:
    """Return the same for the terminal, shorter: what to look at, and how the network is used.

    path: the run's, as it is called from here.
    """
    if facts.metric("accuracy") is None:
        return []
    what = next((f" ({advice.text.rstrip('.')})" for advice in _mistaken(facts)), "")
    lines = [f"look at it{what}: {command('linnaea', 'open', path)}"]
    if is_worth_using(facts):
        use = "classify new pictures" if is_shown_good(facts) else "to try it"
        lines.append(f"{use}: {_predict(path)}")
    return lines


def after_repeats(runs: Sequence[RunFacts]) -> list[Step]:
    """Return what stands below the headline of runs of one recipe with other seeds."""
    tested = [facts for facts in runs if facts.metric("accuracy") is not None]
    if not tested:
        return []
    if not all(map(is_worth_using, tested)):
        return [Step("Use it", [Advice(_NOT_YET)])]
    words = "They differ by chance alone, so take any of them, not the one with the highest score:"
    return [Step("Use it", [Advice(words, _predict(tested[0].path))])]


def after_comparison(
    best: tuple[str, RunFacts], level: Sequence[tuple[str, RunFacts]], *, same_test: bool
) -> list[Step]:
    """Return what stands below the headline of a comparison.

    best: the most accurate run with its name; level: those that may be as good
    same_test: whether all of them were tested on the same pictures
    """
    if not same_test:
        measure = (
            f"Compare them with {option('common', True)}, on the pictures that all were tested on, or train "
        )
        return [Step("Use one", [Advice(f"{measure}them again on one split.")])]
    if not is_worth_using(best[1]):
        return [Step("Use one", [Advice(_NOT_YET)])]
    if not level:
        advice = Advice(f"Classify new pictures with {best[0]}:", _predict(best[1].path))
    else:
        simplest = min((best, *level), key=_cost)
        words = (
            f"Which of {formatting.listed([name for name, _ in (best, *level)], MOST_NAMED)} is the best is "
        )
        words += f"not shown: take the one that costs least, here {simplest[0]}:"
        advice = Advice(words, _predict(simplest[1].path))
    return [Step("Use one", [advice])]


def _cost(run: tuple[str, RunFacts]) -> tuple[float, float]:
    """Return what a run's network takes: parameters, then seconds of training."""
    network = run[1].info.network
    parameters = None if network is None else network.parameters
    return (float("inf") if parameters is None else parameters, run[1].training_seconds or 0.0)


def _predict(run: str | Path) -> str:
    return command("linnaea", "predict", run, "PICTURE")


def _use(facts: RunFacts) -> list[Advice]:
    if not is_worth_using(facts):
        return [Advice(_NOT_YET)]
    # Whoever drew the page from within has no name for the folder.
    path = facts.path if facts.path.name not in ("", "..") else facts.path.resolve()
    if facts.folds:
        words = f"The folds measure the recipe. For use, train once more without {option('folds')}"
        again = _without_folds(facts.info.command)
        return [
            Advice(f"{words}{':' if again else ', on all pictures.'}", again),
            Advice("Or take the network of one fold:", _predict(path)),
        ]
    if not is_shown_good(facts):
        return [Advice("Not for decisions yet: see the warning above. To try it:", _predict(path))]
    advice = [Advice(f"{_use_words(facts)}:", _predict(path))]
    answered = facts.metrics.get("answered", {})
    threshold, wanted = answered.get("threshold"), answered.get("wanted")
    if threshold is not None and wanted is not None:
        words = (
            f"Check answers below a probability of {percent(threshold)} yourself: of the others, at least "
        )
        words += f"{formatting.wanted_share(wanted)} are right, with 95{formatting.NBSP}% confidence."
        advice.append(Advice(words, link="How sure that is", to="trust"))
    return advice


def _without_folds(typed: str | None) -> str:
    """Return the command of a training over folds as that of one training; "" where there was no command."""
    if typed is None:
        return ""
    try:
        words = shlex.split(typed)
    except ValueError:  # typed in a shell that quotes otherwise
        return ""
    kept: list[str] = []
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        if name not in ("--folds", "--out"):
            kept.append(word)
        elif not value and words:
            words.pop(0)
    return command(*kept)


def _use_words(facts: RunFacts) -> str:
    """Return that the network can be used, and what of the number above must be known to do so."""
    accuracy, clean = facts.metric("accuracy"), facts.metric("accuracy_without_leaks")
    if clean is not None and accuracy is not None and leaked_paths(facts):
        return f"Classify new pictures, and count on {percent(clean)}, not on {percent(accuracy)}"
    for name in facts.info.baselines:
        # Where the classifier is better for sure, this network is not offered at all.
        if name.startswith("a linear classifier") and may_be_chance(facts, name):
            return "Classify new pictures; a linear classifier on the pixels may do it as well"
    return "Classify new pictures"


def _improve(facts: RunFacts) -> list[Advice]:
    advice = _mistaken(facts)
    sure = facts.metrics["accuracy"].get("sure_mistakes")
    # Of a network that learned nothing, every label is doubted.
    if sure and is_worth_using(facts):
        of = "mistake has" if sure == 1 else "mistakes have"
        them = "is its label" if sure == 1 else "are their labels"
        words = f"{sure:,} {of} a probability of {percent(SURE, 0)} or more: {them} right?"
        where = ("The label issues", "labels") if facts.folds else ("The most confident mistakes", "mistakes")
        advice.append(Advice(words, link=where[0], to=where[1]))
    return [*advice, *([] if facts.folds else _more_pictures(facts))]


def _mistaken(facts: RunFacts) -> list[Advice]:
    """Return the most frequent kind of mistake, or how many there are; nothing where there is none."""
    confused = facts.rows("accuracy", "confused")
    if not confused:
        return []
    top = confused[0]
    both = next(
        (pair for pair in confused if (pair["true"], pair["predicted"]) == (top["predicted"], top["true"])),
        None,
    )
    if top["pictures"] == 1 and both is not None:
        words = f"‘{top['true']}’ and ‘{top['predicted']}’ were taken for each other."
        return [Advice(words, link="See these pictures", to="confusion")]
    if top["pictures"] > 1:
        what = f"‘{top['true']}’ was taken for ‘{top['predicted']}’ in {top['pictures']:,} of "
        what += f"{_tested(facts, top['true'])} test pictures."
        return [Advice(what, link="See these pictures", to="confusion")]
    wrong = facts.metrics["accuracy"]["pictures"] - facts.metrics["accuracy"]["correct"]
    if wrong == 1:
        return [Advice("Its one mistake may be a wrong label.", link="See it", to="mistakes")]
    return [Advice(f"No two of its {wrong:,} mistakes are alike.", link="See them", to="mistakes")]


def _tested(facts: RunFacts, name: str) -> str:
    """Return the number of test pictures of a class."""
    rows = facts.rows("accuracy", "classes")
    return next((f"{row['pictures']:,}" for row in rows if row["class"] == name), "its")


def _more_pictures(facts: RunFacts) -> list[Advice]:
    """Return whether more training pictures help, and of which classes; how to find out where nobody did."""
    ahead, points = facts.info.learning_forecast, facts.info.learning_curve
    if ahead is None or ahead.accuracy is None or not points:
        if facts.info.recipe.get("budget") is not None:
            return []
        # In a shell True is a flag, and this option takes a word.
        measure = option("learning_curve", True) + (" true" if command_line.get() else "")
        return [Advice(f"Whether more pictures would help was not measured: train with {measure}.")]
    now = max(points, key=lambda point: point.pictures).accuracy
    gain, low, high = ahead.accuracy - now, ahead.gain_low, ahead.gain_high
    if low is None or high is None:
        # Of older runs, whose gain has no interval of its own.
        low, high = (gain if end is None else end - now for end in (ahead.low, ahead.high))
    if not tells(low, high):
        words = "The learning curve rests on too few pictures to tell whether more would help."
        return [Advice(words, link="The learning curve", to="learning-curve")]
    if gain < LEAST_GAIN:
        return [Advice("More pictures would hardly help.", link="The learning curve", to="learning-curve")]
    gaining = [each.name for each in ahead.classes if each.then > each.now]
    most = f", above all of {formatting.listed(gaining, MOST_NAMED)}" if gaining else ""
    words = f"Twice as many training pictures would bring about {100 * gain:.1f} points{most}."
    return [Advice(words, link="The learning curve", to="learning-curve")]


def _distrust(facts: RunFacts) -> list[Advice]:
    advice = []
    # Nobody goes by the classes of a network that is not worth using.
    if is_worth_using(facts) and (few := _few(facts)):
        advice.append(Advice(few, link="Results by class", to="classes"))
    ece, by_chance = facts.metric("ece"), facts.metrics.get("ece", {}).get("by_chance_high")
    if ece is not None and by_chance is not None and ece > by_chance:
        # The folds' own errors, whose mean the table has, are larger: each is of fewer pictures.
        whose = ", over all folds together" if facts.folds else ""
        words = f"Its probabilities to the letter: they are off by {100 * ece:.1f} points on average{whose}."
        advice.append(Advice(words, link="How reliable they are", to="trust"))
    advice.append(Advice("Pictures from cameras, places or times that are not in its test set."))
    return advice


def _few(facts: RunFacts) -> str:
    """Return which classes have too few test pictures to be judged alone; "" where none has."""
    rows = facts.rows("accuracy", "classes")
    uncertain = resolution.uncertain_classes(rows)
    if not uncertain:
        return ""
    few = sorted((row["class"] for row in uncertain), key=natural_order)
    fewest, most = uncertain[0]["pictures"], max(row["pictures"] for row in uncertain)
    tested = counted(most, "test picture") if fewest == most else f"{fewest:,} to {most:,} test pictures"
    points = f"more than {100 * resolution.WIDEST_OF_CLASS:.0f} points"
    if len(few) == len(rows):
        return f"Single classes: with {tested} each, the recall of every class is uncertain by {points}."
    which = formatting.listed(few) if len(few) <= MOST_NAMED else f"{len(few):,} of {len(rows):,}"
    each = "" if len(few) == 1 else " each"
    return f"Single classes: with {tested}{each}, the recall of {which} is uncertain by {points}."
