"""The one writer to disk: a file is either the old one or the new one, whole, never half of each."""

import contextlib
import errno
import json
import math
import os
import secrets
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

from linnaea.errors import WriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# macOS: fsync hands the content to the disk, which may keep it in a cache of its own; this empties that, too.
_FULL_FSYNC = getattr(fcntl, "F_FULLFSYNC", None)
_WINDOWS = os.name == "nt"
# Seconds between attempts to replace a file that a virus scanner, or a browser that shows it, has open.
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NEW |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# A pipe that nobody reads would hold us up for ever; a link may lead anywhere. Windows has neither flag.
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_APPEND |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def write_bytes(path: Path, content: bytes) -> None:
    """Write content to path through a temporary name, fsync and rename, so that a crash leaves no torn file.

    Raises WriteError, naming the path, where the disk or the folder refuses.
    """
    try:
        make_folder(path.parent)
        temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}.tmp"
        # 0666, of which the system takes what the user's mask keeps back: as readable as their other files.
        handle = os.open(temporary, _NEW, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                sync(file.fileno())
            _replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise refusal(path, error) from error


def append_text(path: Path, text: str) -> None:
    """Add text, as UTF-8, to the end of a file, which is made where there is none.

    Raises WriteError, naming the path, for a link or a pipe in its place, and where the disk refuses.
    """
    try:
        with open(os.open(path, _APPEND, 0o666), "ab") as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise refusal(path, error) from error


def make_folder(path: Path) -> list[Path]:
    """Make a folder and those above it, as far as they are missing, so that they last through a power cut.

    Returns those that were missing, the innermost first. Raises OSError as mkdir does.
    """
    missing = list(takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)
    return missing


def refusal(path: Path | str, error: OSError) -> WriteError:
    """Return the error to raise where the disk or the folder refuses to write path."""
    if _WINDOWS and isinstance(error, PermissionError):
        cure = "Close the program that has it open, or make its folder writable."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        cure = "Make its folder writable, or choose another place."
    elif error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.EIO):
        cure = "See whether its folder is still there, or choose another place."
    elif error.errno == errno.EFBIG:
        cure = "Raise the limit on the size of a file (ulimit -f), or choose another place."
    else:
        cure = "Free some space, or choose another place."
    return WriteError(f"{path} could not be written ({error.strerror or error}).", cure)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk, so that a renamed file is there after a power cut."""
    # Windows opens no folders; some network drives refuse to flush one. The rename is whole all the same.
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            sync(handle)
        finally:
            os.close(handle)


def sync(handle: int) -> None:
    """Flush an open file or folder to the disk, so that it outlasts a power cut. Raises OSError as fsync."""
    if _FULL_FSYNC is not None:
        # Network drives may refuse it, and are asked for what they can do.
        with contextlib.suppress(OSError):
            fcntl.fcntl(handle, _FULL_FSYNC)
            return
    os.fsync(handle)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write value as indented JSON, atomically."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return value as indented JSON. Not-a-number and infinity become null: JSON has neither."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """Return value with every not-a-number and infinity replaced by None, all the way down."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _replace(temporary: Path, path: Path) -> None:
    """Rename a file to path, whose old one goes; Windows refuses that as long as somebody has it open."""
    for seconds in _WAITS if _WINDOWS else ():
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            time.sleep(seconds)
    os.replace(temporary, path)
