"""What a reader must know before relying on the score, for the page and the terminal alike.

Leaks, a network that is not worth using, too few test pictures, classes that it never recognises, earlier
evaluations, choices on test.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from linnaea.data.problems import KINDS
from linnaea.evaluation import baselines, resolution
from linnaea.report import formatting, sentences
from linnaea.report.facts import RunFacts
from linnaea.report.formatting import NBSP, counted, percent
from linnaea.text import option, plural

LARGEST = "always the largest class"
MOST_NAMED = 4  # runs or classes that a title names
# Test pictures of a class, all wrong, from which on it is told: its recall is then 0 to 43 %, with 95 %
# confidence.
ENOUGH_TO_NOTICE = 5
# Keys of "chosen" in the run.json of earlier versions.
_RENAMED = {"none of the classes": "out-of-distribution threshold", "test part": "test set"}


@dataclass(frozen=True)
class Caveat:
    """One warning that stands beside the score: what is so, what it means and what helps, and names.

    mild: whether the score means what it says all the same
    """

    title: str
    text: str
    names: tuple[str, ...] = ()
    names_of: str = ""
    mild: bool = False


def caveats(facts: RunFacts) -> list[Caveat]:
    """Return what touches the score itself, the gravest first; empty where nothing is known to."""
    if facts.metric("accuracy") is None:
        return []
    return [caveat for find, _ in _KINDS if (caveat := find(facts)) is not None]


def of_several(runs: Sequence[tuple[str, RunFacts]]) -> list[Caveat]:
    """Return each kind of caveat that some of several runs have, once, the gravest first.

    runs: each with its name
    """
    tested = [(name, facts) for name, facts in runs if facts.metric("accuracy") is not None]
    several = []
    for find, title in _KINDS:
        found = [(name, caveat) for name, facts in tested if (caveat := find(facts)) is not None]
        if not found:
            continue
        whose = "All runs" if len(found) == len(tested) > 1 else formatting.listed(dict(found), MOST_NAMED)
        if len({caveat.text for _, caveat in found}) == 1:
            named = tuple(dict.fromkeys(path for _, caveat in found for path in caveat.names))
            several.append(replace(found[0][1], title=f"{whose}: {title}", names=named))
        else:
            each = tuple(f"{name}: {caveat.title} {caveat.text}" for name, caveat in found)
            mild = all(caveat.mild for _, caveat in found)
            several.append(Caveat(f"{whose}: {title}", "", each, "More about each", mild))
    return several


def leaked_paths(facts: RunFacts) -> tuple[str, ...]:
    """Return the test pictures that belong together with one of another set: copies, or the same group."""
    return tuple((facts.info.leaks and facts.info.leaks.pictures) or ())


def _leaks(facts: RunFacts) -> Caveat | None:
    paths = leaked_paths(facts)
    if not paths:
        return None
    have, them = ("has", "it") if len(paths) == 1 else ("have", "them")
    text = (
        f"{counted(len(paths), 'test picture')} {have} a duplicate, or a picture of the same group, in the "
        "training or validation set: the network may have seen the answer."
    )
    meaning = formatting.meaning_of("accuracy_without_leaks")
    clean, interval = facts.metric("accuracy_without_leaks"), facts.interval("accuracy_without_leaks")
    if clean is not None:
        between = formatting.interval_text(meaning, interval)
        text += (
            f" Without {them}, {formatting.metric_text(meaning, clean, interval)} were classified correctly"
        )
        text += f" (95{formatting.NBSP}%: {between})." if between else "."
    elif len(paths) == facts.tested:
        text += " No test picture is free of leaks, so the score says nothing about new pictures."
    text += f" Take {them} out of one set, or let Linnaea draw the split, which keeps copies together."
    return Caveat("Test pictures leak into training.", text, paths, "Which pictures")


def not_worth_using(facts: RunFacts) -> list[Caveat]:
    """Return that a baseline is better than the network, or it no better than always one answer; or nothing.

    Of a network that was not tested, nothing.
    """
    if facts.metric("accuracy") is None:
        return []
    apart = _difference(facts, LARGEST)
    ahead = apart is not None and apart["difference"] > 0
    found = _below_a_baseline(facts), None if ahead else _no_better_than_the_largest(facts)
    return [caveat for caveat in found if caveat is not None]


def is_shown_good(facts: RunFacts) -> bool:
    """Return whether a network that is worth using was tested on enough pictures to decide by."""
    return (
        is_worth_using(facts) and _few_pictures(facts) is None and _no_better_than_the_largest(facts) is None
    )


def is_worth_using(facts: RunFacts) -> bool:
    """Return False where not_worth_using says why not."""
    return not not_worth_using(facts)


def _below_a_baseline(facts: RunFacts) -> Caveat | None:
    """Warn where a linear classifier, which costs nothing, is better by more than chance explains."""
    for name, of_baseline in facts.info.baselines.items():
        linear, probe = name.startswith("a linear classifier"), name == "the probe alone"
        apart = _difference(facts, name)
        if not (linear or probe) or of_baseline is None or apart is None:
            continue
        if apart["difference"] < 0 and baselines.decided(apart):
            less = formatting.between(-apart["high"], -apart["low"]).removesuffix(f"{NBSP}%")
            if probe:
                title = "Fine-tuning made this network worse than its probe."
                cure = (
                    f"Train again with {option('epochs', 0)}, which keeps the probe, or with more pictures."
                )
            else:
                title = "A linear classifier on the pixels does better: this network is not worth using."
                cure = (
                    f"Train for more {option('epochs')}, with another {option('learning_rate')}, or let a "
                    f"pretrained network learn: {option('model', 'efficientnet_lite0')}."
                )
            text = (
                f"{name.capitalize()} classifies {percent(of_baseline)} of the test pictures correctly, this "
                f"network {percent(facts.metric('accuracy') or 0.0)}: {less} points less, with 95{NBSP}% "
                f"confidence.{_one_sided(facts)} {cure}"
            )
            return Caveat(title, text)
    return None


def _no_better_than_the_largest(facts: RunFacts) -> Caveat | None:
    """Warn of a network that has learned nothing, as far as its test set tells.

    Where it has more right, and it is the few pictures that leave it open, they are the matter.
    """
    apart, of_baseline = _difference(facts, LARGEST), facts.info.baselines.get(LARGEST)
    if apart is None or of_baseline is None or len(facts.info.data.classes) < 2 or _beats(apart):
        return None
    if _below_a_baseline(facts) is not None:
        return None  # once is enough
    if apart["difference"] > 0 and resolution.too_wide(facts.metrics["accuracy"]):
        return None
    low, high = (formatting.signed(100 * end) for end in (apart["low"], apart["high"]))
    how = "is not shown to be" if apart["difference"] > 0 else "is no"
    return Caveat(
        f"This network {how} better than always answering {_largest_class(facts)}.",
        f"That is right for {percent(of_baseline)} of the test pictures, this network for "
        f"{percent(facts.metric('accuracy') or 0.0)} (difference, 95{NBSP}%: {low} to {high} points): it may "
        f"have learned nothing.{_one_sided(facts)} Train longer, with another learning rate or model, or "
        "with more pictures, and look whether the labels are right.",
    )


def _one_sided(facts: RunFacts) -> str:
    """Return which class a network answers most of the time, as a sentence; "" where none stands out."""
    # Recall and precision have the same right answers above different numbers of pictures.
    answers = {
        row["class"]: round(row["recall"] * row["pictures"] / row["precision"])
        for row in facts.rows("accuracy", "classes")
        if row["recall"] and row["precision"]
    }
    most, tested = max(answers, key=answers.__getitem__, default=""), facts.tested or 0
    there = next((row["pictures"] for row in facts.rows("accuracy", "classes") if row["class"] == most), 0)
    if not most or answers[most] <= tested / 2 or there > tested / 2:
        return ""
    return f" It answers ‘{most}’ for {answers[most]:,} of {tested:,}."


def _few_pictures(facts: RunFacts) -> Caveat | None:
    """Warn where the interval of the accuracy is so wide that it decides nothing."""
    accuracy, interval, tested = facts.metrics["accuracy"], facts.interval("accuracy"), facts.tested
    if interval is None or tested is None or not resolution.too_wide(accuracy):
        return None
    low, high = interval
    pictures, each, groups = counted(tested, "test picture"), "", accuracy.get("groups")
    if groups is not None and groups < tested:
        pictures, each = f"{pictures} of {counted(groups, 'group')}", ", each of a group of its own"
    between = f"{percent(low, 0)} to {percent(high, 0)}"
    text = f"The true accuracy may be anything from {between}, with 95{NBSP}% confidence."
    apart = _difference(facts, LARGEST)
    undecided = apart is not None and apart["difference"] > 0 and not _beats(apart)
    if undecided and len(facts.info.data.classes) > 1:
        text += f" Always answering {_largest_class(facts)} may be as good."
    needed = resolution.pictures_needed((low + high) / 2)
    if facts.folds:
        # The results of folds depend on each other: their pictures carry less than as many of one test.
        alike = resolution.pictures_needed((low + high) / 2, high - low)
        needed, each = max(needed, 10 * math.ceil(needed * tested / alike / 10)), " in all"
    what = "" if facts.folds else " test pictures"
    text += f" Collect {needed:,}{what} or more{each}{_more_tests(facts)}."
    return Caveat(f"{pictures} cannot tell {percent(low, 0)} from {percent(high, 0)}.", text)


def _more_tests(facts: RunFacts) -> str:
    """Return how more of the pictures that there are can be tests, as the end of a sentence; "" if none."""
    if facts.folds:
        return ""
    if facts.info.one_of is not None:
        return ", or go by the page of all runs together"
    drawn = "stratified" in (facts.info.data.protocol or "")
    which = "each picture once" if drawn else "each picture of training and validation once"
    return f", or use {option('folds', 5)}, which tests {which}"


def _never_recognised(facts: RunFacts) -> Caveat | None:
    """Warn of classes of which no test picture was right, and of a network that knows only some answers."""
    # A network that answers one class alone is no better than that answer, and the warning of it says so.
    if _no_better_than_the_largest(facts) is not None and len(_answers(facts)) < 2:
        return None
    rows = facts.rows("accuracy", "classes")
    never = [row for row in rows if row["recall"] == 0 and row["pictures"] >= ENOUGH_TO_NOTICE]
    if not never:
        return None
    names, answers = [f"‘{row['class']}’" for row in never], [f"‘{name}’" for name in _answers(facts)]
    if len(names) == 1:
        title = f"{names[0]} is never recognised."
        text = f"None of its {never[0]['pictures']:,} test pictures was classified correctly."
    else:
        which = formatting.listed(names) if len(names) <= MOST_NAMED else ""
        number = f"{len(names):,} of {counted(len(rows), 'class', 'classes')}"
        title = f"{which or number} are never recognised."
        text = "None of their test pictures was classified correctly."
    if 2 * len(answers) <= len(rows) and len(answers) <= MOST_NAMED:
        text += f" The network only ever answers {formatting.listed(answers)}."
    them = plural(len(never), "it", "them")
    text += f" Look whether their labels are right, collect more pictures of {them}, or leave {them} out."
    if len(names) == 1:
        text = text.replace("their labels", "its labels")
    taken = tuple(
        f"{row['class']}: 0 of {row['pictures']:,} right, most often taken for {row['taken_for']}"
        for row in never
    )
    return Caveat(title, text, taken, "What they are taken for" if len(names) > 1 else "What it is taken for")


def _answers(facts: RunFacts) -> list[str]:
    """Return the classes that the network answers at all: only they have a precision."""
    return [row["class"] for row in facts.rows("accuracy", "classes") if row["precision"] is not None]


def _difference(facts: RunFacts, baseline: str) -> Mapping[str, float] | None:
    """Return accuracy minus that of a baseline, with its interval; None where there is none."""
    of_baseline, paired = facts.info.baselines.get(baseline), facts.info.baseline_differences.get(baseline)
    if of_baseline is None:
        return None
    if paired is not None:
        return paired.model_dump()
    return baselines.unpaired_difference(facts.metrics["accuracy"], of_baseline)


def may_be_chance(facts: RunFacts, baseline: str) -> bool:
    """Return whether chance alone may explain how a network differs from a baseline."""
    apart = _difference(facts, baseline)
    return apart is not None and not baselines.decided(apart)


def _beats(apart: Mapping[str, float]) -> bool:
    return apart["difference"] > 0 and baselines.decided(apart)


def _largest_class(facts: RunFacts) -> str:
    """Return the class with the most training pictures in quotes, as evaluation chooses it among equals."""
    counts = {name: of.get("train", 0) for name, of in sorted(facts.info.data.per_class.items())}
    return f"‘{max(counts, key=counts.__getitem__)}’" if counts else "the largest class"


def _scenes(facts: RunFacts) -> Caveat | None:
    """Tell where test pictures show the background of training pictures, with something else in it."""
    pictures, scenes = facts.info.data.scene_pictures, facts.info.data.scenes
    if not pictures:
        return None
    show = "shows" if pictures == 1 else "show"
    those = "a scene" if scenes == 1 else f"one of {scenes:,} scenes"
    return Caveat(
        "Training and test pictures show the same scenes.",
        f"{counted(pictures, 'test picture')} {show} {those} of the training or validation set, with "
        "something else in it or in another light: of these, the score is valid for new pictures of the same "
        "scenes, and says little about others. To measure those, keep each scene in one set with "
        "--group-column or --group-pattern.",
    )


def _easy_validation(facts: RunFacts) -> Caveat | None:
    """Warn where prediction sets missed their guarantee on the test set; thresholds then may as well."""
    missed = sentences.missed_sets(facts.metrics)
    if missed is None:
        return None
    text = f"{sentences.sentence(missed)} Prediction sets and thresholds may hold less often than guaranteed."
    if copies := facts.info.leaks and facts.info.leaks.validation:
        have = "has" if copies == 1 else "have"
        own = counted(copies, "validation picture")
        text += f" {own} {have} a duplicate, or a picture of the same group, in the training set."
    return Caveat("The validation set was probably easier than the test set.", text, mild=True)


def _low_coverage(facts: RunFacts) -> Caveat | None:
    """Warn of prediction sets that cover less than they are made for, where chance alone may explain it."""
    entry, interval = facts.metrics.get("set_coverage", {}), facts.interval("set_coverage")
    coverage, wanted = facts.metric("set_coverage"), entry.get("wanted")
    if coverage is None or wanted is None or interval is None or interval[1] >= wanted:
        return None
    if sentences.missed_sets(facts.metrics) is not None:
        return None  # once is enough
    return Caveat(
        f"Its prediction sets for {formatting.wanted_share(float(wanted))} contain the truth less often.",
        f"They contained the true class of {percent(coverage)} of the test pictures (95{NBSP}%: "
        f"{formatting.between(*interval)}): count on that. Chance alone may bring it about, where sets are "
        "based on few validation pictures.",
        mild=True,
    )


def _opened_before(facts: RunFacts) -> Caveat | None:
    """Warn where the run was stopped, evaluated, and trained on."""
    before = sentences.openings(facts.info.test_reuse)
    if not before:
        return None
    return Caveat(
        "The test set was opened before training ended.",
        f"This run was evaluated {before}, and then trained on. Whoever knew that score and decided by it "
        "whether to go on, or for how long, chose on the test set: this score may be optimistic. Only a new "
        "test set is unbiased.",
    )


def _reuse(facts: RunFacts) -> Caveat | None:
    reuse = facts.info.test_reuse
    if reuse is None or not reuse.earlier:
        return None
    return Caveat(
        f"Other runs evaluated this test set {formatting.times(reuse.earlier)} before.",
        "Each evaluation is a chance to prefer what happens to suit these pictures: the more evaluations "
        "influenced this run, the more optimistic its score. Only a new test set gives an unbiased score.",
        tuple(reuse.runs or ()),
        "Which runs",
        mild=True,
    )


def _chosen_on_test(facts: RunFacts) -> Caveat | None:
    """Warn where something was chosen on the test set itself; Linnaea never does, another tool's run may."""
    chosen = [what for what, how in facts.info.chosen.items() if how.startswith(("by test", "test"))]
    if not chosen:
        return None
    named = formatting.listed(chosen)
    return Caveat(
        "Something was chosen on the test set.",
        f"{named[:1].upper()}{named[1:]}: this score is no longer an unbiased test result.",
    )


