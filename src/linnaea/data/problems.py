"""What is wrong with a data set, told before anything is trained on it."""

import contextlib
import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from linnaea.data import cache, classes, duplicates
from linnaea.data.dataset import Dataset
from linnaea.data.findings import UNUSABLE, Problem, by_severity
from linnaea.data.fingerprints import content_hashes
from linnaea.data.pictures import PECULIARITIES, decode_picture, peculiarities
from linnaea.data.quality import ENOUGH, Look, even_pictures, look_at, quality_problems, small_pictures
from linnaea.errors import DataError, MissingExtraError
from linnaea.machine import usable_cores
from linnaea.text import counted, listed


def scan(dataset: Dataset, *, side: int | None = None) -> list[Problem]:
    """Return what is wrong with a data set, errors first. Every picture file is read and decoded once.

    Pictures that cannot be used do not count towards their class, so a class of damaged pictures is an empty
    one. Pictures in memory (digits) and small files are compared byte for byte only, and a note says so.

    side: where training follows, what cache.decoded will be asked for. Pictures are then decoded to that size
    and kept, so that nothing is decoded twice; those that are kept already are not decoded here either.
    """
    read = _read_all(dataset, side)
    # A picture that cannot be used has no hash: it can be nobody's duplicate.
    usable = np.array([bool(picture_hash) for picture_hash in read.hashes], dtype=bool)
    return by_severity(
        [
            *read.problems,
            *classes.class_problems(dataset, usable),
            *classes.part_problems(dataset, usable),
            *_duplicates(dataset, read),
            *quality_problems([dataset.paths[row] for row in read.looks], list(read.looks.values())),
        ]
    )


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


@dataclass
class _Read:
    """What reading gave: each picture's content hash ("" where it cannot be used), and a look at it."""

    hashes: list[str] = field(default_factory=list)
    looks: dict[int, Look] = field(default_factory=dict)  # row → look
    problems: list[Problem] = field(default_factory=list)


def _read_all(dataset: Dataset, side: int | None) -> _Read:
    if dataset.pixels is not None:
        return _Read(content_hashes(dataset), problems=_in_memory(dataset))
    files = dataset.files(range(len(dataset)))
    read = _Read()
    peculiar: dict[str, list[str]] = {name: [] for name in PECULIARITIES}
    with contextlib.nullcontext() if side is None else cache.open_store(files, side) as store:
        read_one = functools.partial(_read_one, store, side)
        # Pillow lets go of the interpreter while it decodes, so threads share the work without copying
        # pictures.
        results = cache.in_order(read_one, usable_cores(), files, dataset.paths)
        for row, result in enumerate(_bar(results, len(dataset))):
            read.hashes.append(result.hash)
            if result.problem is not None:
                read.problems.append(result.problem)
            if result.picture is not None and store is not None:
                store.put(result.hash, result.picture)
            if result.look is not None:
                read.looks[row] = result.look
            for name in result.peculiar:
                peculiar[name].append(dataset.paths[row])
    for name, paths in peculiar.items():
        if paths:
            verb = "is" if len(paths) == 1 else "are"
            message = f"{counted(len(paths), 'picture')} {verb} {PECULIARITIES[name]} ({listed(paths)})."
            read.problems.append(Problem("converted", "note", tuple(paths), message))
    return read


def _in_memory(dataset: Dataset) -> list[Problem]:
    """Return what a look at pixels in memory tells: they are small, and looked at all at once."""
    pixels = dataset.pixels
    if pixels is None or not len(pixels):
        return []
    problems = even_pictures(dataset.paths, pixels)
    if min(pixels.shape[1:3]) < duplicates.SMALLEST:
        problems.append(small_pictures(len(pixels)))
    return problems


@dataclass(frozen=True)
class _Result:
    """What reading one picture gave: no hash where it cannot be used; no picture where none is to be kept."""

    hash: str = ""
    picture: np.ndarray | None = None
    peculiar: tuple[str, ...] = ()
    problem: Problem | None = None
    look: Look | None = None


