"""Facts: a folder is written by one process, which keeps a little room to end well."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from linnaea.errors import LinnaeaError, RunError
from linnaea.runs import guard


def test_the_reserve_takes_its_room_until_it_is_released_or_left(tmp_path):
    with guard.reserved(tmp_path) as reserve:
        assert reserve.stat().st_size >= guard.RESERVED
        guard.release(reserve)
        assert list(tmp_path.iterdir()) == []
        # Twice is no fault: a run releases it before it is closed.
        guard.release(reserve)
    with guard.reserved(tmp_path):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_the_reserve_is_told_before_a_run_begins(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (guard.RESERVED - 1, hard))
    try:
        with pytest.raises(LinnaeaError) as error, guard.reserved(tmp_path):
            raise AssertionError("the run began")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value) == (
        f"{tmp_path}/.reserve could not be written ({os.strerror(errno.EFBIG)}). Raise the limit on the size "
        "of a file (ulimit -f), or choose another place."
    )
    assert list(tmp_path.iterdir()) == []


def test_those_who_look_for_a_free_folder_at_once_find_different_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "digits-2").mkdir(parents=True)
    together, exists = Barrier(4), Path.exists

    def at_once(path, **arguments):
        found = exists(path, **arguments)
        if path == Path("runs/digits-1"):
            together.wait(10)  # all four have seen that it is free before one of them takes it
        return found

    def claim(_):
        with guard.claimed_free("digits") as folder:
            together.wait(10)
            return folder

    monkeypatch.setattr(Path, "exists", at_once)
    with ThreadPoolExecutor(4) as threads:
        folders = list(threads.map(claim, range(4)))
    assert sorted(map(str, folders)) == [f"runs/digits-{number}" for number in (1, 3, 4, 5)]


def test_a_lock_that_its_owner_removed_is_no_lock(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    flock, first = fcntl.flock, guard.claimed(tmp_path / "run")
    first.__enter__()
    (tmp_path / "run" / "run.json").touch()

    def ends_meanwhile(handle, how):
        # The second has opened the file, and the first removes it before the second locks it.
        monkeypatch.setattr(fcntl, "flock", flock)
        first.__exit__(None, None, None)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", ends_meanwhile)
    try:
        with guard.claimed(tmp_path / "run"):
            assert (tmp_path / "run" / "run.lock").exists()
            with pytest.raises(RunError, match="written by another process"), guard.claimed(tmp_path / "run"):
                pass
    except RunError:
        assert not (tmp_path / "run" / "run.lock").exists()
