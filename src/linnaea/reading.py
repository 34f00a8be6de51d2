"""The one reader of files that may come from a stranger: plain files, up to a size, nothing else."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from linnaea.errors import DataError

MAX_JSON = 64 << 20  # bytes; a run.json has some 10 KB
MAX_TABLE = 2 << 30  # bytes of a CSV; predictions of a million pictures of 102 classes take 1.2 GB
MAX_PICTURE = 512 << 20  # bytes; as many as the largest picture that is decoded has uncompressed
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Opening a pipe that nobody writes to would wait for ever; Windows has neither the pipes nor the flag.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def read_bytes(path: Path | str, limit: int, name: str = "", *, links: bool = True) -> bytes:
    """Return the bytes of a plain file of at most limit bytes; name is what errors call it.

    links: whether a link to a plain file is one. False for what is shown to others: in a folder from
    elsewhere, a link may lead to a picture that is nobody's business.

    Raises DataError for a pipe, a socket, a device or a larger file, before anything is read, and OSError as
    opening does (FileNotFoundError, IsADirectoryError, PermissionError, a loop of links …).
    """
    with opened(path, limit, name, links=links) as file:
        # No more than was announced, should the file grow under our hands.
        return file.read(os.fstat(file.fileno()).st_size)


@contextmanager
def opened(path: Path | str, limit: int, name: str = "", *, links: bool = True) -> Iterator[BufferedReader]:
    """Open a plain file of at most limit bytes for reading, for what need not be in memory as a whole.

    Raises as read_bytes.
    """
    name = name or str(path)
    _refuse(os.stat(path, follow_symlinks=links), name, limit)
    handle = os.open(path, _FLAGS if links else _FLAGS | _NO_LINKS)
    with open(handle, "rb") as file:
        # Again, of what is open now: the name may have got another file in the meantime.
        _refuse(os.fstat(handle), name, limit)
        yield file


def check_plain(path: Path | str, limit: int, name: str = "") -> None:
    """Raise as read_bytes does, without reading: for libraries that open files themselves."""
    _refuse(os.stat(path), name or str(path), limit)


def kind_of(path: Path | str, *, links: bool = True) -> str | None:
    """Return what is there: "a file", "a folder", "a link", "a named pipe", "a socket", "a device"; or None.

    links: whether a link is what it leads to.
    """
    try:
        mode = os.stat(path, follow_symlinks=links).st_mode
    except OSError:
        return None  # not there, or behind a folder that may not be looked into: opening it reports which
    if stat.S_ISDIR(mode):
        return "a folder"
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "a file")


def read_json(path: Path | str, limit: int = MAX_JSON) -> Any:
    """Return the value in a JSON file. Raises as read_bytes, and ValueError for what is no JSON."""
    content = read_bytes(path, limit)
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        # Ten thousand opening brackets are no data; Python gives up on its stack, not as a ValueError.
        raise ValueError("nested too deeply") from error


def _refuse(status: os.stat_result, name: str, limit: int) -> None:
    """Refuse all but a plain file that is not too large; opening a folder reports it by itself."""
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise DataError(f"{name} is {kind}, not a file.", "Leave it out.")
    if not stat.S_ISDIR(status.st_mode) and status.st_size > limit:
        raise DataError(
            f"{name} is too large to read ({status.st_size:,} bytes; the limit is {limit:,}).",
            "Make it smaller or leave it out.",
        )
