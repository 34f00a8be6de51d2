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


def test_a_long_name_of_255_bytes_is_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    files.write_text(path, "whole")
    assert path.read_text() == "whole"
