"""A little room kept on the disk, so that a run that fills it can still say so."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from linnaea import files
from linnaea.runs.folder import RESERVE

SIZE = 1 << 20  # bytes; run.json and the report of a run that was not judged take a fifth of it


@contextmanager
def kept(folder: Path) -> Iterator[Path]:
    """Keep SIZE bytes in a folder while the context lasts; yield their file, to be released when needed.

    Raises LinnaeaError where there is no room for them: a run would not end well there.
    """
    path = folder / RESERVE
    # Random: some file systems hold zeros without giving them any room.
    files.write_bytes(path, os.urandom(SIZE))
    try:
        yield path
    finally:
        release(path)


def release(path: Path) -> None:
    """Give the room back."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
