"""Decoded pictures, kept on the disk, bounded: a picture that many epochs and runs need is decoded once.

They are known by the hash of their file's bytes, the side, and the range that numbers of more than 8 bits
are read with, so renamed, moved or reordered files and parts of a data set
find what is there, and a changed file does not. The least recently used make room for new ones.

Many pictures lie in one shard, which is two files: NAME.bin holds them one after another as raw RGB,
NAME.json says which. The index is written last and a shard never changes afterwards, so that what has an
index is whole; a name is never used twice. A checksum for each picture tells what the disk has lost since.
"""

import contextlib
import json
import os
import shutil
import time
import uuid
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from linnaea import files
from linnaea.data.decoding import ValueRange, decode_picture, read_content, read_picture
from linnaea.data.downloads import cache_folder
from linnaea.errors import DataError, LinnaeaError, SettingError
from linnaea.hashing import content_hash
from linnaea.machine import in_order

VERSION = 2
"""Of the files and of how pictures are decoded: another number never reads what this one wrote."""

LIMIT_VARIABLE = "LINNAEA_CACHE_GIB"
DEFAULT_LIMIT = 4.0  # GiB of all shards together: 16,000 photographs whose shorter side is 256 pixels
RESERVE = 512 << 20  # bytes left free on the disk: a run folder must still find room
STALE = 3600.0  # seconds after which an unfinished file belongs to a process that died
PATIENCE = 900.0  # seconds to wait for another process; the lock saves double work, nothing breaks without it
_MOST_SHARDS = (
    64  # one more is made whenever pictures were added; the oldest are made anew rather than searched
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one decoded picture lies, and the CRC-32 of its bytes."""

    shard: Path
    offset: int
    height: int
    width: int
    crc: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.height * self.width * 3

    def read(self, *, check: bool = True) -> np.ndarray | None:
        """Return the picture, uint8 (height, width, 3), or None where the shard is gone or damaged."""
        # Read rather than mapped: the pages of a map count as the process's memory until the system wants
        # them back, so a training run would seem to need as much as its data set; and a file cut short under
        # a map kills the process. Opened each time (some microseconds): nothing to inherit, pickle or close.
        picture = np.empty((self.height, self.width, 3), np.uint8)
        try:
            with open(self.shard, "rb", buffering=0) as file:
                file.seek(self.offset)
                received = file.readinto(picture.reshape(-1).data)
        except OSError:
            return None
        if received != self.nbytes or (check and zlib.crc32(picture.data) != self.crc):
            return None
        return picture


class Store:
    """The shards of one size, open for one pass over a data set; new pictures go into one new shard.

    Used as a context: entering waits for another process that works on the same data set, leaving publishes
    what was put. A disk that refuses is no error: nothing is kept from then on, and `refusal` says why.

    Parameters
    ----------
    side: int
        Of which the pictures are (see decode_picture's shortest_side).
    paths: sequence of Path
        The files of the data set: two passes over the same wait for each other.
    value_range: (float, float), "picture" or None
        What their numbers of more than 8 bits are read with (see read_picture).

    All shards of all sizes together have at most LINNAEA_CACHE_GIB, or 4 GiB.
    """

    def __init__(self, side: int, paths: Sequence[Path], value_range: ValueRange | None = None) -> None:
        if side < 1:
            raise ValueError(f"side must be at least 1 pixel; got {side}")
        self.side = side
        self.value_range = value_range
        self.root = cache_folder() / "pictures"
        self.folder = self.root / f"v{VERSION}-{side}{_ending(value_range)}"
        self.limit = _limit()
        self.places: dict[str, Place] = {}
        self.refusal = ""
        # By name and not by content, which is known only once everything has been read.
        self._key = content_hash(b"\0".join(os.fsencode(path.absolute()) for path in paths))
        self._in_use: set[Path] = set()
        self._shard = self.folder / f"{uuid.uuid4().hex}.bin"
        self._file: Any = None
        self._new: dict[str, Place] = {}
        self._written = 0
        self._others = 0  # bytes of the shards that are there

    def __enter__(self) -> "Store":
        import filelock

        # 256 locks do for all data sets: two that share one wait for each other, no more.
        self._lock = filelock.FileLock(self.folder / f".{self._key[:2]}.lock", timeout=PATIENCE)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            _sweep(self.root)
        except filelock.Timeout:
            # Stopped, perhaps, with the lock in its hand: then both do the work.
            pass
        except (OSError, NotImplementedError) as error:
            self._refuse(error)
        # What cannot be written may still be read.
        self._load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whatever ended the pass: what was decoded until then is good.
        try:
            self._publish()
        except (OSError, LinnaeaError) as refusal:
            self._discard(refusal)
        finally:
            if self._lock.is_locked:
                self._lock.release()
        for shard in self._in_use:
            # The index's time of change is when its shard was last used.
            with contextlib.suppress(OSError):
                os.utime(shard.with_suffix(".json"))

    def __contains__(self, picture_hash: str) -> bool:
        place = self.places.get(picture_hash)
        if place is not None:
            self._in_use.add(place.shard)
        return place is not None

    def decode(self, content: bytes, picture_hash: str, name: str) -> np.ndarray | None:
        """Return the picture in the bytes of a file, to be put; None where it is kept or there is no room.

        Safe from several threads, which put must not be. Raises DataError for what is no whole picture.
        """
        if picture_hash in self or self.refusal:
            return None
        return decode_picture(content, name, shortest_side=self.side, value_range=self.value_range)

    def kept(self, picture_hash: str) -> np.ndarray | None:
        """Return a picture that is kept; None where it is not, or is lost."""
        place = self.places.get(picture_hash)
        return None if place is None else place.read(check=False)

    def put(self, picture_hash: str, picture: np.ndarray) -> None:
        """Keep one picture, uint8 (height, width, 3), unless there is no room."""
        if self.refusal or picture_hash in self:
            return
        height, width, _ = picture.shape
        content = np.ascontiguousarray(picture).reshape(-1).data
        place = Place(self._shard, self._written, height, width, zlib.crc32(content))
        try:
            if not self._has_room(place.nbytes):
                return
            if self._file is None:
                # Unbuffered: a disk that is full says so at the picture that did not fit.
                self._file = open(self._building, "wb", buffering=0)  # noqa: SIM115 (closed by _publish)
            if self._file.write(content) != place.nbytes:
                raise OSError(0, "only a part of a picture could be written")
        except OSError as error:
            self._discard(error)
            return
        self._written += place.nbytes
        self.places[picture_hash] = self._new[picture_hash] = place

    @property
    def _building(self) -> Path:
        return self._shard.with_suffix(".building")

    def _load(self) -> None:
        for number, index in enumerate(_oldest_first(self.folder)[::-1]):
            shard = index.with_suffix(".bin")
            try:
                if number >= _MOST_SHARDS:
                    raise ValueError("one shard too many")
                self.places.update(_read_index(index, shard))
            # Damaged, half removed, or of too many: as if it had never been there.
            except (OSError, ValueError, TypeError, KeyError, AttributeError):
                _remove(index)
        self._others = sum(_size(index) for index in _oldest_first(self.root))

    def _has_room(self, size: int) -> bool:
        while True:
            full = self._others + self._written + size > self.limit
            scarce = shutil.disk_usage(self.folder).free < size + RESERVE
            if not (full or scarce):
                return True
            # Nobody else's pictures make room for more than could ever be kept.
            if self._written + size > self.limit or not self._remove_oldest():
                break
        if full:
            self.refusal = (
                f"the cache is limited to {self.limit / 2**30:.3g} GiB ({LIMIT_VARIABLE} sets another limit)"
            )
        else:
            self.refusal = (
                f"less than {RESERVE >> 20} MiB are free beside {self.root} "
                "(free some space, or name another folder in LINNAEA_CACHE)"
            )
        return False

    def _remove_oldest(self) -> bool:
        for index in _oldest_first(self.root):
            shard = index.with_suffix(".bin")
            # Those that this pass has met are needed together with what is written now.
            if shard not in self._in_use and shard != self._shard:
                self._others -= _size(index)
                _remove(index)
                self.places = {key: place for key, place in self.places.items() if place.shard != shard}
                return True
        return False

    def _publish(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            os.replace(self._building, self._shard)
            pictures = {
                key: [place.offset, place.height, place.width, place.crc] for key, place in self._new.items()
            }
            files.write_text(
                self._shard.with_suffix(".json"),
                json.dumps({"format_version": VERSION, "bytes": self._written, "pictures": pictures}),
            )

    def _discard(self, error: Exception) -> None:
        """Give the room back to a disk that refuses: a run folder needs it more."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._building.unlink(missing_ok=True)
        _remove(self._shard.with_suffix(".json"))
        for key in self._new:
            self.places.pop(key, None)
        self._new = {}
        self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        self.refusal = (
            f"{self.folder} cannot be used ({reason}; "
            "free some space, or name another folder in LINNAEA_CACHE)"
        )


class DecodedPictures(Sequence[np.ndarray]):
    """Picture i as uint8 (height, width, 3), RGB, upright, its shorter side at most `side` pixels.

    Reading is safe from several threads and after a fork. Arrays may be shared: do not write to them. A
    picture that is not kept, or whose copy was lost, is decoded from its file.

    Attributes
    ----------
    side: int or None
        None for pictures that came in memory: those are as they are.
    hashes: tuple of str
        Of the files' content (see hashing.content_hash).
    kept: int
        How many need not be decoded again.
    nbytes: int
        Size of those.
    notes: tuple of str
        What the user should read: why pictures are not kept.
    value_range: (float, float), "picture" or None
        What their numbers of more than 8 bits were read with (see read_picture).
    """

    def __init__(
        self,
        places: Sequence[Place | np.ndarray | None],
        paths: Sequence[Path] = (),
        side: int | None = None,
        hashes: Sequence[str] = (),
        notes: Sequence[str] = (),
        value_range: ValueRange | None = None,
    ) -> None:
        self.side = side
        self.value_range: ValueRange | None = value_range
        self.hashes = tuple(hashes)
        self.notes = tuple(notes)
        self._places = list(places)
        self._paths = list(paths)
        # A checksum costs as much as the reading: once a picture is enough to notice a damaged disk.
        self._checked = np.zeros(len(self._places), bool)
        self._warned = False

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
        return read_picture(
            self._paths[index], shortest_side=self.side, known=known, value_range=self.value_range
        )

    def select(self, rows: Iterable[int]) -> "DecodedPictures":
        """Return these pictures, in this order, without reading them."""
        rows = [int(row) for row in rows]
        return DecodedPictures(
            [self._places[row] for row in rows],
            [self._paths[row] for row in rows] if self._paths else (),
            self.side,
            [self.hashes[row] for row in rows] if self.hashes else (),
            self.notes,
            self.value_range,
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
        # The whole shard: where one picture is damaged, asking for each of the others would cost as much.
        forget(place)
        self._places = [
            None if isinstance(other, Place) and other.shard == place.shard else other
            for other in self._places
        ]
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"Decoded pictures in {place.shard} are lost or damaged; they are decoded from their files, "
                "and kept anew by the next run.",
                RuntimeWarning,
                stacklevel=3,
            )


def decoded(files: Sequence[str | Path], side: int, value_range: ValueRange | None = None) -> DecodedPictures:
    """Return the pictures in these files, each decoded at most once.

    Memory holds a few of them for each core, however many there are.

    side: pixels of the shorter side that pictures are reduced to; smaller ones stay as they are.
    value_range: what numbers of more than 8 bits are read with (see read_picture).

    Raises DataError for a picture that cannot be read, before training and not in the middle of it.
    """
    paths = [Path(file) for file in files]
    hashes = []

    def read(path: Path) -> tuple[str, np.ndarray | None]:
        try:
            content = read_content(path)
        except OSError as error:
            raise DataError(
                f"{path} could not be read ({error.strerror}).", "Restore it or leave it out."
            ) from error
        picture_hash = content_hash(content)
        picture = store.decode(content, picture_hash, str(path))
        if picture is None and picture_hash not in store:
            # No room: only to see that it can be done. A JPEG's whole stream is read at any scale, in a third
            # of the time.
            decode_picture(content, str(path), enough=1)
        return picture_hash, picture

    with Store(side, paths, value_range) as store:
        for picture_hash, picture in in_order(read, paths):
            hashes.append(picture_hash)
            # Only this thread writes, one picture after the other, so a shard needs no order but this one.
            if picture is not None:
                store.put(picture_hash, picture)
    return from_store(store, paths, hashes)


def from_store(store: Store, paths: Sequence[Path], hashes: Sequence[str]) -> DecodedPictures:
    """Return the pictures of these files after a pass with a store.

    hashes: "" for a file that cannot be used, and is not counted.
    """
    places = [store.places.get(picture_hash) for picture_hash in hashes]
    usable = sum(map(bool, hashes))
    missing = usable - sum(place is not None for place in places)
    notes = []
    if missing:
        reason = store.refusal or "other pictures took their room"
        notes.append(
            f"{missing:,} of {usable:,} pictures are decoded anew each time they are needed: {reason}."
        )
    return DecodedPictures(places, paths, store.side, hashes, notes, store.value_range)


def _ending(value_range: ValueRange | None) -> str:
    """Return what sets pictures that are read with this range apart from others, in the name of a folder."""
    if value_range is None:
        return ""
    return "-" + (value_range if isinstance(value_range, str) else "_".join(map(repr, value_range)))


def _limit() -> int:
    """Return LINNAEA_CACHE_GIB, or 4 GiB, in bytes. Raises SettingError where it is no number."""
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT)
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    # Written so that not-a-number is refused too.
    if not limit >= 0:
        raise SettingError(
            f"{LIMIT_VARIABLE} is '{text}'.", "Give a number of GiB, such as 4, or 0 to keep nothing."
        )
    return int(min(limit, 2**33) * 2**30)


def forget(place: Place) -> None:
    """Remove the shard of a picture that could not be read, so that the next pass makes it anew."""
    _remove(place.shard.with_suffix(".json"))


def _oldest_first(folder: Path) -> list[Path]:
    """Return the indexes below a folder, the least recently used first."""
    return [index for _, index in sorted((_changed(index), index) for index in folder.rglob("*.json"))]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        # Another process removed it just now.
        return 0.0


def _size(index: Path) -> int:
    try:
        return index.with_suffix(".bin").stat().st_size
    except OSError:
        return 0


def _remove(index: Path) -> None:
    # The index first: a shard without one is nobody's.
    for path in (index, index.with_suffix(".bin")):
        # Open in another process (Windows): swept up later.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    """Remove what processes that died have left behind: unfinished shards, and shards without an index."""
    now = time.time()
    for path in _unfinished(root):
        if now - _changed(path) > STALE:
            _remove(path.with_suffix(".json"))
            path.unlink(missing_ok=True)


def _unfinished(root: Path) -> Iterator[Path]:
    yield from root.rglob("*.building")
    for shard in root.rglob("*.bin"):
        if not shard.with_suffix(".json").exists():
            yield shard


def _read_index(index: Path, shard: Path) -> dict[str, Place]:
    """Return the places of a shard. Raises ValueError, KeyError, ... for an index that is not whole."""
    content = json.loads(index.read_text(encoding="utf-8"))
    if content["format_version"] != VERSION or content["bytes"] != shard.stat().st_size:
        raise ValueError("the shard is not what its index says")
    places = {}
    for key, (offset, height, width, crc) in content["pictures"].items():
        numbers = (offset, height, width, crc)
        if not all(type(number) is int for number in numbers) or offset < 0 or min(height, width) < 1:
            raise ValueError("a picture's place is not a place")
        place = Place(shard, offset, height, width, crc)
        if offset + place.nbytes > content["bytes"]:
            raise ValueError("a picture lies outside the shard")
        places[key] = place
    return places
