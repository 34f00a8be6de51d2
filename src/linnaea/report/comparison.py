"""The page of several runs: each with a letter and a colour, side by side in a table, charts and pairs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from linnaea.errors import DataError, UsageError
from linnaea.evaluation.comparison import Comparison, compare, on_common_pictures
from linnaea.evaluation.metrics import compute_metrics
from linnaea.evaluation.predictions import Predictions
from linnaea.report import charts, formatting, sentences
from linnaea.report.caveats import of_several
from linnaea.report.charts import RUN_COLOURS, Bar, Line
from linnaea.report.facts import RunFacts, read_run
from linnaea.report.figures import SPLIT_NAMES, Figure, chart_figure, interval_figure, loss_axis
from linnaea.report.formatting import count, percent
from linnaea.report.next_steps import Step, after_comparison
from linnaea.report.svg import renderer
from linnaea.report.templates import link, write_page
from linnaea.runs.folder import RunFolder
from linnaea.runs.schema import Network

# Up to here every pair is shown at once; past it, those of the most accurate run, and the others fold away.
PAIRS_AT_ONCE = 6
_METRICS = ("accuracy", "macro_auc", "log_loss")


@dataclass(frozen=True)
class Entry:
    """One run in a comparison: a letter for the charts, a name nobody else has, its colour.

    reported, source: the accuracy, 0..1, that somebody else reported for its recipe, and who did.
    """

    facts: RunFacts
    letter: str
    name: str
    colour: str
    reported: float | None
    source: str

    @property
    def accuracy(self) -> float | None:
        """The share of test pictures classified correctly, 0..1."""
        return self.facts.metric("accuracy")


@dataclass(frozen=True)
class Pairing:
    """Two runs beside each other: the result, or why there is none."""

    first: Entry
    second: Entry
    result: Comparison | None
    refusal: str = ""

    @property
    def whole(self) -> bool:
        """Whether both were tested on the same pictures, and not only compared on the common ones."""
        tested = {self.first.facts.tested, self.second.facts.tested}
        return self.result is not None and tested == {self.result.n}

    @property
    def sentence(self) -> str:
        """Which is better and by how much, or why they cannot be compared."""
        if self.result is None:
            return f"They cannot be compared picture by picture. {self.refusal}"
        names = self.first.name, self.second.name
        return sentences.paired_difference(self.result, *names, common=not self.whole)

    @property
    def details(self) -> str:
        """The difference with its interval, what each alone had right, and McNemar's p in words."""
        if self.result is None:
            return ""
        return sentences.paired_details(self.result, self.first.letter, self.second.letter)


@dataclass(frozen=True)
class Cell:
    """One value of the table of runs, whether it is the best of its column, and a smaller second line."""

    text: str
    best: bool = False
    below: str = ""


def build_comparison(
    runs: Sequence[RunFolder],
    out: str | Path,
    *,
    title: str | None = None,
    reference: Mapping[str, Mapping[str, Any]] | None = None,
    common: bool = False,
) -> Path:
    """Draw one page that compares runs, and return out, its path.

    reference: dict
        A run's folder name → {"accuracy": 0.9454, "source": "the original report"}: what others reported
        for the same recipe, shown in a column of its own.
    common: bool
        Whether runs are evaluated and compared on the pictures alone that all of them were tested on.

    Raises UsageError without a run, and RunError or DataError where a file of a run is damaged, or, with
    common, where no picture is common to all.
    """
    if not runs:
        raise UsageError("There is no run to compare.", "Name one run folder or more.")
    renderer.start()
    facts = [read_run(run) for run in runs]
    entries = entries_of(on_common(facts) if common else facts, reference)
    return write_page(
        Path(out), "compare.html.jinja", **page_context(entries, Path(out), title, common=common)
    )


def on_common(runs: Sequence[RunFacts]) -> list[RunFacts]:
    """Return runs as if each had been tested on the pictures alone that all of them were tested on.

    A run without a test stays as it is. Raises DataError where no picture is common to all.
    """
    tables = [facts.predictions for facts in runs if facts.predictions is not None]
    common = iter(on_common_pictures(tables))
    return [
        facts if facts.predictions is None else _tested_on(facts, next(common), len(facts.predictions))
        for facts in runs
    ]


def _tested_on(facts: RunFacts, table: Predictions, before: int) -> RunFacts:
    if len(table) == before:
        return replace(facts, predictions=table)
    return replace(facts, predictions=table, metrics=compute_metrics(table))


