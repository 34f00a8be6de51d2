"""What is wrong with a data set, told before anything is trained on it."""

import contextlib
import functools
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from linnaea.data import cache
from linnaea.data.dataset import PARTS, Dataset, counted, listed
from linnaea.data.fingerprints import content_hashes
from linnaea.data.pictures import PECULIARITIES, peculiarities
from linnaea.errors import DataError, MissingExtraError

TINY = 5
"""A class with fewer pictures is pointed out: at 70/30 it is judged by one picture, which says nothing."""

SEVERITIES = ("error", "warning", "note")
UNUSABLE = ("unreadable", "missing_file")
"""The kinds whose pictures cannot be used at all."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    kind: str
        unreadable, missing_file, empty_class, one_class, tiny_class, missing_from_part, exact_duplicate or
        converted.
    severity: str
        "error": training cannot use these pictures (or none at all); "warning": it can, and should not;
        "note": worth knowing.
    paths: tuple of str
        The pictures, by their path in the data set.
    message: str
        One sentence for a person.
    """

    kind: str
    severity: str
    paths: tuple[str, ...]
    message: str


def scan(dataset: Dataset, *, side: int | None = None) -> list[Problem]:
    """Return what is wrong with a data set, errors first. Every picture file is read and decoded once.

    Pictures that cannot be used do not count towards their class, so a class of damaged pictures is an empty
    one.

    side: where training follows, what cache.decoded will be asked for. Pictures are then decoded to that size
    and kept, so that nothing is decoded twice; those that are kept already are not decoded here either.
    """
    # A picture that cannot be used has no hash: it can be nobody's duplicate.
    hashes, problems = _read_all(dataset, side)
    usable = np.array([bool(picture_hash) for picture_hash in hashes])
    problems += _class_problems(dataset, usable)
    problems += _part_problems(dataset, usable)
    problems += _duplicates(dataset, hashes)
    # sorted keeps the order within a severity: by kind, then by path.
    return sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))


def without(dataset: Dataset, paths: Iterable[str], reason: str = "left out") -> Dataset:
    """Return the data set without these pictures, and with a note that counts and names them."""
    gone = set(paths)
    keep = np.array([path not in gone for path in dataset.paths], dtype=bool)
    gone = {path for path, kept in zip(dataset.paths, keep, strict=True) if not kept}
    if not gone:
        return dataset
    # A class that lost its last picture is still a class the person meant to have.
    lost = sorted(set(dataset.class_names) - set(dataset.labels[keep].tolist()))
    return replace(
        dataset,
        paths=tuple(path for path, kept in zip(dataset.paths, keep, strict=True) if kept),
        labels=dataset.labels[keep],
        parts=None if dataset.parts is None else dataset.parts[keep],
        pixels=None if dataset.pixels is None else dataset.pixels[keep],
        notes=(*dataset.notes, f"{counted(len(gone), 'picture')} {reason} ({listed(sorted(gone), 3)})."),
        empty_classes=tuple(sorted({*dataset.empty_classes, *lost})),
    )


def leave_out_unusable(
    dataset: Dataset, *, strict: bool = False, side: int | None = None
) -> tuple[Dataset, list[Problem]]:
    """Return the data set without the pictures that cannot be read, and everything that scan found.

    The data set's notes count what was left out, and give the reason for each of the first ten.

    side: see scan.

    Raises DataError where strict and a picture cannot be read (all are counted, ten are told), and where
    fewer than two classes are left.
    """
    problems = scan(dataset, side=side)
    unusable = [problem for problem in problems if problem.kind in UNUSABLE]
    reasons = listed(problem.message.rstrip(".") for problem in unusable)
    if strict and unusable:
        raise DataError(
            f"{counted(len(unusable), 'picture')} cannot be read: {reasons}.",
            "Restore or remove them, or leave --strict out to go on without them.",
        )
    whole = without(
        dataset, (path for problem in unusable for path in problem.paths), "left out as unreadable"
    )
    if unusable:
        whole = replace(whole, notes=(*whole.notes, f"{reasons}."))
    for problem in problems:
        if problem.kind == "one_class":
            raise DataError(problem.message, "Telling pictures apart needs two classes or more.")
    return whole, problems


