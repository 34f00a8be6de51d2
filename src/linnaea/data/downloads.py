"""Files from the network into the cache: under their final name only when whole and checked."""

import glob
import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from linnaea.errors import DataError, LinnaeaError
from linnaea.progress_bar import ProgressBar
from linnaea.text import option

TIMEOUT = 30.0  # seconds without a byte before a mirror is given up
WINDOW = 60.0  # seconds in which at least LEAST bytes must come: a byte now and then is no download
LEAST = 64 << 10  # bytes, about 1 KB/s
MAX_BYTES = 8 << 30  # of one download, and of what it decompresses to
PAUSE = 1.0  # seconds before a mirror that did not answer is asked once more
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 20  # bytes read at a time, so that a large file is never whole in memory


def cache_folder() -> Path:
    """Return where downloads and caches live: LINNAEA_CACHE, else the system's place for caches."""
    import platformdirs

    folder = os.environ.get("LINNAEA_CACHE")
    return Path(folder).expanduser() if folder else platformdirs.user_cache_path("linnaea")


def addresses(name: str, variable: str, mirrors: Sequence[str]) -> list[str]:
    """Return where to fetch a file from: below the mirrors that an environment variable names, else these.

    The variable holds addresses of folders, separated by spaces or commas.
    """
    named = os.environ.get(variable, "").replace(",", " ").split()
    return [f"{mirror.rstrip('/')}/{name}" for mirror in named or mirrors]


def by_hand(files: str, variable: str) -> str:
    """Return how to have the files of a data set without its mirrors; variable: see addresses."""
    return (
        f"Check the network, or put {files} into a folder and pass it as {option('data_dir')}; "
        f"{variable} names other mirrors."
    )


def fetch(
    destination: Path, md5: str, mirrors: Sequence[str], *, decompress: bool = False, cure: str = ""
) -> Path:
    """Return destination, fetched from the first mirror that gives the right file unless it is already there.

    Parameters
    ----------
    destination: Path
        Where the file will live. What is there was checked when it was written, and is not checked again.
    md5: str
        Of the content, after decompression (mirrors compress differently; the content is the same).
    mirrors: sequence of str
        Addresses of the file itself (http or https), in the order to try. One that did not answer is asked
        again after the others; one that gave another file is not.
    decompress: bool
        Whether to store the content of a gzipped file rather than the file.
    cure: str
        What a user without a network can do instead; ends the error.

    Raises DataError with every mirror's failure, LinnaeaError where the cache cannot be written. A mirror
    that stalls is given up after TIMEOUT seconds, one that trickles after WINDOW, one that never ends after
    MAX_BYTES.
    """
    import filelock

    if destination.exists():
        return destination
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        # Two commands started together: one fetches, the other waits and finds the file.
        with filelock.FileLock(destination.with_name(f".{destination.name}.lock")):
            if not destination.exists():
                _fetch_from_any(destination, md5, mirrors, decompress=decompress, cure=cure)
    except OSError as error:
        raise LinnaeaError(
            f"{destination} could not be written ({error.strerror or error}).",
            "Free some space, or name another cache folder in the environment variable LINNAEA_CACHE.",
        ) from error
    return destination


def _fetch_from_any(
    destination: Path, md5: str, mirrors: Sequence[str], *, decompress: bool, cure: str
) -> None:
    # By address: the second attempt's failure replaces the first's.
    failures: dict[str, str] = {}
    waiting = list(mirrors)
    # Beside the destination, so that the last step is a rename within one file system: whole or not at all.
    prefix = f".fetch-{destination.name}-"
    # What a download left that was killed; nobody else is at work here, for the lock is ours.
    for left in destination.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        dir=destination.parent, prefix=prefix, ignore_cleanup_errors=True
    ) as folder:
        for attempt in (1, 2):
            silent = []
            for address in waiting:
                content = Path(folder) / "content"
                failure, again = _fetch_from(address, content, decompress=decompress)
                if not failure:
                    received = file_md5(content)
                    if received == md5:
                        os.replace(content, destination)
                        return
                    page = "sent a web page, " if _is_page(content) else ""
                    failure = f"{page}MD5 {received} instead of {md5}"
                failures[address] = failure
                if again:
                    silent.append(address)
            waiting = silent
            if waiting and attempt == 1:
                time.sleep(PAUSE)
    tried = (
        "; ".join(f"{address}: {failure}" for address, failure in failures.items()) or "no mirror is known"
    )
    raise DataError(
        f"{destination.name} could not be fetched ({tried}).", cure or "Check the network and try again."
    )


