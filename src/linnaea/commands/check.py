"""linnaea check: what is wrong with a data set, before any training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from linnaea.commands import terminal
from linnaea.errors import printable
from linnaea.runs.folder import RunFolder, refuse_own_file

if TYPE_CHECKING:
    from linnaea.data.dataset import Dataset
    from linnaea.data.problems import Problem

PAGE = Path("check.html")
ROOM = 40  # columns of a terminal that an example takes at least
COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def check(
    data: str,
    /,
    *,
    data_dir: Path | None = None,
    value_range: str = "auto",
    layout: str | None = None,
    format: Literal["table", "json"] = "table",
    out: Path | None = None,
    copies: Literal["near", "exact", "off"] = "near",
) -> list[Any]:
    """Find a data set's problems before any training.

    Unreadable pictures; copies, exact and near, within a class, across classes and across sets; blank,
    dark, bright, blurred and odd pictures; classes too small or too unequal.

    Parameters
    ----------
    data
        Data set: digits, mnist, flowers102, a folder with one folder for each class, or a CSV.
    data_dir
        Folder of a named data set. Default: the cache.
    value_range
        Numbers that are black and white in pictures of more than 8 bits, such as 0,4095; as in `linnaea
        train`.
    layout
        Meaning of the levels of folders, from the outside in, such as split/class or folder/class. Default:
        found by their names and by what they hold.
    format
        Output format: table for people; json for programs, a list of {"kind", "severity", "paths",
        "message"}.
    out
        Page with the problem pictures, or a folder for it. Default: check.html, or none with json.
    copies
        Kind of copies that are looked for: near (recompressed, resized, cropped, mirrored, brightened), exact
        (equal files only) or off.
    """
    from linnaea.data.scan import scan
    from linnaea.data.sources import open_dataset
    from linnaea.data.value_range import parse
    from linnaea.report.checking import build_check
    from linnaea.text import counted

    page = PAGE if out is None and format == "table" else out
    # A name without an ending is a folder's, whether it is there already or not.
    if page is not None and (page.is_dir() or not page.suffix):
        page = page / PAGE
    if page is not None:
        refuse_own_file(page)
    read_with = parse(value_range)
    scanned = scan(open_dataset(data, data_dir=data_dir, layout=layout), copies=copies, value_range=read_with)
    dataset, problems = scanned.dataset, list(scanned.problems)
    if format == "json":
        terminal.print_json([problem.as_dict() for problem in problems])
    else:
        sizes = counted(len(dataset), "picture"), counted(len(dataset.class_names), "class", "classes")
        terminal.print_line("Data", " · ".join([dataset.source, *sizes]), *dataset.notes)
        show_problems(problems)
    if page is not None:
        build_check(dataset, problems, page)
        terminal.print_line("Page", terminal.shown_path(page))
    return problems


def show_problems(problems: Sequence["Problem"]) -> None:
    """Print one line for each kind of problem: severity, how many, and the first as an example."""
    from linnaea.data.problems import KINDS
    from linnaea.report.checking import by_kind, how_many

    if not problems:
        terminal.print_line("Check", "nothing wrong was found")
        return
    rows = [
        (severity, KINDS[kind], how_many(kind, same), same[0].message)
        for severity, kind, same in by_kind(problems)
    ]
    heads = ("Severity", "Problem", "How many", "For example")
    widths = [max(len(row[column]) for row in (heads, *rows)) + 2 for column in range(3)]
    room = terminal.results.width - sum(widths)
    table = terminal.new_table()
    # A narrow terminal goes without examples: a few letters of each would be of no use, and the page has all.
    for head in heads if room >= ROOM else heads[:3]:
        table.add_column(head, no_wrap=True)
    for severity, title, count, message in rows:
        example = Text(printable(message, keep=""))
        example.truncate(room, overflow="ellipsis")
        cells = Text(severity, style=COLOURS[severity]), title, count, example
        table.add_row(*cells[: len(table.columns)])
    terminal.results.print(table)


def record_check(run: RunFolder, dataset: "Dataset", problems: Sequence["Problem"]) -> None:
    """Write check.json and check.html into a run, and print their content in one line."""
    from linnaea.data.problems import TOLD
    from linnaea.report.checking import build_check, verdict

    run.write_json("check.json", {"problems": [problem.as_dict() for problem in problems]})
    page = build_check(dataset, problems, run.path / "check.html")
    summary = verdict(problems).rstrip(".")
    shown = f"{summary} · {terminal.shown_path(page)}" if problems else summary
    terminal.print_line("Check", shown, *(found.message for found in problems if found.kind in TOLD))