def _read_all(dataset: Dataset, side: int | None) -> tuple[list[str], list[Problem]]:
    """Return each picture's content hash ("" where it cannot be used) and the problems of reading."""
    if dataset.pixels is not None:
        return content_hashes(dataset), []
    files = dataset.files(range(len(dataset)))
    hashes: list[str] = []
    problems: list[Problem] = []
    peculiar: dict[str, list[str]] = {name: [] for name in PECULIARITIES}
    with contextlib.nullcontext() if side is None else cache.open_store(files, side) as store:
        read = functools.partial(_read_one, store, side)
        # Pillow lets go of the interpreter while it decodes, so threads share the work without copying
        # pictures.
        results = cache.in_order(read, min(4, os.cpu_count() or 1), files, dataset.paths)
        for path, result in zip(dataset.paths, _bar(results, len(dataset)), strict=True):
            hashes.append(result.hash)
            if result.problem is not None:
                problems.append(result.problem)
            if result.picture is not None and store is not None:
                store.put(result.hash, result.picture)
            for name in result.peculiar:
                peculiar[name].append(path)
    for name, paths in peculiar.items():
        if paths:
            verb = "is" if len(paths) == 1 else "are"
            message = f"{counted(len(paths), 'picture')} {verb} {PECULIARITIES[name]} ({listed(paths)})."
            problems.append(Problem("converted", "note", tuple(paths), message))
    return hashes, problems


@dataclass(frozen=True)
class _Result:
    """What reading one picture gave: no hash where it cannot be used; no picture where none is to be kept."""

    hash: str = ""
    picture: np.ndarray | None = None
    peculiar: tuple[str, ...] = ()
    problem: Problem | None = None


def _read_one(store: cache.Store | None, side: int | None, file: Path, path: str) -> _Result:
    try:
        content, picture_hash, picture = cache.read_into(store, side, file, path)
        return _Result(picture_hash, picture, peculiarities(content))
    except FileNotFoundError:
        problem = Problem("missing_file", "error", (path,), f"{path} does not exist.")
    except OSError as error:
        problem = Problem("unreadable", "error", (path,), f"{path} could not be read ({error.strerror}).")
    except MissingExtraError as error:
        problem = Problem("unreadable", "error", (path,), f"{path} is a HEIC picture. {error}")
    except DataError as error:
        problem = Problem("unreadable", "error", (path,), error.message)
    return _Result(problem=problem)


def _bar(results: Iterable[_Result], total: int) -> Iterable[_Result]:
    from tqdm.auto import tqdm

    return tqdm(results, "Scan", total, unit=" pictures", leave=False, disable=None, delay=1.0)


def _part_problems(dataset: Dataset, usable: np.ndarray) -> list[Problem]:
    """Compare the classes of official parts: what is not learned cannot be named, what is not judged can."""
    if dataset.parts is None:
        return []
    known = {part: set(dataset.labels[usable & (dataset.parts == part)].tolist()) for part in PARTS}
    everywhere = set.union(*known.values())
    problems = []
    for part in PARTS:
        lacking = sorted(everywhere - known[part])
        # A part that is not there at all is a matter of the layout, not of the classes.
        if lacking and known[part]:
            classes = counted(len(lacking), "class", "classes")
            verb = "has" if len(lacking) == 1 else "have"
            message = f"{classes} {verb} no usable picture in the {part} part: {listed(lacking)}."
            severity = "error" if part == "train" else "warning"
            problems.append(Problem("missing_from_part", severity, (), message))
    return problems


def _class_problems(dataset: Dataset, usable: np.ndarray) -> list[Problem]:
    problems = []
    names, counts = np.unique(dataset.labels[usable], return_counts=True)
    sizes = dict.fromkeys((*dataset.class_names, *dataset.empty_classes), 0)
    sizes.update(zip(names.tolist(), counts.tolist(), strict=True))
    with_pictures = [name for name, size in sizes.items() if size]
    if len(with_pictures) < 2:
        found = f"one class only, '{with_pictures[0]}'" if with_pictures else "no class"
        problems.append(
            Problem("one_class", "error", (), f"{dataset.source} has usable pictures of {found}.")
        )
    # Named with their paths, so that a page can show the pictures beside the sentence.
    for name, size in sorted(sizes.items()):
        paths = tuple(dataset.paths[row] for row in np.flatnonzero(usable & (dataset.labels == name)))
        if size == 0:
            problems.append(
                Problem("empty_class", "warning", (), f"The class '{name}' has no usable picture.")
            )
        elif size == 1:
            message = (
                f"The class '{name}' has one picture, which cannot be divided between training and test."
            )
            problems.append(Problem("tiny_class", "error", paths, message))
        elif size < TINY:
            message = f"The class '{name}' has {size} pictures, too few to judge it by."
            problems.append(Problem("tiny_class", "warning", paths, message))
    return problems


def _duplicates(dataset: Dataset, hashes: list[str]) -> list[Problem]:
    groups: dict[str, list[int]] = defaultdict(list)
    for row, picture_hash in enumerate(hashes):
        if picture_hash:
            groups[picture_hash].append(row)
    problems = []
    for rows in groups.values():
        if len(rows) > 1:
            paths = tuple(sorted(dataset.paths[row] for row in rows))
            labels = sorted({str(dataset.labels[row]) for row in rows})
            message = f"{len(rows)} pictures are the same, byte for byte: {listed(paths)}"
            if len(labels) > 1:
                message += f"; their labels differ ({listed(labels)})"
            problems.append(Problem("exact_duplicate", "warning", paths, f"{message}."))
    return problems
