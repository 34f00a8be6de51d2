"""IDX, the format of MNIST's files (LeCun, Cortes and Burges, "The MNIST database of handwritten digits").

2 bytes zero · 1 byte type (8: unsigned byte) · 1 byte number of dimensions d
d x 4 bytes, big-endian: the size of each dimension
the values, last dimension fastest
"""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from linnaea import reading
from linnaea.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
MAX_BYTES = 1 << 30  # unpacked; MNIST's largest file has 47 MB


def read_idx(path: Path | str) -> np.ndarray:
    """Return the array in an IDX file, raw or gzipped (recognised by its first bytes, not its name).

    Returns
    -------
    ndarray of uint8, in the shape that the file states; (60000, 28, 28) for MNIST's training pictures.

    Raises DataError, naming the file with what was expected and what was there, for a file that is missing,
    damaged, cut short or too long, or holds another type of value.
    """
    return parse_idx(read_content(path), str(path))


def read_content(path: Path | str) -> bytes:
    """Return a file's bytes, decompressed where it is gzipped. Raises DataError for a damaged file."""
    try:
        content = reading.read_bytes(path, MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path} could not be read ({error.strerror}).", "Check the path.") from error
    # By content and not by name: browsers and archive tools unpack, or leave ".gz" off, as they like.
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(MAX_BYTES + 1)
        if len(unpacked) > MAX_BYTES:
            raise DataError(
                f"{path} unpacks to more than {MAX_BYTES:,} bytes.", "Check that it is the right file."
            )
        return unpacked
    except EOFError as error:
        raise DataError(
            f"{path} is cut short: its gzip stream does not end within the {len(content):,} bytes received.",
            "Fetch it again.",
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        reason = str(error).rstrip(".")
        raise DataError(
            f"{path} is damaged: its gzip stream cannot be read ({reason}).", "Fetch it again."
        ) from error


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """Return the array in the bytes of an IDX file; name is what errors call it."""
    if len(content) < 4 or content[:2] != b"\0\0":
        start = content[:4].hex(" ") or "nothing"
        raise DataError(
            f"{name} is not an IDX file: expected it to begin with 00 00 08, received {start}.",
            "Fetch it again, or check that it is the right file.",
        )
    # Other types (int, float) exist in the format; none of the files we read uses them.
    kind, dimensions = content[2], content[3]
    if kind != UNSIGNED_BYTE:
        raise DataError(
            f"{name} contains values of IDX type 0x{kind:02x}; expected 0x08 (unsigned bytes).",
            "Check that it is the right file.",
        )
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(
            f"{name} is cut short: expected {header:,} bytes of header, received {len(content):,}.",
            "Fetch it again.",
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
    # math.prod counts in Python's integers: a damaged header cannot overflow it.
    expected = header + math.prod(shape)
    if len(content) != expected:
        sizes = " x ".join(f"{size:,}" for size in shape)
        raise DataError(
            f"{name} is damaged: expected {expected:,} bytes for {sizes} values, received {len(content):,}.",
            "Fetch it again.",
        )
    # A view of the bytes just read, not a copy; it cannot be written to.
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
