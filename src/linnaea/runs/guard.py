"""What guards a run folder while it is written: a lock against other processes, and room on the disk."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from linnaea import files
from linnaea.errors import RunError, printable
from linnaea.runs.folder import LOCK, RESERVE
from linnaea.text import elsewhere, is_unicode

RESERVED = 6 << 20  # bytes: run.json, and a report with all its pictures, which stays under 5 MB


class _Claimed(RunError):
    """Another process writes the folder."""


def refuse_claimed(path: str | Path) -> None:
    """Raise RunError where another process writes the folder path; nothing is made there."""
    if (Path(path) / LOCK).exists():
        with claimed(path):
            pass


@contextmanager
def claimed(path: str | Path, *, cure: str = "") -> Iterator[Path]:
    """Make the folder path, if need be, and keep other processes from writing it while the context lasts.

    Yields the folder. The lock dies with its owner, however that ends. A folder that is still empty then is
    removed again, with those above it that were made for it.

    cure: what to do about another process; by default to wait, or to choose another folder.

    Raises RunError where another process writes it, or where the folder cannot be made or written.
    """
    from filelock import FileLock, Timeout

    if not is_unicode(str(path)):
        # Its report names it, after all the work.
        raise RunError(f"The name {printable(str(path))} is not Unicode.", elsewhere("another folder"))
    folder = Path(path)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        made = files.make_folder(folder)
        lock.acquire()
    except Timeout as error:
        wait = elsewhere("another folder", begin="Wait for it to finish, or choose")
        raise _Claimed(f"{path} is being written by another process.", cure or wait) from error
    except OSError as error:
        raise RunError(
            f"{path} cannot be made or written ({error.strerror or error}).",
            "Mend that, or choose another place.",
        ) from error
    try:
        yield folder
    finally:
        # While it is still locked: who opened it before finds that it has no name any more (filelock looks),
        # and who comes later makes a new one.
        with suppress(OSError):  # Windows removes no open file
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # not empty, as a rule
            folder.rmdir()
            for above in made[1:]:
                above.rmdir()


@contextmanager
def claimed_free(data: str) -> Iterator[Path]:
    """Claim the first unused of runs/NAME-1, runs/NAME-2, …, NAME being that of the data, and yield it.

    Two processes that look for one at the same time get two. Raises RunError as claimed does.
    """
    source = Path(data).expanduser().resolve()
    name = (source.stem if source.is_file() else source.name) or "pictures"
    with ExitStack() as claims:
        for number in count(1):
            folder = Path("runs") / f"{name}-{number}"
            if folder.exists():
                continue
            with suppress(_Claimed):
                claims.enter_context(claimed(folder))
                break
        yield folder


@contextmanager
def reserved(folder: Path) -> Iterator[Path]:
    """Keep a little room on the disk while the context lasts, so that a run that fills it can still say so.

    Yields the file that keeps it, to be released when needed. Raises WriteError where there is no room: a run
    would not end well there.
    """
    path = folder / RESERVE
    # Random: some file systems hold zeros without giving them any room.
    files.write_bytes(path, os.urandom(RESERVED))
    try:
        yield path
    finally:
        release(path)


def release(reserve: Path) -> None:
    """Give the room back."""
    with suppress(OSError):
        reserve.unlink(missing_ok=True)
