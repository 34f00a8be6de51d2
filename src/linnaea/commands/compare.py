"""linnaea compare: several runs on one page, and whether their difference could be chance."""

from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from linnaea.commands import terminal
from linnaea.errors import DataError
from linnaea.runs.folder import RunFolder, refuse_own_file
from linnaea.runs.repeated import RunGroup
from linnaea.text import command, counted, duration, listed, percent

if TYPE_CHECKING:
    from linnaea.evaluation.comparison import Comparison


class _Pair(NamedTuple):
    """Two runs by name, the more accurate first and with its folder, and their comparison."""

    better: str
    worse: str
    path: Path
    result: "Comparison"


def compare(
    *runs: Annotated[Path, Parameter(required=True)],
    out: Path = Path("comparison.html"),
    common: bool = False,
) -> Path:
    """Compare runs: one table, one page with overlaid graphs, and each pair's difference in words.

    Parameters
    ----------
    runs
        Run folders, or folders of repeats.
    out
        File of the page. Default: comparison.html.
    common
        Whether the runs are compared on those pictures alone that all of them were tested on.
    """
    refuse_own_file(out)
    groups = [RunGroup.open_group(run) for run in runs if RunGroup.is_group(run)]
    folders = [RunFolder.open(run) for run in runs if not RunGroup.is_group(run)]
    for group in groups:
        group.refuse_unevaluated(group.evaluated())
    # What is no run is told before what takes seconds to load.
    from linnaea.report.comparison import build_comparison
    from linnaea.report.groups import build_group_comparison

    # Before anything is printed or written: a comparison of different pictures would be none.
    compared = _compared(folders, common)
    sentences = _sentences(compared, common) + _group_sentences(groups, common)
    # Before anything is printed: the page reads everything that a run left, and refuses what is damaged.
    if groups:
        page = build_group_comparison(folders, groups, out, common=common)
    else:
        page = build_comparison(folders, out, common=common)
    if folders:
        terminal.results.print(runs_table(folders, common=common))
        sentences += _left_out(folders, groups)
    if groups:
        terminal.results.print(groups_table(groups))
        sentences += _unfinished(groups)
    if len(runs) == 1:
        sentences.append("Only one was given: there is nothing to compare it with.")
    for sentence in sentences:
        terminal.print_line("", sentence)
    terminal.print_line("Page", terminal.shown_path(page))
    terminal.print_line("Next", *_next(compared, page))
    return page


def _next(compared: list[_Pair], page: Path) -> list[str]:
    """Return what to do after a comparison: look at it, and which run to use, where one is better."""
    lines = [f"look at it: {command('linnaea', 'open', terminal.shown_path(page))}"]
    # The first pair are the two most accurate.
    if compared and compared[0].result.decided:
        best = terminal.shown_path(compared[0].path)
        lines.append(f"classify new pictures with the best: {command('linnaea', 'predict', best, 'PICTURE')}")
    return lines


def show_comparison(folders: list[RunFolder], reported: dict[str, dict[str, Any]] | None = None) -> None:
    """Print the table of runs, then a sentence for each neighbouring pair in order of accuracy.

    reported: dict
        Run folder's name → {"accuracy": …}, shown in a column of its own.
    """
    terminal.results.print(runs_table(folders, reported))
    for sentence in _sentences(_compared(folders, common=False), common=False):
        terminal.print_line("", sentence)


def runs_table(
    folders: list[RunFolder], reported: dict[str, dict[str, Any]] | None = None, *, common: bool = False
) -> Any:
    """Return the table of runs; reported: see show_comparison; common: see compare."""
    from linnaea.report.comparison import distinct_names, on_common
    from linnaea.report.facts import read_run

    names = distinct_names([folder.path for folder in folders])
    if common:
        metrics = [facts.metrics for facts in on_common([read_run(folder) for folder in folders])]
    else:
        metrics = [folder.metrics() for folder in folders]
    rows = [
        {**_row(folder, of_run, (reported or {}).get(folder.path.name, {})), "run": name}
        for folder, of_run, name in zip(folders, metrics, names, strict=True)
    ]
    columns = {"run": "Run", "network": "Network", "accuracy": "Accuracy", "interval": "95 % interval"}
    if reported:
        columns["reported"] = "Reported"
    columns |= {"auc": "Macro AUC", "log_loss": "Log loss", "seconds": "Training"}
    spare = ("network", "log_loss", "seconds", "auc", "interval")
    return terminal.comparison_table(rows, columns, spare=spare, words=("network",))


