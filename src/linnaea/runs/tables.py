"""A run's tables of predictions, used only where they fit the split that the run was made on."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from linnaea import reading
from linnaea.data.split_file import as_written, groups_hash, read_split, split_hash
from linnaea.errors import DataError
from linnaea.evaluation import clustered
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder

FILES = {"test": "predictions.csv", "val": "validation.csv"}
"""Which table is of which set."""

_NAMES = {"train": "training", "val": "validation", "test": "test"}
_CURE = "Restore the file, or train again."


def split_of(run: RunFolder) -> list[dict[str, str]] | None:
    """Return the rows of a run's split.csv, None where there is none.

    Raises DataError for a damaged one, one that is gone, and one whose hash is not that of run.json.
    """
    path = run.path / "split.csv"
    if not path.exists():
        # Without its groups, every interval and guarantee would come out too narrow.
        if run.info.data.split_hash is not None:
            raise DataError(f"{path} is missing; run.json keeps its hash.", _CURE)
        return None
    try:
        text = reading.read_bytes(path, reading.MAX_TABLE).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}).", _CURE) from error
    try:
        rows = read_split(text)
    except csv.Error as error:
        raise DataError(f"{path} is damaged ({error}).", _CURE) from error
    except DataError as error:
        raise DataError(f"{path}: {error.message}", error.cure) from error
    expected, received = run.info.data.split_hash, split_hash(rows)
    # Before any table is compared with it: somebody may have edited both alike.
    if expected is not None and expected != received:
        raise DataError(
            f"{path} is not the split that the run was made with: its hash is {received}, expected "
            f"{expected}.",
            _CURE,
        )
    expected = run.info.data.groups_hash
    if expected is not None and expected != groups_hash(rows):
        raise DataError(
            f"{path} does not have the groups that the run was made with, on which every interval rests.",
            _CURE,
        )
    return rows


def is_there(run: RunFolder, name: str) -> bool:
    """Return whether the run has the table of a set. Raises DataError where it had one, and has lost it."""
    there = (run.path / FILES[name]).exists()
    if not there and (fault := run.fault(FILES[name])):
        raise DataError(f"{fault}.", _CURE)
    return there


def write_table(run: RunFolder, name: str, table: Predictions) -> None:
    """Write the table of the "test" or "val" set."""
    run.write_text(FILES[name], table.to_csv())


def read_table(run: RunFolder, name: str, split: Sequence[dict[str, str]] | None) -> Predictions:
    """Return the table of the "test" or "val" set, with the content hashes and groups of the split.

    split: what split_of returned; None: the table is read as it stands.

    Raises DataError as Predictions.read_csv, and for a table that is not that of the set: the first line
    whose picture is not in it, is there twice or has another class, a picture without a row, columns
    that are not the classes of training, or any other change since the run wrote it.
    """
    path = run.path / FILES[name]
    is_there(run, name)  # or lost, which is another error than never written
    table = Predictions.read_csv(path)
    if split is not None:
        _check_classes(path, table, split)
        _check_pictures(path, table, split, name)
    # Last: what is checked above is reported in more detail.
    if fault := run.fault(FILES[name]):
        raise DataError(f"{fault}.", _CURE)
    if split is None:
        return table
    known = {row["path"]: row for row in split}
    hashes = tuple(known[picture]["hash"] for picture in table.paths)
    groups = clustered.numbered([known[picture]["group"] for picture in table.paths])
    return replace(table, hashes=hashes if all(hashes) else (), groups=groups)


def read_test_table(run: RunFolder) -> Predictions:
    """Return the table of the test set, checked against the run's split. Raises DataError as the above."""
    return read_table(run, "test", split_of(run))


def check_number(run: RunFolder, name: str, table: Predictions) -> None:
    """Raise DataError where run.json gives the set another number of pictures."""
    expected = run.info.data.splits.get(name)
    if expected is not None and expected != len(table):
        raise DataError(
            f"{run.path / FILES[name]} has {len(table):,} rows; run.json gives the {_NAMES[name]} set "
            f"{expected:,} pictures.",
            _CURE,
        )


def leaks_of(split: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Return run.json's "leaks", found again in the split; see data.split.Split.leaks for what leaks.

    {"pictures": paths in the test set, "n": how many, "validation": how many in the validation set}
    """
    written, ids = as_written(split)
    leaks = written.leaks(ids)
    test = [split[row]["path"] for row in leaks["test"]]
    return {"pictures": test, "n": len(test), "validation": len(leaks["val"])}


def recorded_leaks(run: RunFolder, table: Predictions) -> dict[str, Any] | None:
    """Return the leaks that run.json records, for a run without split; None where it records none.

    Raises DataError where they name a picture that is not in the table of the test set, or miscount.
    """
    leaks = run.info.leaks
    if leaks is None:
        return None
    pictures, in_table = leaks.pictures or [], set(table.paths)
    strange = [path for path in pictures if path not in in_table]
    if strange or leaks.n != len(pictures):
        miscounted = "" if strange else f"{leaks.n!r} of {len(pictures)}"
        what = miscounted or f"{strange[0]!r}, which is not a test picture"
        raise DataError(f"{run.path / 'run.json'} is not valid: leaks names {what}.", _CURE)
    return leaks.model_dump(exclude_unset=True)


def _check_classes(path: Path, table: Predictions, split: Sequence[dict[str, str]]) -> None:
    expected = sorted({row["label"] for row in split if row["split"] == "train"})
    if list(table.classes) != expected:
        pairs = zip([*table.classes, ""], [*expected, ""], strict=False)
        received, wanted = next(pair for pair in pairs if pair[0] != pair[1])
        raise DataError(
            f"{path}: the columns are not the {len(expected)} classes of training in their order; expected "
            f"{repr(wanted) if wanted else 'no more'}, received {repr(received) if received else 'no more'}.",
            _CURE,
        )


def _check_pictures(path: Path, table: Predictions, split: Sequence[dict[str, str]], name: str) -> None:
    known = {row["path"]: row for row in split}
    line_of: dict[str, int] = {}
    for line, (picture, true) in enumerate(zip(table.paths, table.true.tolist(), strict=True), start=2):
        row, fault = known.get(picture), ""
        if row is None:
            fault = f"{picture} is not in split.csv"
        elif row["split"] != name:
            fault = (
                f"{picture} is in the {_NAMES[row['split']]} set in split.csv, not in the {_NAMES[name]} set"
            )
        elif picture in line_of:
            fault = f"{picture} is in line {line_of[picture]} already"
        elif row["label"] != true:
            fault = f"{picture} has the true class '{true}', and '{row['label']}' in split.csv"
        if fault:
            raise DataError(f"{path}, line {line}: {fault}.", _CURE)
        line_of[picture] = line
    expected = [row["path"] for row in split if row["split"] == name]
    missing = [picture for picture in expected if picture not in line_of]
    if missing:
        raise DataError(
            f"{path} has no row for {missing[0]} of the {_NAMES[name]} set; "
            f"{len(missing):,} of {len(expected):,} rows are missing.",
            _CURE,
        )