def entries_of(
    runs: Sequence[RunFacts], reference: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Entry]:
    """Return the runs with letters, colours and names; more runs than colours begin the colours again.

    reference: see build_comparison; a run without one has what its own recipe reported.
    """
    known = reference or {}
    entries = []
    for i, (facts, name) in enumerate(zip(runs, distinct_names([run.path for run in runs]), strict=True)):
        reported = known.get(facts.path.name) or known.get(facts.name) or facts.info.reported
        accuracy = reported.get("accuracy")
        entries.append(
            Entry(
                facts=facts,
                letter=chr(ord("A") + i) if i < 26 else str(i + 1),
                name=name,
                colour=RUN_COLOURS[i % len(RUN_COLOURS)],
                reported=accuracy if isinstance(accuracy, (int, float)) else None,
                source=str(reported.get("source") or ""),
            )
        )
    return entries


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest endings of paths that tell them apart; the same folder given twice is numbered.

    A repeat or fold, whose folder is called by its number, takes the name of its group with it.
    """
    resolved = [path.resolve().parts for path in paths]
    depth = [min(2, len(parts)) if parts and parts[-1].isdecimal() else 1 for parts in resolved]
    while True:
        names = ["/".join(parts[-d:]) for parts, d in zip(resolved, depth, strict=True)]
        twice = {name for name, times in Counter(names).items() if times > 1}
        longer = [i for i, name in enumerate(names) if name in twice and depth[i] < len(resolved[i])]
        if not longer:
            break
        for i in longer:
            depth[i] += 1
    if twice:  # equal to the root: the same folder again
        names = [parts[-1] if name in twice else name for parts, name in zip(resolved, names, strict=True)]
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[i] = f"{name} ({seen[name]})"
    return names


def page_context(
    entries: Sequence[Entry], out: Path, title: str | None = None, *, common: bool = False
) -> dict[str, Any]:
    """Return everything that the page of several runs shows; common: see build_comparison."""
    pairs = _pairings(entries, common=common)
    # A pair that could not be compared stands for two test sets; a run without a test stands for itself.
    same_test = all(pair.whole for pair in pairs)
    shown = _shown_at_once(pairs)
    data = dict.fromkeys(name for entry in entries if (name := entry.facts.data_name))
    return {
        "page_title": f"{title or formatting.counted(len(entries), 'run')} · Linnaea",
        "eyebrow": [
            *([title] if title else []),
            formatting.counted(len(entries), "run"),
            *([formatting.listed(data, 3)] if data else []),
        ],
        "title": _verdict(entries, pairs),
        "verdict": _on_which(entries) if common else "",
        "caveats": of_several([(entry.name, entry.facts) for entry in entries]),
        "steps": _steps(entries, pairs, same_test=same_test),
        "sections": set(),
        "same_test": same_test,
        "rows": [_row(entry, out, _bests(entries) if same_test else {}) for entry in entries],
        "reported": any(entry.reported is not None for entry in entries),
        "sources": formatting.listed(sorted({entry.source for entry in entries if entry.source})),
        "intervals": _interval_chart(entries, same_test=same_test),
        "differences": _difference_chart(shown),
        "curves": _overlaid_curves(entries),
        "no_epoch": _no_epoch(entries),
        "pairs": shown,
        "folded": [pair for pair in pairs if pair not in shown],
    }


def _pairings(entries: Sequence[Entry], *, common: bool) -> list[Pairing]:
    """Return every pair of the runs that were tested."""
    pairs = []
    for a, b in combinations([entry for entry in entries if entry.facts.predictions is not None], 2):
        assert a.facts.predictions is not None
        assert b.facts.predictions is not None
        try:
            result = compare(a.facts.predictions, b.facts.predictions, common=common)
            pairs.append(Pairing(a, b, result))
        except DataError as error:
            pairs.append(Pairing(a, b, None, error.message))
    return pairs


def _shown_at_once(pairs: Sequence[Pairing]) -> list[Pairing]:
    if len(pairs) <= PAIRS_AT_ONCE:
        return list(pairs)
    tested = [pairs[0].first, *(pair.second for pair in pairs if pair.first is pairs[0].first)]
    best = max(tested, key=lambda entry: entry.accuracy or 0.0)
    return [pair for pair in pairs if best in (pair.first, pair.second)]


def _verdict(entries: Sequence[Entry], pairs: Sequence[Pairing]) -> str:
    """Return the first sentence: which is most accurate, and whether the next could be as good."""
    tested = [entry for entry in entries if entry.accuracy is not None]
    if not tested:
        return "None of these runs has been tested yet."
    best, level = _leading(tested, pairs)
    lead = sentences.most_accurate(best.name, best.accuracy or 0.0, best.facts.tested)
    if any(not pair.whole for pair in pairs):
        only = pairs[0].sentence if len(pairs) == 1 and pairs[0].result is not None else ""
        return f"{lead}; {sentences.NOT_RANKED} {only}".rstrip()
    equal = any(entry.accuracy == best.accuracy for entry in level)
    return f"{lead}{sentences.lead_over(len(tested) - 1, [entry.name for entry in level], equal=equal)}."


def _leading(tested: Sequence[Entry], pairs: Sequence[Pairing]) -> tuple[Entry, list[Entry]]:
    """Return the most accurate run, and those that may be as good."""
    best = max(tested, key=lambda entry: entry.accuracy or 0.0)
    level = [
        pair.second if pair.first is best else pair.first
        for pair in pairs
        if best in (pair.first, pair.second) and pair.result is not None and not pair.result.decided
    ]
    return best, level


def _steps(entries: Sequence[Entry], pairs: Sequence[Pairing], *, same_test: bool) -> list[Step]:
    """Return what to do after a comparison of at least two runs that were tested."""
    tested = [entry for entry in entries if entry.accuracy is not None]
    if len(tested) < 2:
        return []
    best, level = _leading(tested, pairs)
    named = [(entry.name, entry.facts) for entry in level]
    return after_comparison((best.name, best.facts), named, same_test=same_test)


def _on_which(entries: Sequence[Entry]) -> str:
    """Return on which pictures all of them are evaluated, where these are those that they have in common."""
    tested = [entry.facts.tested for entry in entries if entry.facts.predictions is not None]
    if len(tested) < 2:
        return ""
    pictures = formatting.counted(tested[0] or 0, "picture")
    return f"Everything here is of the {pictures} that all of these runs were tested on."


def _row(entry: Entry, out: Path, best: Mapping[str, float]) -> dict[str, Any]:
    """Return one row of the table; best: the best value of each metric, of runs with one test set only."""
    info, seconds = entry.facts.info, entry.facts.training_seconds
    network = info.network or Network()
    return {
        "entry": entry,
        "link": link_to_run(entry.facts.path, out),
        "summary": network.summary or info.model or "",
        "state": "" if entry.facts.state == "finished" else entry.facts.state,
        "parameters": "–" if network.parameters is None else count(network.parameters),
        "reported": "–" if entry.reported is None else percent(entry.reported, 2),
        # Of none the best: what else the machine did meanwhile is not known.
        "seconds": "–" if seconds is None else formatting.duration(seconds),
        **{name: _cell(entry.facts, name, best.get(name)) for name in _METRICS},
    }


def _cell(facts: RunFacts, name: str, best: float | None) -> Cell:
    value, interval = facts.metric(name), facts.interval(name)
    if value is None:
        return Cell("–")
    if name != "accuracy":
        meaning = formatting.meaning_of(name)
        meaning = replace(meaning, decimals=formatting.decimals_of(meaning, facts.tested))
        return Cell(formatting.metric_text(meaning, value), best=value == best)
    # Two decimals: reported numbers have them, and neighbours in a table differ in the second.
    below = "" if interval is None else f"{interval[0] * 100:.2f}–{interval[1] * 100:.2f}"
    return Cell(percent(value, 2), best=value == best, below=below)


def _bests(entries: Sequence[Entry]) -> dict[str, float]:
    """Return the best value of each metric that two runs or more have."""
    best = {}
    for name in _METRICS:
        values = [value for entry in entries if (value := entry.facts.metric(name)) is not None]
        if len(values) > 1:
            best[name] = max(values) if formatting.meaning_of(name).higher_is_better else min(values)
    return best


def link_to_run(run: Path, out: Path) -> str:
    """Return the way from the page to the run's own report, or to its folder where none was drawn."""
    page = run / "report.html"
    return link(page if page.exists() else run, out.parent)


