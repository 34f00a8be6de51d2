import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from linnaea.data import idx
from linnaea.data.idx import read_idx
from linnaea.errors import DataError

# Written out by hand from the format's description: two pictures of 2 x 3.
CONTENT = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 2, 3) + bytes(range(12))


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzipped"])
def test_values_come_in_the_stated_shape(tmp_path, pack):
    # The name says nothing: a gzipped file without .gz, or the other way round, is read all the same.
    array = read_idx(write(tmp_path / "x-idx3-ubyte", pack(CONTENT)))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, np.arange(12).reshape(2, 2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-5], "is damaged: expected 28 bytes for 2 x 2 x 3 values, received 23. Fetch it again."),
        (CONTENT + b"x", "is damaged: expected 28 bytes for 2 x 2 x 3 values, received 29. Fetch it again."),
        (CONTENT[:9], "is cut short: expected 16 bytes of header, received 9. Fetch it again."),
        (b"", "is not an IDX file: expected it to begin with 00 00 08, received nothing."),
        (b"<html>", "is not an IDX file: expected it to begin with 00 00 08, received 3c 68 74 6d."),
        (b"\0\0\x0d" + CONTENT[3:], "contains values of IDX type 0x0d; expected 0x08 (unsigned bytes)."),
        (gzip.compress(CONTENT)[:-9], "is cut short: its gzip stream does not end within the"),
        (
            gzip.compress(CONTENT)[:-8] + b"\0" * 8,
            "is damaged: its gzip stream cannot be read (CRC check failed",
        ),
    ],
)
def test_a_damaged_file_is_named_with_what_was_expected(tmp_path, content, message):
    path = write(tmp_path / "t10k-labels", content)
    with pytest.raises(DataError, match="^" + re.escape(f"{path} {message}")):
        read_idx(path)


def test_a_header_of_impossible_size_allocates_nothing(tmp_path):
    content = bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"abc"
    with pytest.raises(DataError, match="expected 79,228,162,458,924,105,385,300,197,391 bytes"):
        read_idx(write(tmp_path / "huge", content))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "MAX_BYTES", 100_000)
    path = write(tmp_path / "bomb.gz", gzip.compress(bytes(1_000_000)))
    with pytest.raises(DataError, match=r"bomb\.gz unpacks to more than 100,000 bytes"):
        read_idx(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none could not be read \(No such file or directory\)"):
        read_idx(tmp_path / "none")
