import resource

import pytest

from linnaea.errors import LinnaeaError
from linnaea.runs import disk_reserve


def test_the_reserve_takes_its_room_until_it_is_released_or_left(tmp_path):
    with disk_reserve.kept(tmp_path) as spare:
        assert spare.stat().st_blocks * 512 >= disk_reserve.SIZE
        disk_reserve.release(spare)
        assert list(tmp_path.iterdir()) == []
        # Twice is no fault: a run releases it before it is closed.
        disk_reserve.release(spare)
    with disk_reserve.kept(tmp_path):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_the_reserve_is_told_before_a_run_begins(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (disk_reserve.SIZE - 1, hard))
    try:
        with pytest.raises(LinnaeaError) as error, disk_reserve.kept(tmp_path):
            raise AssertionError("the run began")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value) == (
        f"{tmp_path}/.reserve could not be written (File too large). Free some space, or choose another "
        "place."
    )
    assert list(tmp_path.iterdir()) == []
