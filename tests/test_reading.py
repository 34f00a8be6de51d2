import os

import pytest

from linnaea import reading
from linnaea.errors import DataError


def test_a_plain_file_is_read_and_a_link_to_one(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to("a")
    assert reading.read_bytes(tmp_path / "b", 7) == b"content"


def test_a_file_above_the_limit_is_refused_by_its_size(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    with pytest.raises(
        DataError, match=r"a is too large to read \(7 bytes; the limit is 6\)\. Make it smaller"
    ):
        reading.read_bytes(tmp_path / "a", 6)


def test_what_has_no_end_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe is a named pipe, not a file"):
        reading.read_bytes(tmp_path / "pipe", 100)
    with pytest.raises(DataError, match="/dev/zero is a device, not a file"):
        reading.read_bytes("/dev/zero", 100)


def test_what_cannot_be_opened_is_told_as_opening_does(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "none", tmp_path / "loop"):
        with pytest.raises(OSError, match=r"directory|No such file|symbolic links"):
            reading.read_bytes(path, 100)


def test_json_that_is_nested_without_end_is_a_value_error(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        reading.read_json(tmp_path / "a.json")


def test_a_link_is_no_plain_file_where_none_may_be_followed(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(DataError, match=r"b is a link, not a file\. Leave it out\."):
        reading.read_bytes(tmp_path / "b", 7, links=False)
    assert reading.read_bytes(tmp_path / "a", 7, links=False) == b"content"


def test_an_opened_file_can_be_read_in_pieces(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    with reading.opened(tmp_path / "a", 7) as file:
        assert (file.read(3), file.read()) == (b"con", b"tent")
