"""Checkpoints: the newest is whole, the one before stays until then, and they cost little."""

import json
import subprocess
import sys

import numpy as np
import pytest

from linnaea.errors import LinnaeaError, RunError
from linnaea.runs.checkpoint import Checkpoints, Rhythm, keep_history
from linnaea.runs.folder import RunFolder
from linnaea.runs.lock import claimed

ARRAYS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous: its order must survive
    "steps": np.array(7, dtype=np.int64),  # without dimensions
    "seen": np.array([True, False]),
}
VALUES = {"epoch": 3, "step": 0, "rate": 0.1 + 0.2, "worst": float("-inf")}


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints(RunFolder(tmp_path))


def folders(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.path.iterdir() if path.is_dir())


def test_what_is_read_is_what_was_written_to_the_last_bit(checkpoints):
    assert checkpoints.read() is None
    assert checkpoints.write(ARRAYS, VALUES, {"history": 4})
    found = checkpoints.read()
    assert (found.values, found.facts, found.place) == (VALUES, {"history": 4}, "epoch 3")
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_one_at_the_end_of_an_epoch_stays_beside_those_within_the_next(checkpoints):
    for epoch, step in ((0, 0), (1, 0), (1, 5), (1, 9)):
        checkpoints.write(ARRAYS, {"epoch": epoch, "step": step}, {"history": epoch + 1})
    assert folders(checkpoints) == ["00000002", "00000004"]
    assert checkpoints.read().place == "epoch 1 and 9 steps"
    assert checkpoints.rewind().place == "epoch 1"
    assert checkpoints.read().place == "epoch 1"
    checkpoints.write(ARRAYS, {"epoch": 2, "step": 0}, {"history": 3})
    assert len(folders(checkpoints)) == 1
    checkpoints.remove()
    assert not checkpoints.path.exists()


def test_a_state_that_is_no_number_is_not_kept(checkpoints):
    checkpoints.write(ARRAYS, VALUES, {})
    assert not checkpoints.write({"weights": np.array([1.0, np.nan])}, {"epoch": 4}, {})
    assert checkpoints.read().values["epoch"] == 3


@pytest.mark.parametrize(("limit", "refused"), [(100, "state.safetensors"), (2000, "state.json")])
def test_where_the_disk_refuses_the_one_before_is_whole(limit, refused, checkpoints):
    resource = pytest.importorskip("resource")  # Windows has no limits of this kind
    checkpoints.write(ARRAYS, VALUES, {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(LinnaeaError, match=f"{refused} could not be written \\(File too large\\)"):
            checkpoints.write(ARRAYS, {"epoch": 4, "step": 0}, {"long": "x" * 4000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoints.read().values == VALUES
    assert folders(checkpoints) == ["00000001"]


def test_a_torn_one_is_never_read(checkpoints):
    checkpoints.write(ARRAYS, VALUES, {})
    (checkpoints.path / "00000002").mkdir()
    (checkpoints.path / "00000002" / "state.safetensors").write_bytes(b"half")
    assert checkpoints.read().values == VALUES
    checkpoints.write(ARRAYS, {"epoch": 5, "step": 0}, {})
    assert folders(checkpoints) == ["00000003"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: (path / "current").write_text("../../elsewhere"), "does not name a checkpoint"),
        (lambda path: (path / "00000001/state.json").write_text("{"), "state.json cannot be read"),
        (lambda path: (path / "00000001/state.json").write_text("[]"), "is a checkpoint of format None"),
        (
            lambda path: (path / "00000001/state.json").write_text('{"format_version": 2}'),
            "is a checkpoint of format 2; this version goes on from 1",
        ),
        (
            lambda path: (path / "00000001/state.safetensors").write_bytes(b"0" * 99),
            "is not what was written",
        ),
        (
            lambda path: (path / "00000001/state.json").write_text(
                '{"format_version": 1, "values": {"epoch": -1}, "facts": {}}'
            ),
            "cannot be believed: what it counts is no number",
        ),
        (lambda path: (path / "00000001/state.safetensors").unlink(), "state.safetensors cannot be read"),
    ],
)
def test_a_damaged_one_is_named(spoil, sentence, checkpoints):
    checkpoints.write(ARRAYS, VALUES, {})
    spoil(checkpoints.path)
    with pytest.raises(RunError, match=sentence):
        checkpoints.read()


def test_history_is_cut_to_what_the_checkpoint_counts(tmp_path):
    run = RunFolder(tmp_path)
    for epoch in range(4):
        run.append_history({"epoch": epoch})
    before = (tmp_path / "history.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "history.jsonl").write_text("".join(before) + '{"epo')
    keep_history(run, 2)
    assert (tmp_path / "history.jsonl").read_text() == "".join(before[:2])
    with pytest.raises(RunError, match="has 2 lines, and its checkpoint counts 3"):
        keep_history(run, 3)


def test_short_epochs_spend_at_most_two_hundredths_on_checkpoints(monkeypatch):
    clock = 0.0
    monkeypatch.setattr("linnaea.runs.checkpoint.time.monotonic", lambda: clock)
    rhythm, written = Rhythm(every=300), 0
    for _ in range(10_000):  # epochs of 10 ms, checkpoints of 5 ms
        clock += 0.010
        if rhythm.is_due(epoch_over=True):
            written += 1
            clock += 0.005
            rhythm.written(0.005)
    assert 0.015 < written * 0.005 / clock <= 0.02


def test_within_an_epoch_they_are_as_far_apart_as_was_asked(monkeypatch):
    clock = 0.0
    monkeypatch.setattr("linnaea.runs.checkpoint.time.monotonic", lambda: clock)
    rhythm, at = Rhythm(every=300), []
    for _ in range(1000):
        if rhythm.is_due(epoch_over=False):
            at.append(clock)
            rhythm.written(1.0)
        clock += 1.0
    assert at == [0, 300, 600, 900]


def test_the_lock_dies_with_its_owner(tmp_path):
    code = (
        "import os, sys; from linnaea.runs.lock import claimed\n"
        "with claimed(sys.argv[1]): print('mine', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout.readline() == "mine\n"
    with pytest.raises(RunError, match="run is being written by another process"), claimed(tmp_path / "run"):
        pass
    owner.kill()
    owner.wait()
    with claimed(tmp_path / "run"):
        (tmp_path / "run" / "result").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result"]


def test_a_folder_in_which_nothing_came_to_be_is_removed(tmp_path):
    with claimed(tmp_path / "run"):
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]
        RunFolder.refuse_taken(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_state_json_is_plain_json(checkpoints):
    checkpoints.write(ARRAYS, {"epoch": 1, "step": 2}, {"history": 2})
    state = json.loads((checkpoints.path / "00000001" / "state.json").read_text())
    assert state["values"] == {"epoch": 1, "step": 2}
