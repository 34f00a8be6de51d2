"""A CSV file becomes a Dataset: the columns path, label and perhaps split."""

import codecs
import csv
import io
import os
import posixpath
import re
import unicodedata
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from linnaea import reading
from linnaea.data.columns import COLUMNS, column_names, find_columns
from linnaea.data.dataset import Dataset, with_test_set
from linnaea.data.decoding import SUFFIXES
from linnaea.data.found_by_name import FoundByName
from linnaea.data.layouts import as_sets, set_name
from linnaea.data.split_column import SPLIT, find_split, set_of
from linnaea.errors import DataError
from linnaea.text import counted, listed, plural

_CURE = "The first line must name the columns: path,label or path,label,split."
_NO_LABEL = {
    *("nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-1", "-1.0", "?", "-"),
    *("unlabeled", "unlabelled", "missing", "undefined"),
}
_SIGNS = {"-1", "0", "1", "-1.0", "0.0", "1.0"}  # labels among which -1 stands for no missing one
# What stands between several labels, and how many such are no accident: "sea lion" beside "sea" and "lion".
_SIGNS_BETWEEN = {"|": 1, ";": 1, ",": 1, "/": 2, " ": 3}
_MANY = 0.05  # of all rows
_CORNERS = {"xmin", "x_min", "x1", "bbox", "bbox_x", "bounding_box"}  # columns that tell boxes of objects
_FIRST_LINES = 1 << 16  # bytes of a table that tell whether it lists pictures
_SAMPLE = 50  # paths that tell from which folder all start

Row = tuple[int, dict[str, str]]
"""A line's number, and its values by column."""


def open_table(path: Path, source: str, label_column: str | None = None) -> Dataset:
    """Return the pictures that a CSV file lists.

    Paths start from the file's folder, the working directory or a folder above the file (_root); what is not
    there is looked for by its name below the file's folder (FoundByName). Comma, semicolon and tab separate
    columns; the first line names them, and columns.find_columns which is which. The columns that say in which
    set a picture is (find_split) are the split, or else such folders are (_sets_of_folders); others are kept
    to group by. An empty split means that a picture belongs to no set, which the notes count.

    label_column: the column with the classes, where it is to be another

    Raises DataError with every fault of the file at once, each with its count and the first ten places.
    """
    names, written, rows = _parsed(path, source, _CURE, label_column)
    by_name = FoundByName(path.parent)
    folders = _folders(path)
    meant = find_columns(
        names,
        written,
        [row for _, row in rows],
        source,
        is_picture=lambda value: bool(value) and (_is_file(folders, value) or bool(by_name(_slashes(value)))),
        cure=_CURE,
    )
    _name_columns(rows, meant.paths, meant.labels, meant.used)
    found = find_split([row for _, row in rows], source, COLUMNS)
    root = _root(rows, path, by_name)
    several, by_names = _find_files(rows, root, path.parent, by_name)
    # Collected rather than raised one by one: a table with a thousand rows is corrected once, not a thousand
    # times.
    faults: dict[str, list[str]] = {}
    paths, labels, splits = [], [], []
    columns: dict[str, dict[str, str]] = {}
    seen: dict[str, tuple[int, str, str]] = {}
    for (line, row), split in zip(rows, found.sets, strict=True):
        name, label = row["path"], row["label"]
        for fault in _faults(root, name, label, split, seen, several):
            faults.setdefault(fault, []).append(_place(line, name, label, seen))
        seen.setdefault(name, (line, label, set_of(split)))
        paths.append(name)
        labels.append(label)
        splits.append(set_of(split))
        for column in row.keys() - {"", *COLUMNS, *SPLIT, *found.columns}:
            columns.setdefault(column, {})[name] = row[column]
    where = f" Files were looked for in {path.parent}, {Path.cwd()} and the folders above the table."
    cure = f"Correct these rows.{where if _MISSING in faults else ''}"
    if _SEVERAL in faults:
        files = next(iter(several.values()))
        cure += f" Write a name that several files have with its folder ({listed(files, 2, last=' or ')})."
    if any(split and not set_of(split) for split in found.sets):
        cure += " A picture with an empty split is left out."
    if len(seen) < len(rows) and not _CORNERS.isdisjoint(columns):
        cure += (
            " Its rows seem to be boxes of objects, and Linnaea learns one class for each picture: cut each "
            "object out and save it in a folder of its class."
        )
    refuse_rows(source, faults, cure)
    _refuse_several_labels(source, labels)
    if len(set(labels)) < 2:
        count = "no pictures" if not labels else f"pictures of one class only, '{labels[0]}'"
        raise DataError(f"{source} lists {count}.", "Classification needs two classes or more.")
    order = sorted(range(len(paths)), key=paths.__getitem__)
    notes = [*meant.notes, *by_names, *found.notes, *_unlabelled(labels)]
    split_name = found.name
    if not any(splits):
        splits, split_name = _sets_of_folders(paths, labels)
        if not splits and not found.columns and (sets := _sets_in_paths(paths, labels)):
            notes.append(
                f"The paths contain {listed(sets, last=' and ')}, which look like sets and were not used: if "
                "they are, write train, val or test into a column split."
            )
    if any(splits) and (none := splits.count("")):
        notes.append(f"{counted(none, 'picture')} {plural(none, 'has', 'have')} no split.")
    divided, note = with_test_set(np.array(splits)[order]) if any(splits) else (None, "")
    notes += [note] if note else []
    if root != path.parent:
        notes.append(f"Paths start from {root}: the table's own folder has no such files.")
    return Dataset(
        name=path.stem,
        source=source,
        paths=tuple(paths[row] for row in order),
        labels=np.array(labels)[order],
        splits=divided,
        split_name=split_name,
        root=root,
        columns=dict(sorted(columns.items())),
        notes=tuple(notes),
    )


