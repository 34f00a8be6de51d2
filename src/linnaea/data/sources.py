"""A name or a path becomes a Dataset."""

import os
from pathlib import Path

from linnaea.data import flowers102, folders, mnist, number_tables, tables
from linnaea.data.dataset import Dataset
from linnaea.data.layouts import AUTO
from linnaea.errors import UsageError, did_you_mean, printable
from linnaea.text import is_unicode, option

NAMES = ("digits", "mnist", "flowers102")
"""The data sets that are known by name."""
TABLES = (".csv", ".tsv", ".tab", ".txt")
"""The endings of a file that may be a table; Excel calls its "Unicode text" .txt."""


def check_source(source: str | Path) -> None:
    """Raise UsageError, with the nearest names, for what is neither a name nor a path that exists.

    And for a name that is not Unicode, of a path or of the working directory.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(
            f"The data is a {type(source).__name__}, and a name or a path is needed.",
            "Write a table to a CSV file with the columns path and label, and pass its path; what is in "
            "memory is for the fit of a classifier.",
        )
    if not str(source).strip():
        raise UsageError(
            "The name of the data is empty.", f"Known are: {', '.join(NAMES)}, a folder, or a CSV file."
        )
    # Of the data, and of where a command was given: a run records both.
    for place in (str(source), os.getcwd()):
        if not is_unicode(place):
            raise UsageError(
                f"The name of the folder {printable(place)} is not Unicode, and no run can record it.",
                "Rename it, for example with convmv -f latin1 -t utf8 --notest.",
            )
    path = Path(source).expanduser()
    if source not in NAMES and not path.exists():
        raise _unknown(str(source), path)


def open_dataset(
    source: str | Path,
    *,
    data_dir: Path | None = None,
    strict: bool = False,
    layout: str | None = None,
    label_column: str | None = None,
) -> Dataset:
    """Return the labelled pictures of a named data set, a folder or a CSV file, without decoding them.

    Parameters
    ----------
    source: str or Path
        "digits" (5,000 MNIST digits that come with a dependency), "mnist" (all 70,000, found or fetched),
        "flowers102" (8,189 photographs or some of them, found or fetched), a folder (one folder a class,
        perhaps in train/, val/ and test/), or a CSV file with the columns path, label and perhaps split. A
        name wins over a folder of that name, which is written ./mnist.
    data_dir: Path, optional
        Where the files of a named data set lie.
    strict: bool
        Refuse a source from which files would be left out, rather than noting them.
    layout: str, optional
        What the folders of a folder are, from the outside in: "class", "split/class", "class/split",
        "folder/class" and the like. Default: found by their names and by what they hold, and asked for where
        they may mean more than one thing.

    label_column: str, optional
        The column of a CSV with the classes. Default: label, or what else it may be called.

    Raises UsageError for an unknown name, DataError for a source that cannot be used.
    """
    check_source(source)
    folder = None if data_dir is None else Path(data_dir)
    if isinstance(source, str):
        if source == "digits":
            return mnist.open_digits()
        if source == "mnist":
            return mnist.open_mnist(folder)
        if source == "flowers102":
            return flowers102.open_flowers102(folder, strict=strict)
    path = Path(source).expanduser()
    if label_column is not None and (path.is_dir() or source in NAMES):
        raise UsageError(
            f"{option('label_column')} is '{label_column}', and {source} is no table.",
            f"Leave {option('label_column')} out.",
        )
    if path.is_dir():
        return folders.open_folder(path, str(source), strict=strict, layout=layout or AUTO)
    if path.exists():
        # A pipe or a device with a table's name is the reader's to refuse.
        if path.suffix.lower() in TABLES:
            numbers = number_tables.open_numbers(path, str(source), label_column)
            return numbers or tables.open_table(path, str(source), label_column)
        raise UsageError(
            f"{source} is neither a folder of pictures nor a CSV file.",
            "Give a folder with one folder for each class, or a CSV file with the columns path and label.",
        )
    raise _unknown(str(source), path)


def _unknown(source: str, path: Path) -> UsageError:
    folder = path.parent
    try:
        beside = sorted(
            entry for entry in folder.iterdir() if not entry.name.startswith(".") and _could_be_meant(entry)
        )
    except OSError:
        beside = []
    # Neighbours are named the way the user wrote it: relative, absolute, with or without a folder before.
    neighbours = [entry.name if str(folder) == "." else str(entry) for entry in beside]
    hint = did_you_mean(source.rstrip("/"), [*NAMES, *neighbours])
    if not hint.startswith("Did"):
        # A whole directory listing would help nobody.
        hint = f"Known are: {', '.join(NAMES)}, a folder with one folder a class, or a CSV file."
    return UsageError(f"There is no data set or folder '{source}'.", hint)


def _could_be_meant(entry: Path) -> bool:
    return entry.is_dir() or entry.suffix.lower() in {".csv", ".tsv"}
