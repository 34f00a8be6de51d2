"""Decoded pictures, kept once, bounded: training takes a picture as an array, decoded once."""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

import numpy as np

from linnaea.data.dataset import Dataset
from linnaea.data.packs import DiskStore, Place, default_limit, forget
from linnaea.data.pictures import decode_picture, read_content, read_picture
from linnaea.errors import DataError
from linnaea.hashing import content_hash

Result = TypeVar("Result")


class MemoryStore:
    """Like DiskStore, in memory: for one process, gone with it."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = default_limit() if limit is None else limit
        self.places: dict[str, np.ndarray] = {}
        self.refusal = ""
        self._held = 0

    def __enter__(self) -> "MemoryStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __contains__(self, content_hash: str) -> bool:
        return content_hash in self.places

    def put(self, content_hash: str, picture: np.ndarray) -> None:
        """Keep one picture unless the limit is reached."""
        if self.refusal or content_hash in self.places:
            return
        if self._held + picture.nbytes > self.limit:
            self.refusal = f"the cache in memory is limited to {self.limit / 2**30:.3g} GiB"
            return
        self._held += picture.nbytes
        self.places[content_hash] = picture


Store = DiskStore | MemoryStore


class DecodedPictures(Sequence[np.ndarray]):
    """Picture i as uint8 (height, width, 3), RGB, upright, its shorter side at most `side` pixels.

    Reading is safe from several threads and after a fork. Arrays may be shared: do not write to them. A
    picture that is not kept, or whose copy was lost, is decoded from its file.

    Attributes
    ----------
    side: int or None
        None for pictures that came in memory: those are as they are.
    hashes: tuple of str
        Of the files' content (see fingerprints.content_hashes).
    kept: int
        How many need not be decoded again.
    nbytes: int
        Size of those.
    notes: tuple of str
        What a person should read: why pictures are not kept.
    """

    def __init__(
        self,
        places: Sequence[Place | np.ndarray | None],
        paths: Sequence[Path] = (),
        side: int | None = None,
        hashes: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.side = side
        self.hashes = tuple(hashes)
        self.notes = tuple(notes)
        self._places = list(places)
        self._paths = list(paths)
        # A checksum costs as much as the reading: once a picture is enough to notice a damaged disk.
        self._checked = np.zeros(len(self._places), bool)
        self._told = False

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> "DecodedPictures": ...
    def __getitem__(self, index: Any) -> Any:
        """Return one picture, or a slice of them as pictures not yet read.

        Raises DataError for a picture that is not kept and whose file is gone, changed or damaged by now.
        """
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        place = self._places[index]
        if isinstance(place, np.ndarray):
            # Digits are grey.
            return np.repeat(place[..., None], 3, axis=-1) if place.ndim == 2 else place
        if place is not None:
            picture = place.read(check=not self._checked[index])
            if picture is not None:
                self._checked[index] = True
                return picture
            self._lose(place)
        # The same arithmetic as for a picture that is kept: full or empty, a cache changes no result.
        known = self.hashes[index] if self.hashes else None
        return read_picture(self._paths[index], shortest_side=self.side, known=known)

    def select(self, rows: Iterable[int]) -> "DecodedPictures":
        """Return these pictures, in this order, without reading them."""
        rows = [int(row) for row in rows]
        return DecodedPictures(
            [self._places[row] for row in rows],
            [self._paths[row] for row in rows] if self._paths else (),
            self.side,
            [self.hashes[row] for row in rows] if self.hashes else (),
            self.notes,
        )

    @property
    def kept(self) -> int:
        """How many pictures need not be decoded again."""
        return sum(place is not None for place in self._places)

    @property
    def nbytes(self) -> int:
        """Size in bytes of the pictures that are kept."""
        return sum(place.nbytes for place in self._places if place is not None)

    def _lose(self, place: Place) -> None:
        # The whole pack: where one picture is damaged, asking for each of the others would cost as much.
        forget(place)
        self._places = [
            None if isinstance(other, Place) and other.pack == place.pack else other for other in self._places
        ]
        if not self._told:
            self._told = True
            warnings.warn(
                f"Decoded pictures in {place.pack} are lost or damaged; they are decoded from their files, "
                "and kept anew by the next run.",
                RuntimeWarning,
                stacklevel=3,
            )


def decoded(
    source: Dataset | Sequence[str | Path],
    side: int,
    *,
    workers: int = 2,
    progress: bool = False,
    where: Literal["disk", "memory"] = "disk",
    limit: int | None = None,
    scanned: bool = False,
) -> DecodedPictures:
    """Return the pictures of a data set, or of these files, each decoded at most once.

    Pictures are known by the hash of their file's bytes, so renamed, moved or reordered files and parts of a
    data set find what is there, and a changed file does not. Memory holds a few pictures a worker, however
    many there are.

    Parameters
    ----------
    source: Dataset or sequence of paths
        A data set that lives in memory (digits) is passed on as it is.
    side: int
        Pixels of the shorter side that pictures are reduced to; smaller ones stay as they are.
    workers: int
        Threads that read and decode; Pillow lets go of the interpreter meanwhile.
    progress: bool
        Show a bar on a terminal.
    where: "disk" or "memory"
        On disk, below LINNAEA_CACHE, shared by all processes and runs; or in this process.
    limit: int, optional
        Bytes: on disk of all data sets together, the least recently used making room. LINNAEA_CACHE_GIB or
        4 GiB by default. Pictures beyond it are decoded whenever they are asked for, and the notes say so.
    scanned: bool
        Whether problems.scan has found the pictures whole: those that there is no room for are then not
        decoded here only to see whether they can be.

    Raises DataError for a picture that cannot be read, before training and not in the middle of it.
    """
    if isinstance(source, Dataset) and source.pixels is not None:
        # Views, no copies.
        return DecodedPictures(list(source.pixels))
    if isinstance(source, Dataset):
        paths, names = source.files(range(len(source))), list(source.paths)
    else:
        paths = [Path(path) for path in source]
        names = [str(path) for path in paths]
    hashes = []
    with open_store(paths, side, where=where, limit=limit) as store:

        def read(path: Path, name: str) -> tuple[str, np.ndarray | None]:
            try:
                return read_into(store, side, path, name, check=not scanned)[1:]
            except OSError as error:
                raise DataError(
                    f"{name} could not be read ({error.strerror}).", "Restore it or leave it out."
                ) from error

        for picture_hash, picture in _bar(in_order(read, workers, paths, names), len(paths), progress):
            hashes.append(picture_hash)
            # Only this thread writes, one picture after the other, so a pack needs no order but this one.
            if picture is not None:
                store.put(picture_hash, picture)
    places = [store.places.get(picture_hash) for picture_hash in hashes]
    missing = sum(place is None for place in places)
    notes = []
    if missing:
        reason = store.refusal or "other pictures took their room"
        notes.append(
            f"{missing:,} of {len(places):,} pictures are decoded anew each time they are needed: {reason}."
        )
    return DecodedPictures(places, paths, side, hashes, notes)


def open_store(
    paths: Sequence[Path], side: int, *, where: str = "disk", limit: int | None = None
) -> DiskStore | MemoryStore:
    """Return the store for one pass over these files, to be entered as a context."""
    if side < 1:
        raise ValueError(f"side must be at least 1 pixel; got {side}")
    if where == "memory":
        return MemoryStore(limit)
    # By name and not by content, which is known only once everything has been read.
    key = content_hash(b"\0".join(os.fsencode(path.absolute()) for path in paths))
    return DiskStore(side, key, limit)


def read_into(
    store: Store | None, side: int | None, path: Path, name: str, *, check: bool = True
) -> tuple[bytes, str, np.ndarray | None]:
    """Return a file's bytes, their hash, and the decoded picture where the store lacks it and has room.

    Without a store or without room, check decodes at the smallest scale, only to see that it can be done: a
    JPEG's whole stream is read at any scale, in a third of the time.

    Raises DataError for a file that is no whole picture, OSError for one that cannot be read.
    """
    # Once from the disk, for the hash and for the decoder.
    content = read_content(path, name)
    picture_hash = content_hash(content)
    if store is not None and picture_hash in store:
        return content, picture_hash, None
    if store is not None and not store.refusal:
        return content, picture_hash, decode_picture(content, name, shortest_side=side)
    if check:
        decode_picture(content, name, enough=1)
    return content, picture_hash, None


def in_order(function: Callable[..., Result], workers: int, *items: Sequence[Any]) -> Iterator[Result]:
    """Yield function(*item) in the order of items, computed in threads a few items ahead.

    Unlike Executor.map, which starts everything at once, no more than four results a worker are waiting:
    memory does not grow with the number of items.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for arguments in zip(*items, strict=True):
                waiting.append(pool.submit(function, *arguments))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _bar(results: Iterator[Result], total: int, progress: bool) -> Iterable[Result]:
    from tqdm.auto import tqdm

    return tqdm(
        results,
        "Decode",
        total,
        unit=" pictures",
        leave=False,
        disable=None if progress else True,
        delay=1.0,
    )
