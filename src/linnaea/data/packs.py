"""Decoded pictures on the disk: many in one file, known by their content, the least used removed first.

A pack is two files: NAME.bin holds the pictures one after another as raw RGB, NAME.json says which. The index
is written last and a pack never changes afterwards, so that what has an index is whole; a name is never used
twice. A checksum a picture tells what the disk has lost since.
"""

import contextlib
import json
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from linnaea import files
from linnaea.data.downloads import cache_folder
from linnaea.errors import LinnaeaError, SettingError

VERSION = 1
"""Of the files and of how pictures are decoded: another number never reads what this one wrote."""

LIMIT_VARIABLE = "LINNAEA_CACHE_GIB"
DEFAULT_LIMIT = 4.0  # GiB of all packs together: 16,000 photographs whose shorter side is 256 pixels
RESERVE = 512 << 20  # bytes left free on the disk: a run folder must still find room
STALE = 3600.0  # seconds after which an unfinished file belongs to a process that died
PATIENCE = 900.0  # seconds to wait for another process; the lock saves double work, nothing breaks without it
_MOST_PACKS = (
    64  # one more is made whenever pictures were added; the oldest are made anew rather than searched
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one decoded picture lies, and the CRC-32 of its bytes."""

    pack: Path
    offset: int
    height: int
    width: int
    crc: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.height * self.width * 3

    def read(self, *, check: bool = True) -> np.ndarray | None:
        """Return the picture, uint8 (height, width, 3), or None where the pack is gone or damaged."""
        # Read rather than mapped: the pages of a map count as the process's memory until the system wants
        # them back, so a training run would seem to need as much as its data set; and a file cut short under
        # a map kills the process. Opened each time (some microseconds): nothing to inherit, pickle or close.
        picture = np.empty((self.height, self.width, 3), np.uint8)
        try:
            with open(self.pack, "rb", buffering=0) as file:
                file.seek(self.offset)
                received = file.readinto(picture.reshape(-1).data)
        except OSError:
            return None
        if received != self.nbytes or (check and zlib.crc32(picture.data) != self.crc):
            return None
        return picture


class DiskStore:
    """The packs of one size, open for one pass over a data set; new pictures go into one new pack.

    Used as a context: entering waits for another process that works on the same data set, leaving publishes
    what was put. A disk that refuses is no error: nothing is kept from then on, and `refusal` says why.

    Parameters
    ----------
    side: int
        Of which the pictures are (see decode_picture's shortest_side).
    key: str
        Hexadecimal name of the data set, for the lock.
    limit: int, optional
        Bytes of all packs of all sizes together; LINNAEA_CACHE_GIB or 4 GiB by default.
    """

    def __init__(self, side: int, key: str, limit: int | None = None) -> None:
        self.root = cache_folder() / "pictures"
        self.folder = self.root / f"v{VERSION}-{side}"
        self.limit = default_limit() if limit is None else limit
        self.places: dict[str, Place] = {}
        self.refusal = ""
        self._key = key
        self._in_use: set[Path] = set()
        self._pack = self.folder / f"{uuid.uuid4().hex}.bin"
        self._file: Any = None
        self._new: dict[str, Place] = {}
        self._written = 0
        self._others = 0  # bytes of the packs that are there

    def __enter__(self) -> "DiskStore":
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
        for pack in self._in_use:
            # The index's time of change is when its pack was last used.
            with contextlib.suppress(OSError):
                os.utime(pack.with_suffix(".json"))

    def __contains__(self, content_hash: str) -> bool:
        place = self.places.get(content_hash)
        if place is not None:
            self._in_use.add(place.pack)
        return place is not None

    def put(self, content_hash: str, picture: np.ndarray) -> None:
        """Keep one picture, uint8 (height, width, 3), unless there is no room."""
        if self.refusal or content_hash in self:
            return
        height, width, _ = picture.shape
        content = np.ascontiguousarray(picture).reshape(-1).data
        place = Place(self._pack, self._written, height, width, zlib.crc32(content))
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
        self.places[content_hash] = self._new[content_hash] = place

    @property
    def _building(self) -> Path:
        return self._pack.with_suffix(".building")

    def _load(self) -> None:
        for number, index in enumerate(_oldest_first(self.folder)[::-1]):
            pack = index.with_suffix(".bin")
            try:
                if number >= _MOST_PACKS:
                    raise ValueError("one pack too many")
                self.places.update(_read_index(index, pack))
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
            pack = index.with_suffix(".bin")
            # Those that this pass has met are needed together with what is written now.
            if pack not in self._in_use and pack != self._pack:
                self._others -= _size(index)
                _remove(index)
                self.places = {key: place for key, place in self.places.items() if place.pack != pack}
                return True
        return False

    def _publish(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            os.replace(self._building, self._pack)
            pictures = {
                key: [place.offset, place.height, place.width, place.crc] for key, place in self._new.items()
            }
            files.write_text(
                self._pack.with_suffix(".json"),
                json.dumps({"format_version": VERSION, "bytes": self._written, "pictures": pictures}),
            )

    def _discard(self, error: Exception) -> None:
        """Give the room back to a disk that refuses: a run folder needs it more."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._building.unlink(missing_ok=True)
        _remove(self._pack.with_suffix(".json"))
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


def default_limit() -> int:
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
    """Remove the pack of a picture that could not be read, so that the next pass makes it anew."""
    _remove(place.pack.with_suffix(".json"))


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
    # The index first: a pack without one is nobody's.
    for path in (index, index.with_suffix(".bin")):
        # Open in another process (Windows): swept up later.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    """Remove what processes that died have left behind: unfinished packs, and packs without an index."""
    now = time.time()
    for path in _unfinished(root):
        if now - _changed(path) > STALE:
            _remove(path.with_suffix(".json"))
            path.unlink(missing_ok=True)


def _unfinished(root: Path) -> Iterator[Path]:
    yield from root.rglob("*.building")
    for pack in root.rglob("*.bin"):
        if not pack.with_suffix(".json").exists():
            yield pack


def _read_index(index: Path, pack: Path) -> dict[str, Place]:
    """Return the places of a pack. Raises ValueError, KeyError, ... for an index that is not whole."""
    content = json.loads(index.read_text(encoding="utf-8"))
    if content["format_version"] != VERSION or content["bytes"] != pack.stat().st_size:
        raise ValueError("the pack is not what its index says")
    places = {}
    for key, (offset, height, width, crc) in content["pictures"].items():
        numbers = (offset, height, width, crc)
        if not all(type(number) is int for number in numbers) or offset < 0 or min(height, width) < 1:
            raise ValueError("a picture's place is not a place")
        place = Place(pack, offset, height, width, crc)
        if offset + place.nbytes > content["bytes"]:
            raise ValueError("a picture lies outside the pack")
        places[key] = place
    return places
