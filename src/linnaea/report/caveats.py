"""What a reader must know before relying on the score: leaks, earlier evaluations, choices on test."""

from dataclasses import dataclass
from typing import Any

from linnaea.data.problems import KINDS
from linnaea.report import formatting, sentences
from linnaea.report.facts import RunFacts
from linnaea.report.formatting import counted, percent

# Keys of "chosen" in the run.json of earlier versions.
_RENAMED = {"none of the classes": "out-of-distribution threshold", "test part": "test set"}


@dataclass(frozen=True)
class Caveat:
    """One warning that stands beside the score: what is so, what it means, and the names behind it."""

    title: str
    text: str
    names: tuple[str, ...] = ()
    names_of: str = ""


def caveats(facts: RunFacts) -> list[Caveat]:
    """Return what touches the score itself, the gravest first; empty where nothing is known to."""
    if facts.metric("accuracy") is None:
        return []
    found = [
        _leaks(facts),
        _opened_before(facts),
        _scenes(facts),
        _easy_validation(facts),
        _reuse(facts),
        _chosen_on_test(facts),
    ]
    return [caveat for caveat in found if caveat is not None]


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
    return Caveat("Test pictures leak into training.", text, paths, "Which pictures")


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
        "something else in it or in another light: the score is that for new pictures of these scenes, and "
        "says little about others. To measure those, keep each scene in one set with --group-column or "
        "--group-pattern.",
    )


def _easy_validation(facts: RunFacts) -> Caveat | None:
    """Warn where prediction sets missed their guarantee on the test set; thresholds then may as well."""
    text = sentences.sentence(sentences.broken_sets(facts.metrics))
    if not text:
        return None
    if copies := facts.info.leaks and facts.info.leaks.validation:
        have = "has" if copies == 1 else "have"
        own = counted(copies, "validation picture")
        text += f" {own} {have} a duplicate, or a picture of the same group, in the training set."
    return Caveat("The validation set was probably easier than the test set.", text)


def _opened_before(facts: RunFacts) -> Caveat | None:
    """Warn where the run was stopped, evaluated, and trained on."""
    before = sentences.openings(facts.info.looks)
    if not before:
        return None
    return Caveat(
        "The test set was opened before training ended.",
        f"This run was evaluated {before}, and then trained on. Whoever knew that score and decided by it "
        "whether to go on, or for how long, chose on the test set: this score may be optimistic. Only a new "
        "test set is unbiased.",
    )


def _reuse(facts: RunFacts) -> Caveat | None:
    looks = facts.info.looks
    if looks is None or not looks.earlier:
        return None
    return Caveat(
        f"Other runs evaluated this test set {formatting.times(looks.earlier)} before.",
        "Each evaluation is a chance to prefer what happens to suit these pictures: the more evaluations "
        "influenced this run, the more optimistic its score. Only a new test set is unbiased.",
        tuple(looks.runs or ()),
        "Which runs",
    )


def _chosen_on_test(facts: RunFacts) -> Caveat | None:
    """Warn where something was chosen on the test set itself; Linnaea never does, another tool's run may."""
    chosen = [what for what, on in facts.info.chosen.items() if on.startswith("test")]
    if not chosen:
        return None
    return Caveat(
        "Something was chosen on the test set.",
        f"{formatting.listed(chosen).capitalize()}: this score is no longer an unbiased test result.",
    )


def choices(facts: RunFacts) -> list[tuple[str, str]]:
    """Return (what was chosen, on what), in words, from run.json; and earlier evaluations of the test set."""
    chosen = {_RENAMED.get(what, what): on for what, on in facts.info.chosen.items()}
    rows = [(what[:1].upper() + what[1:], on) for what, on in chosen.items()]
    earlier = sentences.earlier_evaluations(facts.info.looks)
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
