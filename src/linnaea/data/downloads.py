"""Files from the network into the cache: under their final name only when whole and checked."""

import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from linnaea.errors import DataError, LinnaeaError

TIMEOUT = 30.0  # seconds without a byte before a mirror is given up
PAUSE = 1.0  # seconds before a mirror that did not answer is asked once more
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 20  # bytes read at a time, so that a large file is never whole in memory


def cache_folder() -> Path:
    """Return where downloads and caches live: LINNAEA_CACHE, else the system's place for caches."""
    import platformdirs

    own = os.environ.get("LINNAEA_CACHE")
    return Path(own).expanduser() if own else platformdirs.user_cache_path("linnaea")


def addresses(name: str, variable: str, mirrors: Sequence[str]) -> list[str]:
    """Return where to fetch a file from: below the mirrors that an environment variable names, else these.

    The variable holds addresses of folders, separated by spaces or commas.
    """
    own = os.environ.get(variable, "").replace(",", " ").split()
    return [f"{mirror.rstrip('/')}/{name}" for mirror in own or mirrors]


def fetch(
    destination: Path, md5: str, mirrors: Sequence[str], *, decompress: bool = False, cure: str = ""
) -> Path:
    """Return destination, fetched from the first mirror that gives the right file unless it is already there.

    Parameters
    ----------
    destination: Path
        Where the file will live. What stands there was checked when it was written, so it is believed.
    md5: str
        Of the content, after decompression (mirrors compress differently; the content is the same).
    mirrors: sequence of str
        Addresses of the file itself (http or https), in the order to try. One that did not answer is asked
        again after the others; one that gave another file is not.
    decompress: bool
        Whether to store the content of a gzipped file rather than the file.
    cure: str
        What a person without a network can do instead; ends the error.

    Raises DataError with every mirror's failure, LinnaeaError where the cache cannot be written.
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
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".fetch-") as folder:
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
                    failure = f"MD5 {received} instead of {md5}"
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
    import pooch
    import requests

    received = content.with_name("received")
    # In a log file a progress bar is a thousand lines.
    bar = sys.stderr.isatty()
    downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT)
    try:
        if bar:
            print(f"Fetching {address}", file=sys.stderr)
        downloader(address, str(received), None)
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
    # After its subclasses above. A full disk is an OSError of another kind and goes up to fetch.
    except (requests.RequestException, ValueError) as error:
        return f"not an address to fetch from ({error})", False
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return f"gave a damaged gzip file of {received.stat().st_size:,} bytes", False
    return "", False


def _decompress(received: Path, content: Path) -> None:
    with open(received, "rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
    # Some servers decompress on the way ("Content-Encoding: gzip"): then there is nothing left to do.
    if not compressed:
        os.replace(received, content)
        return
    with gzip.open(received, "rb") as source, open(content, "wb") as target:
        shutil.copyfileobj(source, target, _BLOCK)


def file_md5(path: Path) -> str:
    """Return the MD5 of a file's bytes, in hex: what publishers state, a guard against accidents only."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
