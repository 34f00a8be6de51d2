"""One pass over the pictures of a data set: each file is read once, for all that will be asked of it."""

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from linnaea.data.cache import DecodedPictures, Store, from_store
from linnaea.data.classes import class_problems, split_problems
from linnaea.data.dataset import Dataset
from linnaea.data.decoding import ValueRange, decode_picture, fit_picture, read_content
from linnaea.data.duplicates import NEAR, find_copies
from linnaea.data.fingerprints import content_hashes
from linnaea.data.flatten import ENOUGH_FOR, pixel_array
from linnaea.data.headers import PECULIARITIES
from linnaea.data.problems import UNUSABLE, Problem, by_severity
from linnaea.data.quality import (
    ENOUGH,
    PictureStatistics,
    picture_statistics,
    pixel_problems,
    quality_problems,
)
from linnaea.data.value_range import Asked, find_range, in_words
from linnaea.errors import DataError, MissingExtraError
from linnaea.hashing import content_hash
from linnaea.machine import in_order
from linnaea.progress_bar import ProgressBar
from linnaea.text import counted, listed, option, plural


@dataclass(frozen=True, eq=False)
class Scan:
    """What one reading of each picture of a data set gave.

    dataset: Dataset
        Of n pictures, with the range that those of more than 8 bits were read with.
    hashes: tuple of str, (n,)
        Of the content of each: of its file's bytes, or of its pixels in memory; "" where it cannot be used.
    copies: ndarray of int64, (n,)
        Equal for pictures that are the same, exactly or nearly.
    scenes: ndarray of int64, (n,)
        Equal for pictures of one scene: of one background with other things in it, or copies.
    problems: tuple of Problem
        What is wrong with the data set, errors first. A selection keeps those of the whole.
    taken: tuple of (str, float) or None, (n,)
        Camera and moment of each photograph (see headers.Header); None where its file does not say.
    brightness: ndarray of float, (n,)
        Mean of the levels of each, 0 to 255; NaN where it cannot be used.
    photographs: DecodedPictures or None
        The pictures as a network takes them that sees them at any size: where a side was asked for.
    squares: ndarray of uint8, (n, size, size) or (n, size, size, 3), or None
        The pictures as a network takes them that learns from vectors: where a size was asked for. Those that
        cannot be used are black.
    """

    dataset: Dataset
    hashes: tuple[str, ...]
    copies: np.ndarray
    scenes: np.ndarray
    problems: tuple[Problem, ...]
    taken: tuple[tuple[str, float] | None, ...]
    brightness: np.ndarray
    photographs: DecodedPictures | None = None
    squares: np.ndarray | None = None

    def select(self, rows: Sequence[int] | np.ndarray) -> "Scan":
        """Return the scan of these pictures, in this order. Nothing is read again."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            dataset=self.dataset.select(rows),
            hashes=tuple(self.hashes[row] for row in rows.tolist()),
            copies=self.copies[rows],
            scenes=self.scenes[rows],
            taken=tuple(self.taken[row] for row in rows.tolist()),
            brightness=self.brightness[rows],
            photographs=None if self.photographs is None else self.photographs.select(rows),
            squares=None if self.squares is None else self.squares[rows],
        )


def scan(
    dataset: Dataset,
    *,
    side: int | None = None,
    size: int | None = None,
    colour: bool = False,
    value_range: Asked | None = "auto",
    copies: str = NEAR,
    given_split: bool = True,
) -> Scan:
    """Read every picture of a data set once: what it is, what is wrong with it, and what training will take.

    Pictures that cannot be used do not count towards their class, so a class of damaged pictures is an empty
    one. Pictures in memory (digits) and small files are compared byte for byte only, and a note says so.

    Parameters
    ----------
    side: int, optional
        For `photographs`: the shorter side in pixels. They are decoded to it and kept on the disk (see
        cache.Store); those that are kept already are not decoded here either.
    size, colour: int, optional, and bool
        For `squares`: see fit_picture.
    value_range: "auto", (float, float), "picture" or None
        What numbers of more than 8 bits are read with (see read_picture); "auto": one range for all pictures,
        found from a sample of them, and named in the data set's notes.
    copies: str
        What counts as a copy (duplicates.COPIES).
    given_split: bool
        Whether the split that comes with the data set is to be used. Where it is not, nothing is wrong with
        it.
    """
    dataset = _with_value_range(dataset, value_range)
    if dataset.pixels is not None:
        read = _Read(content_hashes(dataset), [None] * len(dataset))
        read.problems = pixel_problems(dataset.paths, dataset.labels.astype(str).tolist(), dataset.pixels)
        if side is not None:
            read.photographs = DecodedPictures(list(dataset.pixels))
        if size is not None:
            read.squares = pixel_array(dataset, range(len(dataset)), size, colour)
    else:
        read = _read_files(dataset, side, size, colour)
    # A picture that cannot be used has no hash: it can be nobody's duplicate.
    usable = np.array([bool(picture_hash) for picture_hash in read.hashes], dtype=bool)
    small = {row: each.small for row, each in read.statistics.items() if each.small is not None}
    judged = dataset if given_split else replace(dataset, splits=None)
    same, scenes, copy_problems = find_copies(judged, read.hashes, small, copies)
    problems = [
        *read.problems,
        *class_problems(dataset, usable),
        *split_problems(judged, usable),
        *copy_problems,
        *quality_problems(
            [dataset.paths[row] for row in read.statistics],
            [str(dataset.labels[row]) for row in read.statistics],
            list(read.statistics.values()),
        ),
    ]
    return Scan(
        dataset,
        tuple(read.hashes),
        same,
        scenes,
        tuple(by_severity(problems)),
        tuple(read.taken),
        _brightness(dataset, read),
        read.photographs,
        read.squares,
    )


def leave_out_unusable(scan: Scan, *, strict: bool = False) -> Scan:
    """Return the scan without the pictures that cannot be used; its problems are those of the whole.

    The data set's notes count what was left out, and give the reason for each of the first ten.

    Raises DataError where strict and a picture cannot be used (all are counted, ten are listed), and where
    fewer than two classes are left.
    """
    unusable = [problem for problem in scan.problems if problem.kind in UNUSABLE]
    reasons = listed(problem.message.rstrip(".") for problem in unusable)
    pictures = counted(sum(len(problem.paths) for problem in unusable), "picture")
    if strict and unusable:
        raise DataError(
            f"{pictures} cannot be read: {reasons}.",
            f"Restore or remove them, or leave {option('strict')} out to continue without them.",
        )
    for problem in scan.problems:
        if problem.kind == "one_class":
            why = f" {pictures} cannot be read: {reasons}." if unusable else ""
            raise DataError(f"{problem.message}{why}", "Classification needs two classes or more.")
    if not unusable:
        return scan
    whole = scan.select([row for row, picture_hash in enumerate(scan.hashes) if picture_hash])
    paths = listed(sorted(path for problem in unusable for path in problem.paths), 3)
    notes = f"{pictures} left out as unreadable ({paths}).", f"{reasons}."
    return replace(whole, dataset=replace(whole.dataset, notes=(*whole.dataset.notes, *notes)))


def _with_value_range(dataset: Dataset, asked: Asked | None) -> Dataset:
    """Return the data set with the range that numbers of more than 8 bits are read with."""
    if asked != "auto":
        return replace(dataset, value_range=asked)
    # In the order in which every draw meets them: wherever the folder lies, the sample is the same.
    found = None if dataset.root is None else find_range(dataset.files(dataset.by_path()))
    if found is None:
        return replace(dataset, value_range=None)
    value_range, pictures, fills = found
    without = f", without {listed([f'{fill:,.6g}' for fill in fills])}, taken for no value" if fills else ""
    note = (
        f"Pictures of more than 8 bits are read on one scale, {in_words(value_range)} from black to white"
        f"{without} (found from {pictures:,} of them; {option('value_range')} sets another)."
    )
    return replace(dataset, value_range=value_range, notes=(*dataset.notes, note))


def _brightness(dataset: Dataset, read: "_Read") -> np.ndarray:
    if dataset.pixels is not None:
        return dataset.pixels.mean(axis=tuple(range(1, dataset.pixels.ndim)))
    means = [
        read.statistics[row].brightness if row in read.statistics else np.nan for row in range(len(dataset))
    ]
    return np.array(means, dtype=np.float64)


@dataclass
class _Read:
    """What reading the pictures gave, in their order; statistics by row, of those that can be used."""

    hashes: list[str] = field(default_factory=list)
    taken: list[tuple[str, float] | None] = field(default_factory=list)
    statistics: dict[int, PictureStatistics] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    photographs: DecodedPictures | None = None
    squares: np.ndarray | None = None


def _read_files(dataset: Dataset, side: int | None, size: int | None, colour: bool) -> _Read:
    files = dataset.files(range(len(dataset)))
    read = _Read()
    if size is not None:
        read.squares = np.zeros((len(files), size, size, *([3] if colour else [])), np.uint8)
    peculiar: dict[str, list[str]] = {name: [] for name in PECULIARITIES}
    with (
        contextlib.nullcontext() if side is None else Store(side, files, dataset.value_range) as store,
        ProgressBar("Scan", len(files), unit="pictures", passing=True, patient=True) as bar,
    ):
        read_one = functools.partial(_read_one, store, size, colour, dataset.value_range)
        # Pillow lets go of the interpreter while it decodes, so threads share the work without copying
        # pictures.
        results = in_order(read_one, files, dataset.paths)
        for row, result in enumerate(results):
            read.hashes.append(result.hash)
            read.taken.append(None if result.statistics is None else result.statistics.header.taken)
            if result.problem is not None:
                read.problems.append(result.problem)
            # Only this thread writes, one picture after the other, so a pack needs no order but this one.
            if result.picture is not None and store is not None:
                store.put(result.hash, result.picture)
            if result.square is not None and read.squares is not None:
                read.squares[row] = result.square
            if result.statistics is not None:
                read.statistics[row] = result.statistics
                for name in result.statistics.header.peculiarities:
                    peculiar[name].append(dataset.paths[row])
            bar.update()
    read.problems = _joined(read.problems)
    if store is not None:
        read.photographs = from_store(store, files, read.hashes)
    for name, paths in peculiar.items():
        if paths:
            verb = plural(len(paths), "is", "are")
            done = PECULIARITIES[name]
            if name == "16-bit" and dataset.value_range is not None:
                done += f", {in_words(dataset.value_range)} from black to white"
            message = f"{counted(len(paths), 'picture')} {verb} {done} ({listed(paths)})."
            read.problems.append(Problem("converted", "note", tuple(paths), message))
    return read


def _joined(problems: list[Problem]) -> list[Problem]:
    """Return the problems with those of the same words as one: what must be installed is said once."""
    paths: dict[str, list[str]] = {}
    for problem in problems:
        paths.setdefault(problem.message, []).extend(problem.paths)
    joined = []
    for problem in problems:
        if (same := paths.pop(problem.message, None)) is None:
            continue
        if len(same) > 1:
            message = f"{counted(len(same), 'picture')}, {listed(same, 3)}: {problem.message}"
            problem = replace(problem, paths=tuple(same), message=message)
        joined.append(problem)
    return joined


@dataclass(frozen=True)
class _Result:
    """What reading one file gave: no hash where it cannot be used; no picture where none is to be put."""

    hash: str = ""
    problem: Problem | None = None
    statistics: PictureStatistics | None = None
    picture: np.ndarray | None = None
    square: np.ndarray | None = None


def _read_one(
    store: Store | None,
    size: int | None,
    colour: bool,
    value_range: ValueRange | None,
    file: Path,
    path: str,
) -> _Result:
    """Read one file; safe from several threads."""
    if "\r" in path:
        # Python writes it into a CSV unquoted (before 3.13), and reads two lines from it.
        message = f"{path} has a carriage return in its name, which a table cannot contain; rename it."
        return _Result(problem=Problem("unreadable", "error", (path,), message))
    try:
        # Once from the disk, for the hash and for every decoder.
        content = read_content(file, path)
        picture_hash = content_hash(content)
        picture = None if store is None else store.decode(content, picture_hash, path)
        seen = picture if picture is not None or store is None else store.kept(picture_hash)
        if seen is None:
            # At 1/2 to 1/8 of its size, where a JPEG is decoded several times faster.
            seen = decode_picture(content, path, enough=ENOUGH, value_range=value_range)
        square = None
        if size is not None:
            whole = decode_picture(content, path, enough=ENOUGH_FOR * size, value_range=value_range)
            square = fit_picture(whole, size, colour)
        return _Result(picture_hash, None, picture_statistics(content, seen), picture, square)
    except FileNotFoundError:
        problem = Problem("missing_file", "error", (path,), f"{path} does not exist.")
    except OSError as error:
        problem = Problem("unreadable", "error", (path,), f"{path} could not be read ({error.strerror}).")
    except MissingExtraError as error:
        # The same words for each, so that they are said once (_joined).
        problem = Problem("unreadable", "error", (path,), str(error))
    except DataError as error:
        problem = Problem("unreadable", "error", (path,), error.message)
    return _Result(problem=problem)
