"""One process writes a run folder at a time; the lock dies with its owner, however that ends."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from linnaea import files
from linnaea.errors import RunError
from linnaea.runs.folder import LOCK


def refuse_claimed(path: str | Path) -> None:
    """Raise RunError where another process writes the folder path; nothing is made there."""
    if (Path(path) / LOCK).exists():
        with claimed(path):
            pass


@contextmanager
def claimed(
    path: str | Path, *, cure: str = "Wait for it to end, or choose another folder with --out."
) -> Iterator[None]:
    """Make the folder path, if need be, and keep other processes from writing it while the context lasts.

    A folder that is still empty afterwards is removed again, with those above it that were made for it.

    Raises RunError where another process writes it, or where the folder cannot be made or written.
    """
    from filelock import FileLock, Timeout

    folder = Path(path)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        made = files.make_folder(folder)
        lock.acquire()
    except Timeout as error:
        raise RunError(
            f"{path} is being written by another process.",
            cure,
        ) from error
    except OSError as error:
        raise RunError(
            f"{path} cannot be made or written ({error.strerror or error}).",
            "Mend that, or choose another place.",
        ) from error
    try:
        yield
    finally:
        # While it is still locked: who opened it before is refused, and who comes later makes a new one.
        with suppress(OSError):  # Windows removes no open file
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # not empty, as a rule
            folder.rmdir()
            for above in made[1:]:
                above.rmdir()
