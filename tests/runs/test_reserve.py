import pytest

from linnaea.errors import LinnaeaError
from linnaea.runs import reserve


def test_the_reserve_takes_its_room_until_it_is_released_or_left(tmp_path):
    with reserve.kept(tmp_path) as spare:
        assert spare.stat().st_blocks * 512 >= reserve.SIZE
        reserve.release(spare)
        assert list(tmp_path.iterdir()) == []
        # Twice is no fault: a run releases it before it is closed.
        reserve.release(spare)
    with reserve.kept(tmp_path):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_the_reserve_is_told_before_a_run_begins(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LinnaeaError, match=r"could not be written \(File exists\)"),
        reserve.kept(tmp_path / "file"),
    ):
        pass
