"""Checkpoints: the newest is whole, the one before stays until then, and they cost little."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from linnaea.errors import LinnaeaError, RunError
from linnaea.runs.checkpoint import CheckpointInterval, Checkpoints, checksum, keep_history, sync_history
from linnaea.runs.folder import RunFolder
from linnaea.runs.guard import claimed

ARRAYS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous: its order must survive
    "steps": np.array(7, dtype=np.int64),  # without dimensions
    "seen": np.array([True, False]),
}
NUMBERS = ("train_loss", "train_accuracy")
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
    assert folders(checkpoints) == ["00000002", "00000003"]
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
    assert folders(checkpoints) == ["00000001", "00000003"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: (path / "00000001/state.json").write_text("{"), "state.json cannot be read"),
        (lambda path: (path / "00000001/state.json").write_text("[]"), "is a checkpoint of format None"),
        (
            lambda path: (path / "00000001/state.json").write_text('{"format_version": 3}'),
            "is a checkpoint of format 3; this version reads up to 2",
        ),
        (
            lambda path: (path / "00000001/state.safetensors").write_bytes(b"0" * 99),
            "is not what was written",
        ),
        (
            lambda path: (path / "00000001/state.json").write_text(
                '{"format_version": 1, "values": {"epoch": -1}, "facts": {}}'
            ),
            "is not valid: values.epoch is -1 \\(Input should be greater than or equal to 0\\)",
        ),
        (lambda path: (path / "00000001/state.safetensors").unlink(), "state.safetensors cannot be read"),
    ],
)
def test_a_damaged_one_is_named(spoil, sentence, checkpoints):
    checkpoints.write(ARRAYS, VALUES, {})
    spoil(checkpoints.path)
    with pytest.raises(RunError, match=sentence):
        checkpoints.read()


def edited(path, **values):
    """Change values in a state.json, as a person with an editor would."""
    state = json.loads(path.read_text())
    state["values"] |= values
    path.write_text(json.dumps(state, indent=2))


@pytest.mark.parametrize("values", [{"epoch": 4}, {"step": 1}, {"rate": 0.3}, {"seed": 1}])
def test_a_state_that_was_edited_is_not_believed(values, checkpoints):
    checkpoints.write(ARRAYS, VALUES, {"history": 4})
    path = checkpoints.path / "00000001/state.json"
    edited(path)  # other white space changes nothing
    assert checkpoints.read().values == VALUES
    edited(path, **values)
    with pytest.raises(RunError) as refusal:
        checkpoints.read()
    assert str(refusal.value) == (
        f"{path} cannot be read (its content is not what was written). "
        "Start again: linnaea train, with --overwrite."
    )


def test_one_of_the_first_format_has_no_checksum_of_its_own_and_is_read(checkpoints):
    checkpoints.write(ARRAYS, VALUES, {"history": 4})
    path = checkpoints.path / "00000001/state.json"
    state = json.loads(path.read_text())
    assert state.pop("checksum") == checksum(state)
    path.write_text(json.dumps({**state, "format_version": 1}))
    assert checkpoints.read().values == VALUES
    path.write_text(json.dumps(state))
    with pytest.raises(RunError, match="is not what was written"):
        checkpoints.read()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epoch": "3"}, "values.epoch is '3'"),
        ({"epoch": 10**30}, "values.epoch is 1000"),
        ({"step": True}, "values.step is True"),
        ({"seconds": "long"}, "values.seconds is 'long'"),
        ({"seed": -1}, "values.seed is -1"),
        ({"solver_steps": None}, "values.solver_steps is None"),
        ({"best_score": [1.0]}, r"values.best_score is \[1.0\]"),
        ({"sums": [0, 0, "much"]}, "values.sums.2 is 'much'"),
        ({"precision": "float8"}, "values.precision is 'float8'"),
        ({"plan": {"epochs": 3}}, "values.plan.train_from is {'epochs': 3}"),
        ({"history": [{"epoch": 0}]}, "values.history.0.seconds is {'epoch': 0}"),
        ({"history": "none"}, "values.history is 'none'"),
        (
            {"history": [dict.fromkeys(("epoch", "seconds", "learning_rate", *NUMBERS, "val_loss"), 1)]},
            r"values.history.0 is .* \(Value error, val_loss and val_accuracy are both numbers or both null",
        ),
    ],
)
def test_values_of_another_kind_are_named(values, told, checkpoints):
    checkpoints.write(ARRAYS, {**VALUES, **values}, {"history": 4})
    with pytest.raises(RunError, match=rf"state\.json is not valid: {told}"):
        checkpoints.read()


def spoil_arrays(folder):
    content = bytearray((folder / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "state.safetensors").write_bytes(content)


SPOILED = {
    "arrays": (spoil_arrays, "00000002/state.safetensors cannot be read (its content is not what"),
    "state": (lambda folder: edited(folder / "state.json", epoch=9), "00000002/state.json cannot be read"),
    "folder": (shutil.rmtree, "00000002/state.json cannot be read ([Errno 2] No such file"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_where_the_newest_is_damaged_the_one_before_is_read(what, checkpoints):
    spoil, told = SPOILED[what]
    checkpoints.write(ARRAYS, VALUES, {"history": 4})
    checkpoints.write(ARRAYS, {**VALUES, "epoch": 4}, {"history": 5})
    spoil(checkpoints.path / "00000002")
    found = checkpoints.read()
    assert (found.values["epoch"], found.facts) == (3, {"history": 4})
    assert told in found.instead
    checkpoints.settle(found)
    assert folders(checkpoints) == ["00000001"]
    assert checkpoints.read().instead == ""


@pytest.mark.parametrize("pointer", ["../../elsewhere", "", "1", "00000009"])
def test_a_pointer_that_names_no_checkpoint_is_told_and_the_newest_whole_one_is_read(pointer, checkpoints):
    checkpoints.write(ARRAYS, VALUES, {})
    checkpoints.write(ARRAYS, {**VALUES, "epoch": 4}, {})
    (checkpoints.path / "current").write_text(pointer)
    found = checkpoints.read()
    assert found.values["epoch"] == 4
    assert ("00000009" if pointer == "00000009" else "current does not name a checkpoint.") in found.instead


def test_where_none_is_whole_both_are_named(checkpoints):
    checkpoints.write(ARRAYS, VALUES, {})
    checkpoints.write(ARRAYS, {**VALUES, "epoch": 4}, {})
    first, second = (checkpoints.path / name for name in ("00000001", "00000002"))
    (first / "state.json").write_text("{}")
    spoil_arrays(second)
    with pytest.raises(RunError) as refusal:
        checkpoints.read()
    assert str(refusal.value) == (
        f"No checkpoint is whole: {second / 'state.safetensors'} cannot be read (its content is not what was "
        f"written); {first / 'state.json'} is a checkpoint of format None; this version reads up to 2. "
        "Start again: linnaea train, with --overwrite."
    )


def test_a_training_is_turned_back_past_an_end_of_an_epoch_that_is_damaged(checkpoints):
    for epoch in (1, 2):
        checkpoints.write(ARRAYS, {"epoch": epoch, "step": 0}, {"history": epoch + 1})
    spoil_arrays(checkpoints.path / "00000002")
    assert checkpoints.rewind().values["epoch"] == 1
    assert folders(checkpoints) == ["00000001"]


@pytest.mark.parametrize("name", ["1²", "٣٣٣٣٣٣٣٣", "9" * 250, "0000000x", "1"])
def test_a_folder_with_another_name_is_no_checkpoint(name, checkpoints):
    checkpoints.write(ARRAYS, VALUES, {})
    (checkpoints.path / name).mkdir()
    checkpoints.write(ARRAYS, {**VALUES, "epoch": 4}, {})
    assert checkpoints.read().values["epoch"] == 4
    assert folders(checkpoints) == sorted([name, "00000001", "00000002"])


def test_pipes_and_links_in_the_place_of_its_files_are_refused_at_once(tmp_path, checkpoints):
    checkpoints.write(ARRAYS, VALUES, {})
    folder = checkpoints.path / "00000001"
    for name in ("state.safetensors", "state.json"):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(
            RunError, match=rf"{name} cannot be read \(.*{name} is a named pipe, not a file\)"
        ):
            checkpoints.read()
        (folder / name).unlink()
        (folder / name).write_bytes(content)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="00000001 is a link; a run has a folder of its own there"):
        checkpoints.read()
    os.mkfifo(tmp_path / "history.jsonl")
    with pytest.raises(RunError, match=r"history\.jsonl is a named pipe, not a file"):
        keep_history(checkpoints.run, 0)


def test_what_a_checkpoint_counts_on_is_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    """In the order of the calls: a power cut can come between any two of them."""
    done, replace, fsync, unlink = [], os.replace, os.fsync, Path.unlink

    def flushed(handle):
        done.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).relative_to(tmp_path)}")
        fsync(handle)

    def renamed(source, target):
        done.append(f"rename {Path(target).relative_to(tmp_path)}")
        replace(source, target)

    def removed(path, missing_ok=False):
        done.append(f"remove {path.relative_to(tmp_path)}")
        unlink(path, missing_ok)

    if not Path("/proc/self/fd").exists():
        pytest.skip("which file is flushed is read from /proc")
    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(Path, "unlink", removed)
    with claimed(tmp_path / "runs" / "1"):
        run = RunFolder.create(tmp_path / "runs" / "1")
        assert done[:2] == ["flush runs", "flush ."]  # the new folder's name in its parent, that one's in its
        run.append_history({"epoch": 0})
        sync_history(run)
        done.clear()
        checkpoints = Checkpoints(run)
        checkpoints.write(ARRAYS, VALUES, {"history": 1})
        counts = done.index("rename runs/1/checkpoint/current")
        for name in ("runs/1", "runs/1/checkpoint", "runs/1/checkpoint/00000001"):
            assert f"flush {name}" in done[:counts]
        assert "flush runs/1/checkpoint" in done[counts:]
        done.clear()
        run.write_bytes("weights.safetensors", b"the result")
        checkpoints.remove()
        result = done.index("rename runs/1/weights.safetensors")
        gone = done.index("remove runs/1/checkpoint/current")
        assert "flush runs/1" in done[result:gone]


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
    interval, written = CheckpointInterval(every=300), 0
    for _ in range(10_000):  # epochs of 10 ms, checkpoints of 5 ms
        clock += 0.010
        if interval.is_due(epoch_over=True):
            written += 1
            clock += 0.005
            interval.written(0.005)
    assert 0.015 < written * 0.005 / clock <= 0.02


def test_within_an_epoch_they_are_as_far_apart_as_was_asked(monkeypatch):
    clock = 0.0
    monkeypatch.setattr("linnaea.runs.checkpoint.time.monotonic", lambda: clock)
    interval, at = CheckpointInterval(every=300), []
    for _ in range(1000):
        if interval.is_due(epoch_over=False):
            at.append(clock)
            interval.written(1.0)
        clock += 1.0
    assert at == [0, 300, 600, 900]


def test_the_lock_dies_with_its_owner(tmp_path):
    code = (
        "import os, sys; from linnaea.runs.guard import claimed\n"
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
    # With those that were made for it, and no others.
    with claimed(tmp_path / "runs" / "mine" / "1"):
        (tmp_path / "runs" / "yours").mkdir()
    assert [path.name for path in (tmp_path / "runs").rglob("*")] == ["yours"]


def test_state_json_is_plain_json(checkpoints):
    checkpoints.write(ARRAYS, {"epoch": 1, "step": 2}, {"history": 2})
    state = json.loads((checkpoints.path / "00000001" / "state.json").read_text())
    assert state["values"] == {"epoch": 1, "step": 2}
