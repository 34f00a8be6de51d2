"""The page of several runs of one recipe: all together, then each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from linnaea import files
from linnaea.errors import DataError
from linnaea.evaluation.repeated import RepeatedComparison, compare_repeats
from linnaea.report import comparing, formatting, page, sentences
from linnaea.report.entries import entries_of
from linnaea.report.facts import read_run
from linnaea.report.formatting import percent
from linnaea.report.svg import renderer
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup
from linnaea.runs.tables import is_there, read_test_table

NO_PAIRS: dict[str, Any] = {"pairs": [], "folded": []}
NO_GROUPS: dict[str, Any] = {"groups": [], "group_pairs": []}


@dataclass(frozen=True)
class GroupRow:
    """One line of the table of recipes, as text."""

    name: str
    link: str
    runs: str
    mean: str
    deviation: str
    range: str


def build_group(group: RunGroup) -> Path:
    """Draw report.html of repeats or folds from their runs, and return its path.

    Raises RunError or DataError where a file of a run is damaged; the old page then stays.
    """
    renderer.start()
    info = group.info.as_json()
    path = group.path / "report.html"
    entries = [
        replace(entry, name=f"{group.kind.removesuffix('s')} {entry.facts.name}")
        for entry in entries_of([read_run(run) for run in group.runs()], {})
    ]
    data = info.get("data") or {}
    context: dict[str, Any] = {
        **page.comparison_context(entries, path, None),
        "page_title": f"{group.path.resolve().name} · {formatting.counted(len(entries), 'run')} · Linnaea",
        "eyebrow": [
            str(data.get("name") or ""),
            formatting.counted(len(entries), group.kind.removesuffix("s")),
        ],
        "title": _title(group.kind, info),
        "verdict": _verdict(info, group.lost()),
        "metrics": metric_rows(info.get("metrics") or {}),
        "labels": "label_errors.html" if (group.path / "label_errors.html").exists() else "",
        "about": _about(group.kind),
        # Runs of one recipe are not compared with each other: their spread is the answer.
        **NO_PAIRS,
        **NO_GROUPS,
    }
    files.write_text(path, page.render("group.html.jinja", **context))
    return path


def metric_rows(metrics: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Return one row of text a metric: its name, mean, deviation, lowest and highest value."""
    rows = []
    for name, values in metrics.items():
        # The second name of balanced accuracy, and what a page shows in its section on probabilities only.
        if name == "mean_per_class_accuracy" or name.startswith("ece_"):
            continue
        meaning = formatting.meaning_of(name)
        unit = " (%)" if meaning.percent else " (points)" if meaning.points else ""
        row = {"title": f"{formatting.title_of(name, values)}{unit}", "meaning": meaning.meaning}
        for key in ("mean", "deviation", "min", "max"):
            value = values.get(key)
            shown = "–" if value is None else formatting.number(value, meaning.decimals)
            # A deviation is in points of percent, a mean is a percentage.
            row[key] = f"{100 * value:.2f}" if unit and value is not None else shown
        rows.append(row)
    return rows


def _title(kind: str, info: dict[str, Any]) -> str:
    accuracy = (info.get("metrics") or {}).get("accuracy")
    if accuracy is None:
        return "No test result yet"
    runs = formatting.counted(info.get("evaluated", 0), kind.removesuffix("s"))
    return f"{percent(accuracy['mean'], 2)} accuracy on average over {runs}"


def _verdict(info: dict[str, Any], lost: Sequence[str] = ()) -> str:
    """Return the spread in words, and which runs it lacks; lost: the runs that were made and are gone."""
    accuracy = (info.get("metrics") or {}).get("accuracy")
    state = info.get("state")
    judged = info.get("evaluated", 0)
    were = "was" if judged == 1 else "were"
    unfinished = (
        "" if state == "finished" else f"{judged} of {info.get('asked')} runs {were} evaluated: {state}. "
    )
    if lost:
        are = "is" if len(lost) == 1 else "are"
        unfinished += f"Of {info.get('asked')} runs, {formatting.listed(lost)} {are} missing. "
    if accuracy is None:
        return unfinished.strip() or "No run has been evaluated on a test set."
    if accuracy["deviation"] is None:
        return f"{unfinished}The spread needs at least two runs."
    spread = (
        f"The accuracies lie between {accuracy['min'] * 100:.2f} and {percent(accuracy['max'], 2)}; "
        f"their standard deviation is {accuracy['deviation'] * 100:.2f} points."
    )
    return unfinished + spread + _broken(info)