def _read_one(store: cache.Store | None, side: int | None, file: Path, path: str) -> _Result:
    if "\r" in path:
        # Python writes it into a CSV unquoted (before 3.13), and reads two lines from it.
        message = f"{path} has a carriage return in its name, which no table can hold; rename it."
        return _Result(problem=Problem("unreadable", "error", (path,), message))
    try:
        content, picture_hash, picture = cache.read_into(store, side, file, path, check=False)
        seen = picture
        if seen is None and store is not None:
            seen = _kept(store, picture_hash)
        if seen is None:
            # At 1/2 to 1/8 of its size, where a JPEG is decoded several times faster.
            seen = decode_picture(content, path, enough=ENOUGH)
        return _Result(picture_hash, picture, peculiarities(content), look=look_at(content, seen))
    except FileNotFoundError:
        problem = Problem("missing_file", "error", (path,), f"{path} does not exist.")
    except OSError as error:
        problem = Problem("unreadable", "error", (path,), f"{path} could not be read ({error.strerror}).")
    except MissingExtraError as error:
        problem = Problem("unreadable", "error", (path,), f"{path} is a HEIC picture. {error}")
    except DataError as error:
        problem = Problem("unreadable", "error", (path,), error.message)
    return _Result(problem=problem)


def _kept(store: cache.Store, picture_hash: str) -> np.ndarray | None:
    place = store.places.get(picture_hash)
    return place if place is None or isinstance(place, np.ndarray) else place.read(check=False)


def _bar(results: Iterable[_Result], total: int) -> Iterable[_Result]:
    from tqdm.auto import tqdm

    return tqdm(results, "Scan", total, unit=" pictures", leave=False, disable=None, delay=1.0)


def _duplicates(dataset: Dataset, read: _Read) -> list[Problem]:
    """Return the problems of each group of pictures that are the same, exact or near."""
    exact = duplicates.exact_pairs(read.hashes)
    again = {second for _, second in exact}
    rows = [row for row, look in read.looks.items() if look.hashes is not None and row not in again]
    near = []
    if rows:
        looks = [read.looks[row] for row in rows]
        pairs = duplicates.near_pairs(
            np.stack([look.hashes for look in looks if look.hashes is not None]),
            np.stack([look.thumbnail for look in looks if look.thumbnail is not None]),
        )
        near = [(rows[first], rows[second]) for first, second in pairs]
    numbers = duplicates.joined(len(dataset), [*exact, *near])
    groups: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(numbers.tolist()):
        groups[number].append(row)
    found = [
        problem
        for group in groups.values()
        if len(group) > 1
        for problem in _group_problems(dataset, read.hashes, group)
    ]
    if len(rows) > duplicates.MOST_WITH_VIEWS:
        message = (
            "Near copies were looked for among whole pictures and their mirror images, not among crops: "
            f"there are {len(rows):,} different pictures, and crops are compared up to "
            f"{duplicates.MOST_WITH_VIEWS:,}."
        )
        found.append(Problem("crops_not_searched", "note", (), message))
    return found


def _group_problems(dataset: Dataset, hashes: Sequence[str], rows: list[int]) -> list[Problem]:
    """Return what is wrong with copies of one picture: a leak, a doubtful label, both, or just copies."""
    paths = tuple(sorted(dataset.paths[row] for row in rows))
    labels = sorted({str(dataset.labels[row]) for row in rows})
    held = {str(dataset.parts[row]) for row in rows} if dataset.parts is not None else set()
    parts = sorted(part for part in held if part)
    exact = len({hashes[row] for row in rows}) == 1
    kind = "exact_duplicate" if exact else "near_duplicate"
    same = "are the same, byte for byte" if exact else "are the same picture, nearly"
    message = f"{len(rows)} pictures {same}: {listed(paths)}"
    found = []
    if len(parts) > 1:
        # Whoever knows a test picture already is not tested by it.
        severity = "error" if "test" in parts else "warning"
        told = f"{message}; they lie in different parts ({listed(parts)})."
        found.append(Problem(f"{kind}_across_parts", severity, paths, told))
    if len(labels) > 1:
        told = f"{message}; their labels differ ({listed(labels)})."
        found.append(Problem(f"{kind}_across_classes", "warning", paths, told))
    return found or [Problem(kind, "warning", paths, f"{message}.")]
