"""Hashes by which content is known again: the first half of a SHA-256, as text."""

import hashlib
from collections.abc import Iterable
from io import BufferedReader, BytesIO

LENGTH = 32
"""Hexadecimal digits kept of a SHA-256: 128 bits, in which no two pictures will ever agree by chance."""


def content_hash(content: bytes | memoryview) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of these bytes."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


def text_hash(lines: Iterable[str]) -> str:
    """Return the hash of these lines, in order, as UTF-8 with a newline after each."""
    return content_hash("".join(f"{line}\n" for line in lines).encode("utf-8"))


def file_hash(file: BufferedReader | BytesIO) -> str:
    """Return the content hash of a file open for reading, in blocks: it is never in memory as a whole."""
    return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]
