"""The page of several runs of one recipe: all together, then each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from linnaea.errors import DataError
from linnaea.evaluation.metrics import compute_metrics, explained
from linnaea.evaluation.predictions import joined
from linnaea.evaluation.repeated import RepeatedComparison, compare_repeats
from linnaea.report import comparison, formatting, sentences
from linnaea.report.caveats import caveats, leaked_paths, of_several
from linnaea.report.comparison import entries_of
from linnaea.report.facts import RunFacts, read_run
from linnaea.report.formatting import counted, percent
from linnaea.report.next_steps import after_repeats, next_steps
from linnaea.report.svg import renderer
from linnaea.report.templates import write_page
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup
from linnaea.runs.schema import Leaks, Spread
from linnaea.runs.tables import is_there, read_test_table


def build_group(group: RunGroup) -> Path:
    """Draw report.html of repeats or folds from their runs, and return its path.

    Raises RunError or DataError where a file of a run is damaged; the old page then stays.
    """
    renderer.start()
    info, one, path = group.info, group.kind.removesuffix("s"), group.path / "report.html"
    entries = [
        replace(entry, name=f"{one} {entry.facts.name}")
        for entry in entries_of([read_run(run) for run in group.runs()])
    ]
    accuracy = info.metrics.get("accuracy")
    labels = group.label_issues.with_suffix(".html")
    folds = together(group, [entry.facts for entry in entries])
    context = {
        **comparison.page_context(entries, path),
        **_callouts(folds, entries),
        "page_title": f"{group.path.resolve().name} · {counted(len(entries), 'run')} · Linnaea",
        "eyebrow": [info.data.name or "", counted(len(entries), one)],
        "title": "No test result yet"
        if accuracy is None
        else f"{percent(accuracy.mean, 2)} accuracy on average over {counted(info.evaluated or 0, one)}",
        "verdict": sentences.spread(info, group.lost()),
        "pooled": formatting.unbroken(f"{sentences.pooled(info.pooled)}.") if info.pooled else "",
        "kind": group.kind,
        "metrics": metric_rows(info.metrics),
        "labels": labels.name if labels.exists() else "",
        "sections": {"labels"} if labels.exists() else set(),
        "groups": [],
        "group_pairs": [],
        # Runs of one recipe are not compared with each other: their spread is the answer.
        "pairs": [],
        "differences": None,
        "folded": [],
    }
    return write_page(path, "group.html.jinja", **context)


def _callouts(folds: RunFacts | None, entries: Sequence[comparison.Entry]) -> dict[str, Any]:
    """Return the callouts and the steps below the headline: of all folds together, or of repeats."""
    if folds is not None:
        return {"caveats": caveats(folds), "steps": next_steps(folds)}
    return {
        "caveats": of_several([(entry.name, entry.facts) for entry in entries]),
        "steps": after_repeats([entry.facts for entry in entries]),
    }


def together(group: RunGroup, runs: Sequence[RunFacts]) -> RunFacts | None:
    """Return the results of all folds as if they were one run's, tested on every picture once.

    None of repeats, and where the folds do not go together.
    """
    tested = [facts for facts in runs if facts.predictions is not None and facts.metrics]
    if group.kind != "folds" or not tested:
        return None
    try:
        table = joined([facts.predictions for facts in tested if facts.predictions is not None])
    except DataError:
        return None
    metrics = explained(compute_metrics(table), table)
    if group.info.pooled is not None:
        metrics["accuracy"] |= group.info.pooled.model_dump(include={"value", "low", "high"})
    pictures = [path for facts in tested for path in leaked_paths(facts)]
    changes = {
        "one_of": None,
        "leaks": Leaks(pictures=pictures, n=len(pictures)),
        "baselines": _pooled_baselines(tested),
        "baseline_differences": {},
    }
    first = tested[0]
    return replace(
        first,
        info=first.info.model_copy(update=changes),
        metrics=metrics,
        predictions=table,
        folds=len(tested),
    )


def _pooled_baselines(folds: Sequence[RunFacts]) -> dict[str, float | None]:
    """Return what share of all pictures the baselines have right that every fold has."""
    pictures = sum(facts.tested or 0 for facts in folds)
    pooled: dict[str, float | None] = {}
    for name in folds[0].info.baselines:
        shares = [(facts.tested or 0, facts.info.baselines.get(name)) for facts in folds]
        right = [tested * share for tested, share in shares if share is not None]
        if len(right) == len(folds):
            pooled[name] = sum(right) / pictures
    return pooled


def metric_rows(metrics: Mapping[str, Spread]) -> list[dict[str, str]]:
    """Return one row of text a metric: its name, mean, deviation, lowest and highest value."""
    rows = []
    for name, spread in metrics.items():
        # The second name of balanced accuracy, and what a page shows in its section on probabilities only.
        if name == "mean_per_class_accuracy" or name.startswith("ece_"):
            continue
        meaning = formatting.meaning_of(name)
        unit = " (%)" if meaning.percent else " (points)" if meaning.points else ""
        row = {"title": f"{formatting.title_of(name, spread.wanted)}{unit}"}
        for key, value in (
            ("mean", spread.mean),
            ("deviation", spread.deviation),
            ("min", spread.min),
            ("max", spread.max),
        ):
            # A deviation is in points of percent, a mean is a percentage.
            if unit and value is not None:
                row[key] = f"{100 * value:.2f}"
            else:
                row[key] = formatting.number(value, meaning.decimals)
        rows.append(row)
    return rows


def compare_groups(a: RunGroup, b: RunGroup, *, common: bool = False) -> RepeatedComparison:
    """Compare two recipes over their repeats, run by run: each with that of the same seed and fold.

    A run whose partner was not evaluated on a test set is left out. Where no two have a seed in
    common, as with one test set for all, they are paired in their order.

    Raises DataError for fewer than two pairs, where they were not repeated equally often, or were tested on
    other pictures (unless common: then on those that both were tested on).
    """
    first, second = ([run for run in group.runs() if is_there(run, "test")] for group in (a, b))
    partners = {_seed_and_fold(run): run for run in second}
    pairs = [(run, partners[key]) for run in first if (key := _seed_and_fold(run)) in partners]
    if pairs:
        first, second = [run for run, _ in pairs], [run for _, run in pairs]
    learned = [run.info.data.splits.get("train", 0) for run in first]
    return compare_repeats(
        [read_test_table(run) for run in first],
        [read_test_table(run) for run in second],
        learned,
        common=common,
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
    alone_facts = [read_run(run) for run in runs]
    if common:
        alone_facts = comparison.on_common(alone_facts)
    single = entries_of(alone_facts)
    everything = entries_of([*alone_facts, *(read_run(run) for run in members)])
    alone = comparison.page_context(single, out, common=common)
    compared = _pairs(groups, common)
    title = formatting.listed([group.path.resolve().name for group in groups], 4)
    context = {
        **comparison.page_context(everything, out, title, common=common),
        "title": compared[0][1] if len(compared) == 1 else title,
        "verdict": "Each recipe is represented by the mean of its runs.",
        "steps": [],
        "kind": "recipes",
        "single_runs": bool(runs),
        "pairs": alone["pairs"],
        "differences": alone["differences"],
        "folded": alone["folded"],
        "groups": [_row(group, out) for group in groups],
        "group_pairs": compared,
        "metrics": [],
        "pooled": "",
        "labels": "",
    }
    return write_page(out, "group.html.jinja", **context)


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
        results.append((" and ".join(names), f"{words}." if begins else sentences.sentence(words)))
    return results


def _row(group: RunGroup, out: Path) -> dict[str, str]:
    """Return one line of the table of recipes, as text."""
    accuracy = group.metrics().get("accuracy")
    row = {
        "name": group.path.resolve().name,
        "link": comparison.link_to_run(group.path, out),
        "runs": counted(len(group.evaluated()), group.kind.removesuffix("s")),
        "mean": "–",
        "deviation": "–",
        "range": "–",
    }
    if accuracy is not None:
        row["mean"] = percent(accuracy["mean"], 2)
        row["range"] = f"{accuracy['min'] * 100:.2f}–{accuracy['max'] * 100:.2f}"
        if accuracy["deviation"] is not None:
            row["deviation"] = f"{100 * accuracy['deviation']:.2f}"
    return row


def _seed_and_fold(run: RunFolder) -> tuple[Any, Any]:
    """Return what makes a repeat or fold the one that it is; the fold is None where there are none."""
    place = run.info.one_of
    fold = place.number if place is not None and place.kind == "folds" else None
    return run.info.recipe.get("seed"), fold
