"""Checksums that run.json keeps of a run's files: an edit by hand, or another run's, is told, not believed.

They protect from accidents, not from fraud: whoever rewrites a file and its checksum can still lie.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from linnaea import reading

if TYPE_CHECKING:
    from linnaea.runs.folder import RunFolder

MAX_SIZE = 2 << 30  # bytes of a file that is summed; a table of a million pictures takes 1.2 GB


NETWORK = ("weights.safetensors", "model.json")
"""What a classifier saves."""


def known(run: "RunFolder") -> dict[str, str]:
    """Return run.json's "checksums", name → SHA-256; none of a run that is older than they are."""
    return dict(run.info().get("checksums") or {}) if (run.path / run.file).exists() else {}


def write_text(run: "RunFolder", name: str, text: str) -> None:
    """Write a text file of the run, and its checksum into run.json."""
    write_bytes(run, name, text.encode())


def write_bytes(run: "RunFolder", name: str, content: bytes) -> None:
    """Write a file of the run, and its checksum into run.json."""
    with sealed(run, name):
        run.write_bytes(name, content)


@contextmanager
def sealed(run: "RunFolder", *names: str) -> Iterator[None]:
    """Let these files of a run be written; then keep their checksums, of those that are there.

    Whoever is killed meanwhile leaves files without a checksum, never with a wrong one.
    """
    others = {file: checksum for file, checksum in known(run).items() if file not in names}
    run.update_info(checksums=others)
    yield
    there = [name for name in names if (run.path / name).exists()]
    found = {name: _checksum(reading.read_bytes(run.path / name, MAX_SIZE)) for name in there}
    run.update_info(checksums=others | found)


def fault(run: "RunFolder", name: str) -> str:
    """Return how a file differs from what the run wrote, a sentence without full stop; "" where it does not.

    One that is gone differs, too. Of a file that run.json has no checksum of: "".
    """
    expected = known(run).get(name)
    if expected is None:
        return ""
    if not (run.path / name).exists():
        return f"{run.path / name} is missing; {run.file} keeps its checksum"
    found = _checksum(reading.read_bytes(run.path / name, MAX_SIZE))
    if found == expected:
        return ""
    return (
        f"{run.path / name} was changed since the run wrote it: its SHA-256 is {found[:12]}…, "
        f"expected {expected[:12]}…"
    )


def _checksum(content: bytes) -> str:
    # Another system may have ended its lines in its own way, which changes no number.
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()