def groups_table(groups: list[RunGroup]) -> Any:
    """Return the table of repeats and folds: accuracy's mean, deviation and range."""
    rows = []
    for group in groups:
        accuracy = group.metrics().get("accuracy", {})
        shown = {key: percent(accuracy.get(key), 2) for key in ("mean", "min", "max")}
        deviation = accuracy.get("deviation")
        points = "–" if deviation is None else f"{100 * deviation:.2f}"
        what = counted(len(group.evaluated()), group.kind.removesuffix("s"))
        rows.append({"run": group.path.resolve().name, "what": what, "deviation": points, **shown})
    columns = {"run": "Recipe", "what": "Runs", "mean": "Accuracy", "deviation": "SD (points)"}
    return terminal.comparison_table(rows, columns | {"min": "Lowest", "max": "Highest"})


def _row(folder: RunFolder, metrics: dict[str, dict[str, Any]], reported: dict[str, Any]) -> dict[str, str]:
    from linnaea.report import formatting

    info = folder.info
    row = {"network": (info.network and info.network.summary) or info.model or "–"}
    if metrics:
        accuracy = metrics.get("accuracy", {})
        low, high = accuracy.get("low"), accuracy.get("high")
        row["accuracy"] = percent(accuracy.get("value"), 2)
        row["interval"] = "–" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}"
        for column, name in (("auc", "macro_auc"), ("log_loss", "log_loss")):
            digits = formatting.decimals_of(formatting.meaning_of(name), accuracy.get("pictures"))
            row[column] = _number(metrics.get(name, {}).get("value"), digits)
    if "accuracy" in reported:
        row["reported"] = percent(reported["accuracy"], 2)
    history = folder.history()
    if history:
        row["seconds"] = duration(sum(record["seconds"] for record in history))
    return row


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _compared(folders: list[RunFolder], common: bool) -> list[_Pair]:
    """Return each neighbouring pair in order of accuracy, the most accurate first.

    Raises DataError for two runs that were not tested on the same pictures, unless common, and for a table
    that was edited.
    """
    from linnaea.evaluation import comparison
    from linnaea.report.comparison import distinct_names
    from linnaea.runs.tables import is_there, read_test_table

    names = distinct_names([folder.path for folder in folders])
    tested = [(name, folder) for folder, name in zip(folders, names, strict=True) if is_there(folder, "test")]
    tables = [read_test_table(folder) for _, folder in tested]
    if common:
        tables = comparison.on_common_pictures(tables)
    ranked = [
        (float((table.predicted == table.true).mean()), name, folder.path, table)
        for (name, folder), table in zip(tested, tables, strict=True)
    ]
    ranked.sort(key=lambda item: -item[0])
    pairs = []
    for (_, better, path, a), (_, worse, _, b) in pairwise(ranked):
        try:
            result = comparison.compare(a, b, common=common)
        except DataError as error:
            raise DataError(f"{better} and {worse}: {error.message}", error.cure) from error
        pairs.append(_Pair(better, worse, path, result))
    return pairs


def _sentences(compared: list[_Pair], common: bool) -> list[str]:
    """Return the difference of each pair in words; common: of the pictures that both were tested on."""
    from linnaea.report.sentences import difference

    sentences = []
    for better, worse, _, result in compared:
        words = f"{better} and {worse}: {difference(result, better, worse)}"
        # What shows no difference names the pictures already.
        sentences.append(
            words + (f", on {counted(result.n, 'picture')}" if common and result.decided else "")
        )
    return sentences


def _left_out(folders: list[RunFolder], groups: list[RunGroup]) -> list[str]:
    """Return what is compared with nothing."""
    from linnaea.runs.tables import is_there

    untested = [terminal.shown_path(folder.path) for folder in folders if not is_there(folder, "test")]
    lines = [f"{listed(untested)}: not evaluated on a test set, so not compared"] if untested else []
    if groups:
        lines.append("Single runs are compared with each other, not with repeats.")
    return lines


def _unfinished(groups: list[RunGroup]) -> list[str]:
    """Return which groups have not evaluated all the runs that were asked for."""
    lines = []
    for group in groups:
        asked, evaluated = group.info.asked or 0, len(group.evaluated())
        if evaluated < asked:
            again = command("linnaea", "resume", group.path)
            name = group.path.resolve().name
            lines.append(
                f"{name}: {evaluated} of {asked} {group.kind} evaluated so far; continue with: {again}"
            )
    return lines


def _group_sentences(groups: list[RunGroup], common: bool) -> list[str]:
    """Return each pair of repeats in words. Raises DataError as _sentences does."""
    from linnaea.report.groups import compare_groups
    from linnaea.report.sentences import repeated_difference

    sentences = []
    for a, b in combinations(groups, 2):
        names = a.path.resolve().name, b.path.resolve().name
        try:
            result = compare_groups(a, b, common=common)
            sentences.append(f"{' and '.join(names)}: {repeated_difference(result, *names)}")
        except DataError as error:
            raise DataError(f"{' and '.join(names)}: {error.message}", error.cure) from error
    return sentences
