"""The user's decisions on labels, applied to a data set: a new table, and nothing of the old one touched."""

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

from linnaea.data.dataset import Dataset
from linnaea.data.tables import read_rows, refuse_rows
from linnaea.errors import DataError, did_you_mean

_CURE = "The first line must name the columns path,label, as in the CSV that label_issues.html saves."


@dataclass(frozen=True)
class Relabelled:
    """A data set as a table, with the decisions in it.

    text: str
        The CSV: path, label, split where the data set has one, and its further columns.
    changed, confirmed, left_out: int
        Pictures with another label than before, with the same, and not in the table any more.
    emptied: tuple of str
        Classes that have no picture any more.
    """

    text: str
    changed: int
    confirmed: int
    left_out: int
    emptied: tuple[str, ...]


def read_decisions(path: Path, dataset: Dataset) -> dict[str, str]:
    """Return {path in the data set: class}, "" for a picture to be left out.

    path: a CSV with the columns path and label; as in every table, semicolons and tabs separate as well.

    Raises DataError with every fault of the file at once: paths and classes that the data set does not have,
    and pictures decided on twice.
    """
    known, classes = set(dataset.paths), set(dataset.class_names)
    decided: dict[str, str] = {}
    faults: dict[str, list[str]] = {}
    unknown: list[str] = []
    for line, row in read_rows(path, str(path), _CURE):
        name, label = row["path"], row["label"]
        where = f"{name} (line {line})" if name else f"line {line}"
        if name not in known:
            faults.setdefault("with a picture that the data set does not have", []).append(where)
        elif name in decided:
            faults.setdefault("with a picture listed before", []).append(where)
        if label and label not in classes:
            faults.setdefault("with a class that the data set does not have", []).append(
                f"'{label}' (line {line})"
            )
            unknown.append(label)
        decided[name] = label
    hint = f" {did_you_mean(unknown[0], dataset.class_names)}" if unknown else ""
    refuse_rows(str(path), faults, f"Correct these rows.{hint}")
    if not decided:
        raise DataError(f"{path} contains no decision.", "Each row has a path and a label.")
    return decided


def relabelled(dataset: Dataset, decisions: dict[str, str], out: Path) -> Relabelled:
    """Return the data set as a table that stands at `out`, its paths relative to there.

    Raises DataError for a data set that lives in memory, and where fewer than two classes would be left.
    """
    if dataset.root is None:
        raise DataError(
            f"'{dataset.name}' has no picture files that a table could list.",
            "Labels are changed in a folder of pictures or a CSV.",
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    split = [] if dataset.splits is None else ["split"]
    writer.writerow(["path", "label", *split, *dataset.columns])
    changed = 0
    left: list[str] = []
    for row, path in enumerate(dataset.paths):
        old = str(dataset.labels[row])
        new = decisions.get(path, old)
        if not new:
            continue
        left.append(new)
        changed += new != old
        split = [] if dataset.splits is None else [str(dataset.splits[row])]
        further = [values.get(path, "") for values in dataset.columns.values()]
        writer.writerow([_seen_from(out.parent, dataset.root / path), new, *split, *further])
    if len(set(left)) < 2:
        raise DataError(
            "These decisions leave fewer than two classes.",
            "Classification needs two classes or more.",
        )
    out_of_it = sum(not label for label in decisions.values())
    return Relabelled(
        text=text.getvalue(),
        changed=changed,
        confirmed=len(decisions) - out_of_it - changed,
        left_out=out_of_it,
        emptied=tuple(name for name in dataset.class_names if name not in set(left)),
    )


def _seen_from(folder: Path, picture: Path) -> str:
    try:
        return Path(os.path.relpath(picture.absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive of Windows
        return picture.absolute().as_posix()