_KINDS: tuple[tuple[Callable[[RunFacts], Caveat | None], str], ...] = (
    (_leaks, "test pictures leak into training."),
    (_opened_before, "the test set was opened before training ended."),
    (_below_a_baseline, "a baseline does better, so this is not worth using."),
    (_no_better_than_the_largest, "not shown to be better than always answering the largest class."),
    (_few_pictures, "too few test pictures to tell how accurate this is."),
    (_chosen_on_test, "something was chosen on the test set."),
    (_never_recognised, "some classes are never recognised."),
    (_scenes, "training and test pictures show the same scenes."),
    (_easy_validation, "the validation set was probably easier than the test set."),
    (_low_coverage, "prediction sets cover fewer pictures than they are made for."),
    (_reuse, "the test set was evaluated before by other runs."),
)
"""What finds each kind, the gravest first; and its title on a page of several runs, after their names."""


def choices(facts: RunFacts) -> list[tuple[str, str]]:
    """Return (what was chosen, how), in words, from run.json; and earlier evaluations of the test set."""
    chosen = {_RENAMED.get(what, what): how for what, how in facts.info.chosen.items()}
    rows = [(what[:1].upper() + what[1:], how) for what, how in chosen.items()]
    earlier = sentences.earlier_evaluations(facts.info.test_reuse)
    return [*rows, ("Earlier evaluations", earlier)] if earlier else rows


