"""A table of numbers becomes a Dataset: one picture a row, its pixels in columns or in one column."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from linnaea import reading
from linnaea.data.columns import COLUMNS, column_names, label_of
from linnaea.data.dataset import Dataset, with_test_set
from linnaea.data.split_column import find_split, set_of
from linnaea.errors import DataError
from linnaea.text import counted, listed

# pixel0, pixel_0001, px12, 1x28, or a number alone.
_PIXEL = re.compile(r"(pixel|px|p)[ _]?\d+|\d+x\d+|\d+")
_IN_ONE = ("pixels", "pixel")  # all of a picture in one column, between blanks (FER2013)
_LEAST = 64  # pixels of a picture; fewer columns of such names are something else


def open_numbers(path: Path, source: str, label_column: str | None = None) -> Dataset | None:
    """Return the pictures that a CSV file holds as numbers from 0 to 255; None for any other table.

    They are square, grey or in colour (the three numbers of a pixel one after another), row by row. The
    columns of the classes and of the sets are found as in other tables.

    Raises DataError for rows with other numbers, or with more or fewer than the first, and where no column
    has the classes.
    """
    try:
        with reading.opened(path, reading.MAX_TABLE, source) as file:
            text = io.TextIOWrapper(file, "utf-8-sig", newline="")
            rows = csv.reader(text, strict=True)
            head = next(rows, [])
            places = _places(head)
            return None if places is None else _read(rows, head, places, path, source, label_column)
    except (OSError, UnicodeDecodeError, csv.Error):
        return None  # whoever reads it as a table of paths says what is wrong


def _places(head: Sequence[str]) -> list[int] | None:
    """Return which columns hold the pixels of a picture; None where there are none."""
    names = [name.strip().lower() for name in head]
    in_one = [place for place, name in enumerate(names) if name in _IN_ONE]
    if len(in_one) == 1:
        return in_one
    pixels = [place for place, name in enumerate(names) if _PIXEL.fullmatch(name)]
    return pixels if len(pixels) >= _LEAST and _shape(len(pixels)) else None


def _shape(number: int) -> tuple[int, ...] | None:
    """Return the shape of a square picture of so many numbers; None where there is none."""
    for channels in (1, 3):
        side = math.isqrt(number // channels)
        if number and side * side * channels == number:
            return (side, side) if channels == 1 else (side, side, channels)
    return None


def _read(
    rows: Any,
    head: list[str],
    places: list[int],
    path: Path,
    source: str,
    label_column: str | None,
) -> Dataset:
    taken = set(places)
    kept = [place for place, name in enumerate(head) if place not in taken and name.strip()]
    names = column_names([head[place] for place in kept], source, label_column)
    pictures, further, lines = [], [], []
    for row in rows:
        if not row:
            continue
        cells = row[places[0]].split() if len(places) == 1 and len(row) > places[0] else []
        if len(places) > 1 and len(row) == len(head):
            cells = [row[place] for place in places]
        pictures.append(_picture(cells, source, rows.line_num))
        if len(pictures[-1]) != len(pictures[0]) or len(row) < len(head):
            raise DataError(
                f"{source}, line {rows.line_num}, has {len(pictures[-1]):,} pixels, and the first picture "
                f"{len(pictures[0]):,}.",
                "Correct the line.",
            )
        further.append({name: row[place].strip() for name, place in zip(names, kept, strict=True)})
        lines.append(rows.line_num)
    shape = _shape(len(pictures[0])) if pictures else None
    if shape is None:
        what = f"pictures of {len(pictures[0]):,} numbers, which are no square" if pictures else "no pictures"
        raise DataError(f"{source} contains {what}.", "Save them as files (PNG), in class folders.")
    label = "label" if "label" in names else label_of(names, further)
    if label is None:
        raise DataError(
            f"{source} contains pixels and no column 'label'; its other columns are: "
            f"{listed(names) or 'none'}.",
            "Name the column with the classes label: a table without classes cannot be learned from.",
        )
    labels = [row.pop(label) for row in further]
    if len(set(labels)) < 2 or not all(labels):
        raise DataError(
            f"{source} lists pictures of {counted(len(set(labels) - {''}), 'class', 'classes')}, and "
            f"{counted(labels.count(''), 'row')} without one.",
            "Classification needs two classes or more, and a class for each picture.",
        )
    digits = len(str(max(lines)))
    named = [f"line-{line:0{digits}}" for line in lines]
    by_name = [{"path": name, **row} for name, row in zip(named, further, strict=True)]
    found = find_split(by_name, source, COLUMNS)
    sets = [set_of(value) for value in found.sets]
    if unknown := sorted({value for value in found.sets if value and not set_of(value)}):
        raise DataError(
            f"{source} has sets that are not known: {listed(unknown)}.", "Known are train, val and test."
        )
    divided, note = with_test_set(np.array(sets)) if any(sets) else (None, "")
    others = [name for name in names if name not in {label, *found.columns}]
    pixels = np.stack(pictures).reshape(-1, *shape)
    return Dataset(
        name=path.stem,
        source=source,
        paths=tuple(named),
        labels=np.array(labels),
        splits=divided,
        split_name=found.name,
        pixels=pixels,
        columns={
            name: dict(zip(named, (row[name] for row in further), strict=True)) for name in sorted(others)
        },
        notes=(
            f"The pictures are the numbers of each row, {' x '.join(map(str, shape))}; the classes are those "
            f"of the column '{label}'.",
            *found.notes,
            *filter(None, [note]),
        ),
    )


def _picture(cells: list[str], source: str, line: int) -> np.ndarray:
    try:
        try:
            values = bytes(map(int, cells))
        except ValueError:
            numbers = [float(cell) for cell in cells]
            if any(number != int(number) for number in numbers):
                raise ValueError from None
            values = bytes(map(int, numbers))
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{source}, line {line}, has pixels that are not whole numbers from 0 to 255.",
            "Scale them to 0 to 255, or save the pictures as files (PNG), in class folders.",
        ) from error
    return np.frombuffer(values, np.uint8)
