"""linnaea check: what is wrong with a data set, before any training."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from linnaea.commands import terminal
from linnaea.errors import printable
from linnaea.runs.folder import RunFolder, place_of_page
from linnaea.text import command, listed, natural_order

if TYPE_CHECKING:
    from linnaea.data.dataset import Dataset
    from linnaea.data.problems import Problem

PAGE = "check.html"
MOST_NAMED = 10  # classes on the line below the data
INDENT = 9  # columns that a severity takes
COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def check(
    data: str,
    /,
    *,
    data_dir: Path | None = None,
    value_range: str = "auto",
    layout: str | None = None,
    label_column: str | None = None,
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
    label_column
        Column of the CSV with the classes. Default: label, or what else it may be called.
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

    page = Path(PAGE) if out is None and format == "table" else out
    if page is not None:
        page = place_of_page(page, PAGE)
    read_with = parse(value_range)
    dataset = open_dataset(data, data_dir=data_dir, layout=layout, label_column=label_column)
    scanned = scan(dataset, copies=copies, value_range=read_with)
    dataset, problems = scanned.dataset, list(scanned.problems)
    if format == "json":
        terminal.print_json([problem.as_dict() for problem in problems])
    else:
        sizes = counted(len(dataset), "picture"), counted(len(dataset.class_names), "class", "classes")
        said = " · ".join([dataset.source, *sizes]), classes_in_short(dataset.class_names)
        terminal.print_line("Data", *said, *dataset.notes)
        show_problems(problems)
    if page is not None:
        build_check(dataset, problems, page)
        terminal.print_line("Page", terminal.shown_path(page))
        if format == "table":
            opened = {
                "data_dir": data_dir,
                "layout": layout,
                "label_column": label_column,
                "value_range": None if value_range == "auto" else value_range,
                "copies": None if copies == "near" else copies,
            }
            terminal.print_line("Next", *_next(data, opened, problems, page))
    return problems


def _next(data: str, opened: dict[str, Any], problems: Sequence["Problem"], page: Path) -> list[str]:
    """Return what to do after a check: look at what was found; train, where no error stands in the way.

    opened: options that train takes as well; None for those that were not given.
    """
    found = [problem for problem in problems if problem.severity in ("error", "warning")]
    lines = [f"look at them: {command('linnaea', 'open', terminal.shown_path(page))}"] if found else []
    if not any(problem.severity == "error" for problem in found):
        given = [
            (f"--{name.replace('_', '-')}", value) for name, value in opened.items() if value is not None
        ]
        options = [word for pair in given for word in pair]
        lines.append(f"train: {command('linnaea', 'train', data, *options)}")
    return lines


def show_problems(problems: Sequence["Problem"]) -> None:
    """Print each kind of problem: severity, how many, the first as an example, and what to do."""
    from linnaea.data.problems import KINDS
    from linnaea.report.checking import WHAT_TO_DO, by_kind, how_many

    if not problems:
        terminal.print_line("Check", "nothing wrong was found")
        return
    for severity, kind, same in by_kind(problems):
        title = Text.assemble((f"{severity:<{INDENT}}", COLOURS[severity]), (KINDS[kind], "bold"))
        if count := how_many(kind, same):
            title.append(f" · {count}")
        terminal.results.print(title)
        for text in (printable(same[0].message, keep=""), f"→ {WHAT_TO_DO[kind]}"):
            for line in Text(text).wrap(terminal.results, terminal.results.width - INDENT):
                line.rstrip()
                terminal.results.print(" " * INDENT, line, sep="")


def classes_in_short(names: Iterable[str]) -> str:
    """Return the classes by name, for the line below the data: whoever meant other ones sees it at once."""
    in_order: list[str] = sorted(names, key=natural_order)
    return listed(in_order, MOST_NAMED)


def record_check(run: RunFolder, dataset: "Dataset", problems: Sequence["Problem"]) -> None:
    """Write check.json and check.html into a run, and print their content in one line."""
    from linnaea.data.problems import TOLD
    from linnaea.report.checking import build_check, verdict
    from linnaea.text import counted, listed

    run.write_json("check.json", {"problems": [problem.as_dict() for problem in problems]})
    page = build_check(dataset, problems, run.path / "check.html")
    summary = verdict(problems).rstrip(".")
    shown = f"{summary} · {terminal.shown_path(page)}" if problems else summary
    loud = [found.message for found in problems if found.kind in TOLD]
    twice = [found for found in problems if found.kind == "exact_duplicate_across_classes"]
    if twice:
        # Each of them is learned as two things: a folder that was copied, as a rule.
        number = counted(sum(len(found.paths) for found in twice), "picture")
        loud.append(f"{number} stand under several labels, byte for byte, such as {listed(twice[0].paths)}.")
    terminal.print_line("Check", shown, *loud)
