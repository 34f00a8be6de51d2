"""Label issues of a data set, from folds: a table, thumbnails, and a page to decide on."""

import io
from typing import Any

from linnaea.commands import terminal
from linnaea.data.dataset import Dataset
from linnaea.data.layouts import AUTO
from linnaea.errors import WriteError
from linnaea.runs.repeated import RunGroup
from linnaea.text import command, counted

SHOWN = 150  # label issues with a thumbnail: the page stays under 5 MB, and nobody looks through more at once
SIDE = 256  # pixels of a thumbnail's longer side


def find(
    group: RunGroup, dataset: Dataset, opened: dict[str, Any], asked: dict[str, Any] | None = None
) -> None:
    """Write folds.csv, label_issues.csv, label_issues/ and label_issues.html, and print how many there are.

    opened, asked: how the pictures were asked for, as in Chosen and in study.opened_as.
    """
    from linnaea.evaluation import label_issues
    from linnaea.evaluation.predictions import Predictions, joined
    from linnaea.report.groups import build_group
    from linnaea.report.label_issues import build_label_issues
    from linnaea.runs.tables import read_test_table

    folds = [read_test_table(run) for run in group.runs()]
    group.write_text("folds.csv", joined(folds).to_csv())
    # From the table as it stands on disk, so that doing it again gives the same.
    table = Predictions.read_csv(group.path / "folds.csv")
    issues = label_issues.find_issues(table)
    group.write_text("label_issues.csv", label_issues.to_csv(issues))
    rows = {path: row for row, path in enumerate(dataset.paths)}
    try:
        for place, issue in enumerate(issues[:SHOWN], start=1):
            group.write_bytes(f"label_issues/{place:06}.jpg", _thumbnail(dataset, rows[issue.path]))
    except WriteError as error:
        # Room for the pages. The issues are in the table, whether they are shown or not.
        group.clear_pictures()
        terminal.print_line("Pictures", f"none of the label issues are shown: {error.message}")
    command = relabel_command(dataset, opened, asked)
    group.update_info(label_issues=len(issues), classes=list(table.classes), relabel=command)
    group.flush()
    page = build_label_issues(group)
    # Now that there is a page of label issues, the group's page links to it.
    build_group(group)
    terminal.print_line("Labels", *_summary(len(issues), len(table), terminal.shown_path(page), command))


def relabel_command(
    dataset: Dataset, opened: dict[str, Any], asked: dict[str, Any] | None = None
) -> str | None:
    """Return what a shell takes to lay decisions over this data set; None where no file has its labels."""
    if dataset.root is None:
        return None
    where = [] if opened.get("data_dir") is None else ["--data-dir", str(opened["data_dir"])]
    for name, value in (asked or {}).items():
        where += [] if value in (None, AUTO) else [f"--{name.replace('_', '-')}", str(value)]
    return command("linnaea", "relabel", dataset.source, "decisions.csv", *where)


def _summary(issues: int, pictures: int, page: str, command: str | None) -> list[str]:
    if not issues:
        return [f"no label issues in {counted(pictures, 'picture')}"]
    labels = counted(issues, "label that may be wrong", "labels that may be wrong")
    summary = f"{labels} in {counted(pictures, 'picture')}"
    summary += "; the most likely come first" if issues > 1 else ""
    return [summary, f"see {page}" if command is None else f"review them in {page}, then: {command}"]


def _thumbnail(dataset: Dataset, row: int) -> bytes:
    """Return the picture as a small JPEG."""
    from PIL import Image

    from linnaea.data.decoding import read_picture

    if dataset.pixels is not None:
        picture = Image.fromarray(dataset.pixels[row])
    else:
        file = dataset.files([row])[0]
        picture = Image.fromarray(read_picture(file, enough=SIDE, value_range=dataset.value_range))
        picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=80)
    return content.getvalue()