def _broken(info: dict[str, Any]) -> str:
    """Warn where a guarantee was missed on the test set; see sentences.broken_sets and false_alarms."""
    guarantees = {
        "broken_sets": "the prediction sets contained the true class less often than guaranteed: the "
        "validation set was probably easier there than the test set",
        "broken_alarms": "more familiar pictures than allowed were flagged as unfamiliar "
        "(out-of-distribution)",
    }
    found = ""
    for key, what in guarantees.items():
        if runs := info.get(key):
            found += f" In {formatting.counted(len(runs), 'run')} ({formatting.listed(runs)}) {what}."
    return found


def _about(kind: str) -> str:
    if kind == "folds":
        return "Each fold was evaluated by a network that was not trained on it. "
    return (
        "Each run has another seed: other initial weights, another order, another split where it is drawn. "
    )


def compare_groups(a: RunGroup, b: RunGroup, *, common: bool = False) -> RepeatedComparison:
    """Compare two recipes over their repeats, run by run: each with that of the same seed and fold.

    A run whose partner was not evaluated on a test set is left out. Where no two have a seed in
    common, as with one test set for all, they are paired in their order.

    Raises DataError for fewer than two pairs, where they were not repeated equally often, or were tested on
    other pictures (unless common: then on those that both were tested on).
    """
    first, second = ([run for run in group.runs() if _judged(run)] for group in (a, b))
    partners = {_seed_and_fold(run): run for run in second}
    pairs = [(run, partners[key]) for run in first if (key := _seed_and_fold(run)) in partners]
    if pairs:
        first, second = [run for run, _ in pairs], [run for _, run in pairs]
    learned = [run.info.data.splits.get("train", 0) for run in first]
    return compare_repeats(
        [read_test_table(run) for run in first],
        [read_test_table(run) for run in second],
        learned,
        common_only=common,
    )


def build_group_comparison(
    runs: Sequence[RunFolder], groups: Sequence[RunGroup], out: str | Path, *, common: bool = False
) -> Path:
    """Draw one page that compares repeated recipes, and single runs beside them; return out, its path.

    Raises RunError or DataError where a file of a run is damaged.
    """
    renderer.start()
    out = Path(out)
    members = [run for group in groups for run in group.runs()]
    single = entries_of([read_run(run) for run in runs], {})
    everything = entries_of([read_run(run) for run in [*runs, *members]], {})
    alone = page.comparison_context(single, out, None, common)
    compared = _pairs(groups, common)
    title = formatting.listed([group.path.resolve().name for group in groups], 4)
    context = {
        **page.comparison_context(everything, out, title, common),
        "verdict": compared[0][1]
        if len(compared) == 1
        else "Each recipe is represented by the mean of its runs.",
        "about": "Each run by itself. "
        + ("Single runs are compared with each other, not with repeats. " if runs else ""),
        "pairs": alone["pairs"],
        "folded": alone["folded"],
        "groups": [_row(group, out) for group in groups],
        "group_pairs": compared,
        "metrics": [],
        "labels": "",
    }
    files.write_text(out, page.render("group.html.jinja", **context))
    return out


def _pairs(groups: Sequence[RunGroup], common: bool) -> list[tuple[str, str]]:
    """Return (the names, the result in words) of each pair, or why there is none."""
    results = []
    for a, b in combinations(groups, 2):
        names = a.path.resolve().name, b.path.resolve().name
        try:
            words = sentences.repeated_difference(compare_groups(a, b, common=common), *names)
        except DataError as error:
            words = error.message.rstrip(".")
        # A recipe is written as its folder is called, at the beginning of a sentence too.
        begins = words.startswith(names)
        results.append((" and ".join(names), f"{words if begins else words[0].upper() + words[1:]}."))
    return results


def _row(group: RunGroup, out: Path) -> GroupRow:
    accuracy = group.metrics().get("accuracy")
    name = group.path.resolve().name
    link = comparing.relative_link(group.path, out)
    runs = formatting.counted(len(group.evaluated()), group.kind.removesuffix("s"))
    if accuracy is None:
        return GroupRow(name, link, runs, "–", "–", "–")
    deviation = accuracy["deviation"]
    return GroupRow(
        name,
        link,
        runs,
        percent(accuracy["mean"], 2),
        "–" if deviation is None else f"{100 * deviation:.2f}",
        f"{accuracy['min'] * 100:.2f}–{accuracy['max'] * 100:.2f}",
    )


def _seed_and_fold(run: RunFolder) -> tuple[Any, Any]:
    """Return what makes a repeat or fold the one that it is; the fold is None where there are none."""
    one_of = run.info.one_of or {}
    fold = one_of.get("number") if one_of.get("kind") == "folds" else None
    return run.info.recipe.get("seed"), fold


def _judged(run: RunFolder) -> bool:
    return is_there(run, "test")