def _interval_chart(entries: Sequence[Entry], *, same_test: bool) -> Figure | None:
    """Return all accuracies with their intervals on one scale, reported values as hollow diamonds."""
    bars, ends = [], []
    for entry in entries:
        if entry.accuracy is None:
            continue
        low, high = entry.facts.interval("accuracy") or (entry.accuracy, entry.accuracy)
        reported = None if entry.reported is None else entry.reported * 100
        label, text = f"{entry.letter}  {entry.name}", percent(entry.accuracy, 2)
        bars.append(Bar(label, text, entry.accuracy * 100, low * 100, high * 100, entry.colour, reported))
        ends += [low * 100, high * 100, *([] if reported is None else [reported])]
    if not bars:
        return None
    low, high = min(ends), max(ends)
    room = max((high - low) * 0.08, 0.25)
    step = charts.nice_step((high - low + 2 * room) / 5)
    domain = (max(0.0, (low - room) // step * step), min(100.0, -(-(high + room) // step) * step))
    values = [bar.value for bar in bars]
    if len(bars) == 1:
        title = f"Accuracy of {bars[0].text}"
    elif same_test:
        title = f"From lowest to highest, accuracies differ by {max(values) - min(values):.1f} points"
    else:
        title = "Accuracy of each run"
    known = "; ◇ as reported" if any(bar.reported is not None for bar in bars) else ""
    return interval_figure(
        "accuracies", title, bars, domain, caption=f"With 95{formatting.NBSP}% intervals{known}."
    )


def _difference_chart(pairs: Sequence[Pairing]) -> Figure | None:
    """Return a forest plot: the difference of each pair with its interval, on one scale."""
    compared = [(pair, pair.result) for pair in pairs if pair.result is not None]
    if not compared:
        return None
    bars, ends = [], [0.0]
    for pair, result in compared:
        better = pair.first if result.difference > 0 else pair.second
        low, high, points = (100 * share for share in (result.low, result.high, result.difference))
        text = f"{formatting.signed(points)} ({formatting.signed(low)} to {formatting.signed(high)})"
        names = f"{pair.first.letter} − {pair.second.letter}  {pair.first.name} − {pair.second.name}"
        bars.append(Bar(names, text, points, low, high, better.colour if result.decided else "black"))
        ends += [low, high]
    room = max((max(ends) - min(ends)) * 0.05, 0.1)
    decided = sum(result.decided for _, result in compared)
    return interval_figure(
        "differences",
        _differences_title(compared[0][0], len(compared), decided),
        bars,
        (min(ends) - room, max(ends) + room),
        caption=(
            f"Accuracy of the first minus that of the second in points, with its 95{formatting.NBSP}% "
            "interval. In colour, that of the better one: chance alone does not explain the difference."
        ),
        differences=True,
    )


def _differences_title(first: Pairing, compared: int, decided: int) -> str:
    if compared == 1:
        return first.sentence.rstrip(".")
    if not decided:
        return f"None of the {compared} differences is larger than chance explains"
    if decided == compared:
        return f"All {compared} differences are larger than chance explains"
    are = "is" if decided == 1 else "are"
    return f"{decided} of {compared} differences {are} larger than chance explains"


def _no_epoch(entries: Sequence[Entry]) -> bool:
    """Tell whether some run began and none was trained for an epoch: there are no curves to draw."""
    begun = [entry.facts for entry in entries if entry.facts.history]
    return bool(begun) and not any(facts.epochs for facts in begun)


def _overlaid_curves(entries: Sequence[Entry]) -> list[Figure]:
    """Return overlaid accuracy curves, and one graph of losses for each loss that was trained.

    Validation where every run has it, else training for all: the two must not be mixed.
    """
    trained = [entry for entry in entries if entry.facts.history]
    if _no_epoch(trained):
        return []
    split = "val" if all(e.facts.series("val", "accuracy") for e in trained) else "train"
    figures = [_overlay(trained, split, "accuracy", "accuracy", "accuracy (%)", "accuracy-curves")]
    for number, loss in enumerate(dict.fromkeys(entry.facts.loss_name for entry in trained)):
        alike = [entry for entry in trained if entry.facts.loss_name == loss]
        used = split if all(e.facts.series(split, "loss") for e in alike) else "train"
        figures.append(_overlay(alike, used, "loss", loss, loss_axis(loss), f"loss-curves-{number}"))
    return [figure for figure in figures if figure is not None]


def _overlay(
    entries: Sequence[Entry], split: str, quantity: str, name: str, axis: str, ident: str
) -> Figure | None:
    factor = 100 if quantity == "accuracy" else 1
    lines = [
        Line(f"{e.letter} {charts.shortened(e.name, 13)}", e.colour, points, short=e.letter)
        for e in entries
        if (points := [(epoch, value * factor) for epoch, value in e.facts.series(split, quantity)])
    ]
    if not lines:
        return None
    note = (
        "" if split == "val" else "Not every run has a validation set, so the curves show the training set. "
    )
    share = quantity == "accuracy"
    title = _best_curve(lines, f"{SPLIT_NAMES[split]} {name}", share=share)
    return chart_figure(ident, title, axis, lines, share=share, note=note, zoom=True)


def _best_curve(lines: Sequence[Line], name: str, *, share: bool) -> str:
    """Return which curve came highest (share), or lowest, as far as it went."""
    best = (max if share else min)(value for line in lines for _, value in line.points)
    value = percent(best / 100) if share else formatting.number(best, 3)
    leading = [line.short for line in lines if any(point == best for _, point in line.points)]
    of = f": {formatting.listed(leading, 4)}, {value}" if len(lines) > 1 else f": {value}"
    return f"{'Highest' if share else 'Lowest'} {name}{of}"
