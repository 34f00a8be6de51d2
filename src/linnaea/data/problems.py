"""What is wrong with a data set, told before anything is trained on it."""

import os
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from linnaea.data.dataset import Dataset, counted, listed
from linnaea.data.fingerprints import content_hash, content_hashes
from linnaea.data.pictures import decode_picture
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
        unreadable, missing_file, empty_class, one_class, tiny_class or exact_duplicate.
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


def scan(dataset: Dataset) -> list[Problem]:
    """Return what is wrong with a data set, errors first. Every picture file is read and decoded once.

    Pictures that cannot be used do not count towards their class, so a class of damaged pictures is an empty
    one.
    """
    # A picture that cannot be used has no hash: it can be nobody's duplicate.
    hashes, problems = _read_all(dataset)
    usable = np.array([bool(picture_hash) for picture_hash in hashes])
    problems += _class_problems(dataset, usable)
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


def leave_out_unusable(dataset: Dataset, *, strict: bool = False) -> tuple[Dataset, list[Problem]]:
    """Return the data set without the pictures that cannot be read, and everything that scan found.

    Raises DataError where strict and a picture cannot be read (all are counted, ten are told), and where
    fewer than two classes are left.
    """
    problems = scan(dataset)
    unusable = [problem for problem in problems if problem.kind in UNUSABLE]
    if strict and unusable:
        reasons = listed(problem.message.rstrip(".") for problem in unusable)
        raise DataError(
            f"{counted(len(unusable), 'picture')} cannot be read: {reasons}.",
            "Restore or remove them, or leave --strict out to go on without them.",
        )
    whole = without(
        dataset, (path for problem in unusable for path in problem.paths), "left out as unreadable"
    )
    for problem in problems:
        if problem.kind == "one_class":
            raise DataError(problem.message, "Telling pictures apart needs two classes or more.")
    return whole, problems


def _read_all(dataset: Dataset) -> tuple[list[str], list[Problem]]:
    """Return each picture's content hash ("" where it cannot be used) and the problems of reading."""
    from tqdm.auto import tqdm

    if dataset.pixels is not None:
        return content_hashes(dataset), []
    hashes, problems = [], []
    # Pillow lets go of the interpreter while it decodes, so threads share the work without copying pictures.
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(_read_one, dataset.files(np.arange(len(dataset))), dataset.paths)
        for picture_hash, problem in tqdm(
            results, "Scan", len(dataset), unit=" pictures", leave=False, disable=None, delay=1.0
        ):
            hashes.append(picture_hash)
            if problem is not None:
                problems.append(problem)
    return hashes, problems


def _read_one(file: Path, path: str) -> tuple[str, Problem | None]:
    try:
        content = file.read_bytes()
        # JPEG's whole stream is read at any scale, so the smallest shows damage as well as the full one, in a
        # third of the time.
        decode_picture(content, path, enough=1)
    except FileNotFoundError:
        return "", Problem("missing_file", "error", (path,), f"{path} does not exist.")
    except OSError as error:
        return "", Problem("unreadable", "error", (path,), f"{path} could not be read ({error.strerror}).")
    except MissingExtraError as error:
        return "", Problem("unreadable", "error", (path,), f"{path} is a HEIC picture. {error}")
    except DataError as error:
        return "", Problem("unreadable", "error", (path,), error.message)
    return content_hash(content), None


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
