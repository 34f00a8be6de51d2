"""A CSV file becomes a Dataset: the columns path, label and perhaps split."""

import csv
import io
import os
import posixpath
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np

from linnaea import reading
from linnaea.data.dataset import Dataset
from linnaea.data.layouts import SPLIT_NAMES
from linnaea.errors import DataError
from linnaea.text import counted, listed, plural

COLUMNS = ("path", "label")
SPLIT = ("split", "part")
"""The column that says which set a picture belongs to; the second name is that of older tables."""

_CURE = "The first line must name the columns: path,label or path,label,split."


def open_table(path: Path, source: str) -> Dataset:
    """Return the pictures that a CSV file lists; paths are relative to the file's folder.

    Comma, semicolon and tab separate columns; the first line names them; other columns are kept to group by.
    An empty split means that a picture belongs to no set, which the notes count.

    Raises DataError with every fault of the file at once, each with its count and the first ten places.
    """
    rows = read_rows(path, source)
    given = [name for name in SPLIT if rows and name in rows[0][1]]
    if len(given) > 1:
        raise DataError(
            f"{source} has a column split and a column part, which mean the same.", "Rename or remove one."
        )
    # Collected rather than raised one by one: a table with a thousand rows is corrected once, not a thousand
    # times.
    faults: dict[str, list[str]] = {}
    paths, labels, splits = [], [], []
    columns: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for line, row in rows:
        name, label = row["path"], row["label"]
        split = row[given[0]].lower() if given else ""
        for fault in _faults(path.parent, name, label, split, seen):
            faults.setdefault(fault, []).append(f"line {line}" if not name else f"{name} (line {line})")
        seen.add(name)
        paths.append(name)
        labels.append(label)
        splits.append(SPLIT_NAMES.get(split, ""))
        for column in row.keys() - {*COLUMNS, *given}:
            columns.setdefault(column, {})[name] = row[column]
    refuse_rows(source, faults)
    if len(set(labels)) < 2:
        count = "no pictures" if not labels else f"pictures of one class only, '{labels[0]}'"
        raise DataError(f"{source} lists {count}.", "Classification needs two classes or more.")
    order = sorted(range(len(paths)), key=paths.__getitem__)
    none = splits.count("") if any(splits) else 0
    return Dataset(
        name=path.stem,
        source=source,
        paths=tuple(paths[row] for row in order),
        labels=np.array(labels)[order],
        splits=np.array(splits)[order] if any(splits) else None,
        split_name="your split column",
        root=path.parent,
        columns=dict(sorted(columns.items())),
        notes=(f"{counted(none, 'picture')} {plural(none, 'has', 'have')} no split.",) if none else (),
    )


def read_rows(path: Path, source: str, cure: str = _CURE) -> list[tuple[int, dict[str, str]]]:
    """Return each row of a table with its line number, its values stripped, its columns in small letters.

    A path is written with single slashes and without detours, a label composed (NFC).

    cure: what to do where the columns path and label are missing.

    Raises DataError for what is no CSV in UTF-8, no plain file or a larger one than reading.MAX_TABLE,
    or lacks the columns path and label.
    """
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first column's name.
        text = reading.read_bytes(path, reading.MAX_TABLE, source).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source} is not UTF-8 text ({error.reason}).", "Save it as CSV in UTF-8."
        ) from error
    except OSError as error:
        cure = "Check its name." if isinstance(error, FileNotFoundError) else "Check its permissions."
        raise DataError(f"{source} could not be read ({error.strerror}).", cure) from error
    first = text.split("\n", 1)[0]
    # The one that the first line uses most: a German spreadsheet saves "CSV" with semicolons.
    separator = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restval="", strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or []]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise DataError(
                f"{source} has no column {' and no column '.join(repr(name) for name in missing)}; "
                f"its columns are: {', '.join(names) or 'none'}.",
                cure,
            )
        twice = sorted(name for name, times in Counter(names).items() if name and times > 1)
        if twice:
            raise DataError(
                f"{source} has the column {listed(map(repr, twice))} more than once.", "Rename or remove one."
            )
        reader.fieldnames = names
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(
            f"{source}, line {reader.reader.line_num}, is not CSV ({error}).", "Correct the line."
        ) from error
    # A label with a comma in it, unquoted, would lose its end, and two classes become one.
    surplus = [line for line, row in rows if any(row.get(None) or ())]
    if surplus:
        raise DataError(
            f"{source} has more values than the {len(names)} columns of its first line in "
            f"{counted(len(surplus), 'row')}: {listed(f'line {line}' for line in surplus)}.",
            f"Put a value with '{separator}' in quotation marks.",
        )
    for _, row in rows:
        row.pop(None, None)
        row |= {name: (value or "").strip() for name, value in row.items()}
        if row["path"]:
            # Tables made on Windows separate folders by backslashes; the file system here may not.
            # a/../a/1.png and a/1.png are one picture, which must not stand in two sets.
            row["path"] = posixpath.normpath(row["path"].replace("\\", "/"))
        # NFC, like folder names: one class however an accent was typed.
        row["label"] = unicodedata.normalize("NFC", row["label"])
    return rows


def refuse_rows(source: str, faults: dict[str, list[str]], cure: str = "Correct these rows.") -> None:
    """Raise DataError for a table with faults, each with its count and first places; nothing where none."""
    if faults:
        summary = "; ".join(
            f"{counted(len(places), 'row')} {fault}: {listed(places)}" for fault, places in faults.items()
        )
        raise DataError(f"{source} cannot be used: {summary}.", cure)


def _faults(folder: Path, name: str, label: str, split: str, seen: set[str]) -> list[str]:
    faults = []
    if not name:
        faults.append("without a path")
    elif name in seen:
        faults.append("with a path listed before")
    elif not os.path.isfile(folder / name):
        faults.append("with a file that does not exist")
    if not label:
        faults.append("without a label")
    if split and split not in SPLIT_NAMES:
        faults.append(f"with the unknown split '{split}' (known: train, val, test)")
    return faults