def _refuse_several_labels(source: str, labels: list[str]) -> None:
    """Raise DataError where labels are made of others: "cat|dog" beside "cat" and "dog"."""
    count = Counter(labels)
    # As Python writes a list: ['cat', 'dog'].
    bare = {label: re.sub(r"^\[|\]$|(?<![^\W_])['\"]|['\"](?![^\W_])", "", label) for label in count}
    for sign, least in _SIGNS_BETWEEN.items():
        parts = {label: [part.strip() for part in one.split(sign)] for label, one in bare.items()}
        made = {label: names for label, names in parts.items() if len(names) > 1}
        alone = {names[0] for label, names in parts.items() if label not in made}
        # Of labels that say several each, those that stand in others, too, are known.
        held = Counter(name for names in made.values() for name in set(names))
        known = alone | {name for name, number in held.items() if sign in "|;" and number > 1}
        several = [label for label, names in made.items() if known.issuperset(names) and all(names)]
        many = sum(count[label] for label in several) >= _MANY * len(labels)
        if len(several) >= least and len(several) * 2 > len(made) and many:
            number = sum(count[label] for label in several)
            raise DataError(
                f"{source} gives {counted(number, 'picture')} several labels in one value "
                f"({listed(map(repr, several), 3)}), and Linnaea learns one class for each picture.",
                "Keep the label that matters most in each row, or leave these rows out; if each combination "
                f"is a class of its own, write it without '{sign}' (cat and dog).",
            )


def _unlabelled(labels: list[str]) -> list[str]:
    """Return a note on labels that often stand for none."""
    rows = Counter(label for label in labels if label.lower() in _NO_LABEL)
    if set(labels) <= _SIGNS:
        return []
    return [
        f"{counted(number, 'picture')} {plural(number, 'has', 'have')} the label '{label}', which is a class "
        "here; if it stands for a missing label, leave these rows out."
        for label, number in rows.items()
    ]


def _sets_of_folders(paths: list[str], labels: list[str]) -> tuple[list[str], str]:
    """Return the set of each path by the folder in which it leaves the others, and what the split is called.

    ([], "") where those folders are not called like several sets, or classes are.
    """
    parts = [path.split("/") for path in paths]
    shared = next(i for i, names in enumerate(zip(*parts, strict=False)) if len(set(names)) > 1)
    # A picture beside such folders lies in none.
    folders = [part[shared] if len(part) > shared + 1 else "" for part in parts]
    known = as_sets(set(folders))
    sets = [known[folder].split for folder in folders] if known else []
    if len(set(sets)) < 2 or not known.keys().isdisjoint(labels):
        return [], ""
    return sets, f"your folders {listed(sorted(set(folders)), last=' and ')}"


def _sets_in_paths(paths: list[str], labels: list[str]) -> list[str]:
    """Return the folders in these paths that are called like several sets, and like no class; or nothing."""
    folders = {folder for path in paths for folder in path.split("/")[:-1]} - set(labels)
    like = {folder: one.split for folder in folders if (one := set_name(folder)) is not None}
    return sorted(like) if len(set(like.values())) > 1 else []


