"""Probable label errors of a data set, from folds: a table, thumbnails, and a page to decide on."""

import io

from linnaea.commands import terminal
from linnaea.data.dataset import Dataset
from linnaea.runs.repeated import RunGroup

SHOWN = 200  # suspects with a thumbnail: the page stays under 5 MB, and nobody looks through more at once
SIDE = 192  # pixels of a thumbnail's longer side


def find(group: RunGroup, dataset: Dataset) -> None:
    """Write folds.csv, label_errors.csv, label_errors/ and label_errors.html, and tell how many there are."""
    from linnaea.evaluation import label_errors
    from linnaea.evaluation.predictions import Predictions
    from linnaea.report.groups import build_group
    from linnaea.report.labels import build_label_errors

    tables = [Predictions.read_csv(run.path / "predictions.csv") for run in group.runs()]
    group.write_text("folds.csv", label_errors.joined(tables).to_csv())
    # From the table as it stands on disk, so that doing it again gives the same.
    table = Predictions.read_csv(group.path / "folds.csv")
    found = label_errors.find_suspects(table)
    group.write_text("label_errors.csv", label_errors.to_csv(found))
    rows = {path: row for row, path in enumerate(dataset.paths)}
    for place, suspect in enumerate(found[:SHOWN], start=1):
        group.write_bytes(f"label_errors/{place:06}.jpg", _thumbnail(dataset, rows[suspect.path]))
    group.update_info(suspects=len(found), classes=list(table.classes))
    page = build_label_errors(group)
    # Now that there is a page of label errors, the group's page links to it.
    build_group(group)
    terminal.say(
        "Labels",
        f"{len(found):,} of {len(table):,} pictures would be called something else; "
        "the likeliest label errors come first",
        f"decide in {terminal.shown_path(page)}, then: linnaea relabel {dataset.source} decisions.csv",
    )


def _thumbnail(dataset: Dataset, row: int) -> bytes:
    """Return the picture as a small JPEG."""
    from PIL import Image

    from linnaea.data.pictures import read_picture

    if dataset.pixels is not None:
        picture = Image.fromarray(dataset.pixels[row])
    else:
        picture = Image.fromarray(read_picture(dataset.files([row])[0], enough=SIDE))
        picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=80)
    return content.getvalue()