def _fetch_from(address: str, content: Path, *, decompress: bool) -> tuple[str, bool]:
    """Fetch one address into content; return ("", False) or (why not, whether asking again may help)."""
    import requests

    # A new name each time: a mirror that was given up may still be writing into the last one.
    received = Path(tempfile.mkdtemp(dir=content.parent)) / "received"
    try:
        _download(address, received)
        if decompress:
            _decompress(received, content)
        else:
            os.replace(received, content)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        return f"answered {status} {getattr(error.response, 'reason', '')}".strip(), status >= 500
    except requests.exceptions.ChunkedEncodingError:
        return "broke off before its end", True
    except requests.Timeout:
        return f"no answer within {TIMEOUT:.0f} s", True
    except requests.ConnectionError:
        return "could not be reached", True
    except _GivenUp as error:
        return str(error), False
    # After its subclasses above. A full disk is an OSError of another kind and goes up to fetch.
    except (requests.RequestException, ValueError) as error:
        return f"not an address to fetch from ({error})", False
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return f"gave a damaged gzip file of {received.stat().st_size:,} bytes", False
    return "", False


class _GivenUp(Exception):
    """A mirror that would not come to an end, in words for the user."""


class _Sink:
    """A file that a download is written into, as long as somebody wants it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size, self.wanted = file, 0, True

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if not self.wanted or self.size > MAX_BYTES:
            raise _GivenUp(f"sent more than {MAX_BYTES:,} bytes")
        self.file.write(chunk)

    def flush(self) -> None:
        """Do nothing: pooch flushes after each chunk, and nobody reads before the end."""


def _download(address: str, received: Path) -> None:
    """Fetch one address; raise what pooch and requests raise, or _GivenUp."""
    import pooch

    watched = sys.stderr.isatty()
    if watched:
        print(f"Fetching {address}", file=sys.stderr)
    bar = ProgressBar("", None, unit="bytes", shown=watched)
    downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 14, timeout=TIMEOUT)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            downloader(address, sink, None)
        except BaseException as error:
            failures.append(error)

    with open(received, "wb") as file, bar:
        sink = _Sink(file)
        # In a thread of its own, because a mirror that sends one byte before each timeout runs out keeps its
        # reader busy for ever, and requests has no limit for the whole.
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            _watch(worker, sink)
        finally:
            sink.wanted = False
    if failures:
        raise failures[0]


def _watch(worker: threading.Thread, sink: _Sink) -> None:
    """Wait for the worker, as long as at least LEAST bytes come in each WINDOW."""
    began, size = time.monotonic(), 0
    while worker.is_alive():
        worker.join(min(0.1, WINDOW / 4))
        if time.monotonic() - began > max(WINDOW, TIMEOUT) and worker.is_alive():
            if sink.size - size < LEAST:
                raise _GivenUp(f"sent {sink.size - size:,} bytes in {WINDOW:.0f} s")
            began, size = time.monotonic(), sink.size


def _is_page(content: Path) -> bool:
    """Tell HTML, which networks with a log-in page send instead of any file."""
    with open(content, "rb") as file:
        start = file.read(512).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _decompress(received: Path, content: Path) -> None:
    with open(received, "rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
    # Some servers decompress on the way ("Content-Encoding: gzip"): then there is nothing left to do.
    if not compressed:
        os.replace(received, content)
        return
    with gzip.open(received, "rb") as source, open(content, "wb") as target:
        # Not shutil.copyfileobj: a few megabytes of gzip may hold a terabyte.
        while block := source.read(_BLOCK):
            if target.tell() + len(block) > MAX_BYTES:
                raise _GivenUp(f"unpacks to more than {MAX_BYTES:,} bytes")
            target.write(block)


def file_md5(path: Path) -> str:
    """Return the MD5 of a file's bytes, in hex: what publishers state, a guard against accidents only."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
