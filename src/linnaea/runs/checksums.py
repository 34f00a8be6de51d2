"""SHA-256 checksums of files: an edit by hand, or the file of another run, is noticed.

They protect from accidents, not from fraud: whoever rewrites a file and its checksum can still lie.
"""

import hashlib
from pathlib import Path

from linnaea import reading

MAX_FILE = 64 << 30  # bytes; nothing that fits into a machine's memory is larger
BLOCK = 1 << 20  # bytes in memory at once


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits; it is never in memory as a whole.

    Raises as reading.opened does.
    """
    with reading.opened(path, MAX_FILE) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatch(path: Path, expected: str) -> str:
    """Return how a file differs from the one with this checksum, a sentence without full stop; "" if not.

    Another system may have ended the lines of a text in its own way, which changes no number: the checksum of
    the file with plain line feeds counts as well. (Older versions took it of weights, too.)

    Raises as reading.opened does.
    """
    received = checksum(path)
    if received == expected or _with_line_feeds(path) == expected:
        return ""
    return (
        f"{path} was changed since the run wrote it: its SHA-256 is {received[:12]}…, "
        f"expected {expected[:12]}…"
    )


def _with_line_feeds(path: Path) -> str:
    """Return the SHA-256 that a file has once each \\r\\n in it is \\n."""
    digest, rest = hashlib.sha256(), b""
    with reading.opened(path, MAX_FILE) as file:
        while block := file.read(BLOCK):
            block = rest + block
            # The line feed of a carriage return at the end of a block begins the next one.
            rest = b"\r" if block.endswith(b"\r") else b""
            digest.update(block.removesuffix(rest).replace(b"\r\n", b"\n"))
    digest.update(rest)
    return digest.hexdigest()
