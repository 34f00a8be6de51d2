import errno
import json
import os
import stat
from pathlib import Path

import pytest

from linnaea import files
from linnaea.errors import LinnaeaError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    files.write_text(path, "old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(LinnaeaError) as error:
        files.write_text(path, "new")
    assert str(error.value) == (
        f"{path} could not be written (No space left on device). Free some space, or choose another place."
    )
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "Free some space, or choose another place."),
        (errno.EFBIG, "Raise the limit on the size of a file (ulimit -f), or choose another place."),
        (errno.EDQUOT, "Free some space, or choose another place."),
        (errno.EACCES, "Make its folder writable, or choose another place."),
        (errno.ENOENT, "See whether its folder is still there, or choose another place."),
        (errno.EROFS, "Make its folder writable, or choose another place."),
    ],
)
def test_a_refusal_says_what_to_do_about_it(number, cure):
    told = files.refusal(Path("runs/a/run.json"), OSError(number, os.strerror(number)))
    assert str(told) == f"runs/a/run.json could not be written ({os.strerror(number)}). {cure}"


def test_json_has_no_infinity(tmp_path):
    files.write_json(tmp_path / "a.json", {"loss": float("inf"), "auc": [float("nan"), 0.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": None, "auc": [None, 0.5]}


def test_a_result_is_as_readable_as_the_mask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        files.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_the_mask_of_the_process_is_left_alone(tmp_path, monkeypatch):
    # Set for an instant, it would be that of whatever another thread creates meanwhile.
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the mask was changed"))
    files.write_text(tmp_path / "a.txt", "x")


def test_windows_is_asked_again_while_a_program_has_the_file_open(tmp_path, monkeypatch):
    path, replace, refused = tmp_path / "report.html", os.replace, []

    def open_elsewhere(source, target):
        if len(refused) < times:
            refused.append(target)
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", open_elsewhere)
    monkeypatch.setattr(files, "_WAITS", (0.001, 0.001))
    monkeypatch.setattr(files, "_WINDOWS", True)
    times = 2
    files.write_text(path, "new")
    assert (path.read_text(), len(refused)) == ("new", 2)
    times, refused[:] = 3, []
    with pytest.raises(LinnaeaError) as error:
        files.write_text(path, "newer")
    assert str(error.value) == (
        f"{path} could not be written (Access is denied). Close the program that has it open, or make its "
        "folder writable."
    )
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]
    monkeypatch.setattr(files, "_WINDOWS", False)
    times, refused[:] = 1, []
    with pytest.raises(LinnaeaError, match="Make its folder writable"):
        files.write_text(path, "newest")


def test_where_the_disk_has_a_cache_of_its_own_that_is_emptied_too(tmp_path, monkeypatch):
    asked, refuses = [], False

    def fcntl(handle, command):
        asked.append(command)
        if refuses:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr(files, "_FULL_FSYNC", 51)  # F_FULLFSYNC, which only macOS has
    monkeypatch.setattr(files.fcntl, "fcntl", fcntl)
    monkeypatch.setattr(os, "fsync", lambda handle: asked.append("fsync"))
    files.write_text(tmp_path / "a.txt", "x")
    assert asked == [51]
    refuses = True
    files.write_text(tmp_path / "a.txt", "x")
    assert asked == [51, 51, "fsync"]


def test_a_long_name_of_255_bytes_is_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    files.write_text(path, "whole")
    assert path.read_text() == "whole"
