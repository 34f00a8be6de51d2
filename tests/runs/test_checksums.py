"""Facts: a checksum is that of the bytes, of a file of any size, and forgives other ends of lines."""

import hashlib
import os
import tracemalloc

import pytest

from linnaea.runs import checksums
from linnaea.runs.checksums import checksum, mismatch


def test_it_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"one\r\ntwo")
    assert checksum(tmp_path / "a") == hashlib.sha256(b"one\r\ntwo").hexdigest()
    assert mismatch(tmp_path / "a", checksum(tmp_path / "a")) == ""


def test_weights_of_any_size_have_one_and_are_never_in_memory_as_a_whole(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.touch()
    os.truncate(path, 256 << 20)  # it has no blocks on the disk
    tracemalloc.start()
    found = checksum(path)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert found != hashlib.sha256(b"").hexdigest()
    # The largest networks that there are have some 5 GB.
    assert checksums.MAX_FILE > 16 << 30


@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
def test_other_ends_of_lines_are_no_change_wherever_a_block_ends(tmp_path, monkeypatch, block):
    monkeypatch.setattr(checksums, "BLOCK", block)
    text = b"path,true\na\rb,c\n\n\r"
    (tmp_path / "a.csv").write_bytes(text.replace(b"\n", b"\r\n"))
    assert mismatch(tmp_path / "a.csv", hashlib.sha256(text).hexdigest()) == ""
    (tmp_path / "a.csv").write_bytes(text.replace(b"\n", b"\r\n").replace(b"c", b"d"))
    assert "a.csv was changed since the run wrote it" in mismatch(
        tmp_path / "a.csv", hashlib.sha256(text).hexdigest()
    )