def _root(rows: list[Row], path: Path, by_name: FoundByName) -> Path:
    """Return the folder from which the paths of a table start, as far as a sample of them tells.

    Its own, the working directory, or one above the table: the working directory of the first command, for
    one that goes on with its run from elsewhere. The one in which most are files, the first of equals.
    """
    names = [row["path"] for _, row in rows[:: -(-len(rows) // _SAMPLE) or 1] if row["path"]]
    folders = _folders(path)
    there = [sum(os.path.isfile(folder / name) for name in names) for folder in folders]
    # A name without an ending (12) may be that of anything in a folder above.
    below = sum(not _has_ending(name) and bool(by_name(name)) for name in names)
    return path.parent if below and below >= max(there) else folders[there.index(max(there))]


def _folders(path: Path) -> list[Path]:
    """Return the folders from which the paths of a table may start."""
    return [path.parent, Path.cwd(), *path.parent.resolve().parents]


def _has_ending(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _is_file(folders: list[Path], name: str) -> bool:
    return _has_ending(name) and any(os.path.isfile(folder / _slashes(name)) for folder in folders)


def _slashes(name: str) -> str:
    """Return a path with single slashes and without detours.

    Tables made on Windows separate folders by backslashes; the file system here may not. a/../a/1.png and
    a/1.png are one picture, which must not stand in two sets.
    """
    return posixpath.normpath(name.replace("\\", "/"))


def _find_files(
    rows: list[Row], root: Path, folder: Path, by_name: FoundByName
) -> tuple[dict[str, list[str]], list[str]]:
    """Replace paths that lead nowhere by those of the only file below the table's folder that is called so.

    Returns ({path: the files}, of those that several files may be, and a note on what was replaced).
    """
    several: dict[str, list[str]] = {}
    replaced = []
    missing = {
        name: by_name(name) for _, row in rows if (name := row["path"]) and not os.path.isfile(root / name)
    }
    places = [{posixpath.dirname(file) for file in files} for files in missing.values()]
    held = Counter(place for each in places for place in each)
    # train/1.png and test/1.png, of which train alone has all that are named.
    whole = [place for place, number in held.items() if number == len(missing)]
    for _, row in rows:
        files = missing.get(row["path"], [])
        if len(files) > 1 and len(whole) == 1:
            files = [file for file in files if posixpath.dirname(file) == whole[0]]
        if len(files) == 1:
            replaced.append((row["path"], files[0]))
            row["path"] = Path(os.path.relpath(folder / files[0], root)).as_posix()
        elif files:
            several[row["path"]] = files
    if not replaced:
        return several, []
    (name, file), number = replaced[0], len(replaced)
    were = "was found by its name" if number == 1 else "were found by their names"
    return several, [
        f"{counted(number, 'picture')} {were} below the table's folder, such as {file} for {name}."
    ]


def first_lines(path: Path) -> list[str]:
    """Return the first lines of a text, each of them whole; none where it cannot be read."""
    try:
        with reading.opened(path, reading.MAX_TABLE) as file:
            content = file.read(_FIRST_LINES)
    except (OSError, DataError):
        return []
    lines = content.decode("utf-8", "replace").replace("\0", "").splitlines()
    return lines[:-1] if len(content) == _FIRST_LINES else lines


def names_in(path: Path) -> set[str]:
    """Return what the first lines of a table or list may name pictures by (ways_to_name)."""
    text = "\n".join(first_lines(path))
    values = {value.strip() for value in re.split(r'[,;\t\r\n"]+', text)}
    # Lists separate a path from what follows by a blank.
    values |= {value.rsplit(" ", 1)[0] for value in values}
    return {name for value in values - {""} for name in ways_to_name(value.replace("\\", "/"))}


def ways_to_name(path: str) -> set[str]:
    """Return {"0", "0.png", "cat/0"} for photos/cat/0.png: how a table or list may name this picture."""
    whole = PurePosixPath(path)
    names = {whole.stem, whole.name if whole.suffix.lower() in SUFFIXES else whole.stem}
    return names | ({f"{whole.parent.name}/{whole.stem}"} if whole.parent.name else set())


def columns_of_sets(path: Path, source: str) -> tuple[str, ...]:
    """Return the columns of a table that say in which set each picture is; none where it cannot be read."""
    try:
        _, _, rows = _parsed(path, source, _CURE)
        return find_split([row for _, row in rows], source, COLUMNS).columns
    except DataError:
        return ()


def told_separator(line: str) -> str | None:
    """Return the separator that the line sep=; names, which Excel puts first; None for another line."""
    told = re.fullmatch(r'"?sep=([,;\t|])"?[\r\n ]*', line, re.IGNORECASE)
    return told[1] if told else None


def read_rows(path: Path, source: str, cure: str = _CURE) -> list[Row]:
    """Return each row of a table with its line number, its values stripped, its columns in small letters.

    A path is written with single slashes and without detours, a label composed (NFC).

    cure: what to do where the columns path and label are missing.

    Raises DataError for what is no CSV in UTF-8 or UTF-16, no plain file or a larger one than
    reading.MAX_TABLE, or lacks the columns path and label.
    """
    names, _, rows = _parsed(path, source, cure)
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError(
            f"{source} has no column {' and no column '.join(repr(name) for name in missing)}; "
            f"its columns are: {', '.join(names) or 'none'}.",
            cure,
        )
    values = [row for _, row in rows]
    _name_columns(rows, [row["path"] for row in values], [row["label"] for row in values], set(COLUMNS))
    return rows


def _parsed(
    path: Path, source: str, cure: str, label_column: str | None = None
) -> tuple[list[str], list[str], list[Row]]:
    """Return the names of a table's columns (see columns.column_names), as they are written, and its rows."""
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first column's name.
        content = reading.read_bytes(path, reading.MAX_TABLE, source)
        # With such a mark: Excel's "Unicode text".
        utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source} is not UTF-8 text ({error.reason}).", "Save it as CSV in UTF-8."
        ) from error
    except OSError as error:
        cure = "Check its name." if isinstance(error, FileNotFoundError) else "Check its permissions."
        raise DataError(f"{source} could not be read ({error.strerror}).", cure) from error
    first, _, rest = text.partition("\n")
    told = told_separator(first)
    skipped = 0 if told is None else 1
    if told:
        text, first = rest, rest.split("\n", 1)[0]
    # The one that the first line uses most: a German spreadsheet saves "CSV" with semicolons.
    separator = told or max(",;\t", key=first.count)
    # A blank after the separator, as people type it, must not make the quotation marks part of a name.
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=separator, restval="", strict=True, skipinitialspace=True
    )
    try:
        written = [name.strip() for name in reader.fieldnames or []]
        names = column_names(written, source, label_column)
        missing = [name for name in COLUMNS if name not in names]
        # A first line of data has a picture in it.
        pictures = [
            name for name in reader.fieldnames or [] if PurePosixPath(name.strip()).suffix.lower() in SUFFIXES
        ]
        if missing and pictures:
            raise DataError(
                f"{source} has no header: its first line names a picture ({listed(pictures, 1)}).", cure
            )
        twice = sorted(name for name, times in Counter(names).items() if name and times > 1)
        if twice:
            raise DataError(
                f"{source} has the column {listed(map(repr, twice))} more than once.", "Rename or remove one."
            )
        reader.fieldnames = names
        rows = [(reader.line_num + skipped, row) for row in reader]
    except csv.Error as error:
        raise DataError(
            f"{source}, line {reader.reader.line_num + skipped}, is not CSV ({error}).", "Correct the line."
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
    return names, written, rows


def _name_columns(rows: list[Row], paths: list[str], labels: list[str], used: set[str]) -> None:
    """Put the path and the label of each row in its columns path and label, in place of others."""
    for (_, row), path, label in zip(rows, paths, labels, strict=True):
        for column in used:
            del row[column]
        row["path"] = _slashes(path) if path else ""
        # NFC, like folder names: one class however an accent was typed.
        row["label"] = unicodedata.normalize("NFC", label)


def refuse_rows(source: str, faults: dict[str, list[str]], cure: str = "Correct these rows.") -> None:
    """Raise DataError for a table with faults, each with its count and first places; nothing where none."""
    if faults:
        summary = "; ".join(
            f"{counted(len(places), 'row')} {fault}: {listed(places)}" for fault, places in faults.items()
        )
        raise DataError(f"{source} cannot be used: {summary}.", cure)


_MISSING = "with a file that does not exist"
_SEVERAL = "with a name that several files have"
_OTHER_LABEL = "with a path listed before with another label"


def _place(line: int, name: str, label: str, seen: dict[str, tuple[int, str, str]]) -> str:
    if not name:
        return f"line {line}"
    before, other, _ = seen.get(name, (line, label, ""))
    if label != other:
        return f"{name} (line {before} '{other}', line {line} '{label}')"
    return f"{name} (line {line})"


def _faults(
    folder: Path,
    name: str,
    label: str,
    split: str,
    seen: dict[str, tuple[int, str, str]],
    several: dict[str, list[str]],
) -> list[str]:
    """Return what is wrong with a row; seen: the line, label and set of each path before it.

    several: the files that a path may mean, where there are more than one
    """
    faults = []
    if not name:
        faults.append("without a path")
    elif name in seen:
        _, other, in_set = seen[name]
        if label != other:
            faults.append(_OTHER_LABEL)
        elif in_set != set_of(split):
            faults.append("with a path listed before in another set")
        else:
            faults.append("with a path listed before")
    elif name in several:
        faults.append(_SEVERAL)
    elif not os.path.isfile(folder / name):
        faults.append(_MISSING)
    if not label:
        faults.append("without a label")
    if split and not set_of(split):
        faults.append(f"with the unknown split '{split}' (known: train, val, test)")
    return faults