def kinds_of_problems(facts: RunFacts) -> list[dict[str, Any]]:
    """Return the data's problems by severity and kind: {"kind", "severity", "messages", "pictures"}.

    The gravest first; one kind may be an error in one place and a warning in another.

    kind: in the words of problems.KINDS.
    pictures: how many are named, as text; a dash for what is about classes or the whole set.
    """
    kinds: dict[tuple[str, str], dict[str, Any]] = {}
    for problem in facts.problems or []:
        kind = str(problem.get("kind") or "problem")
        # Another version's check may know further kinds.
        title = KINDS.get(kind, kind.replace("_", " ").capitalize())
        severity = str(problem.get("severity") or "")
        begun = {"kind": title, "severity": severity, "messages": [], "paths": 0}
        entry = kinds.setdefault((severity, kind), begun)
        entry["messages"].append(str(problem.get("message") or ""))
        paths = problem.get("paths")
        entry["paths"] += len(paths) if isinstance(paths, list) else 0
    for entry in kinds.values():
        entry["pictures"] = formatting.count(entry["paths"]) if entry["paths"] else "–"
    return sorted(kinds.values(), key=lambda entry: (_rank(entry["severity"]), -len(entry["messages"])))


def _rank(severity: str) -> int:
    order = ("error", "warning", "note", "info")
    return order.index(severity) if severity in order else len(order)


def leak_share(facts: RunFacts) -> str:
    """Return how much of the test set leaks, as a percentage; empty where nothing does."""
    paths = leaked_paths(facts)
    return percent(len(paths) / facts.tested) if paths and facts.tested else ""
