import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from linnaea.errors import RunError
from linnaea.runs import run_diff
from linnaea.runs.folder import RunFolder

HISTORY = [{"epoch": 0, "seconds": 0.1, "train_loss": 2.0}, {"epoch": 1, "seconds": 0.2, "train_loss": 1.5}]
TABLE = "path,true,predicted,cat,dog\na.png,cat,cat,0.75,0.25\nb.png,dog,dog,0.4,0.6\n"


def write(folder: Path, weight: float = 1.0, history=HISTORY, table: str = TABLE, **info) -> RunFolder:
    run = RunFolder.create(folder)
    run.update_info(**{"recipe": {"epochs": 1}, "versions": {"numpy": "2.1"}, "threads": {"blas": 2}, **info})
    run.flush()
    save_file(
        {"a": np.ones(3, np.float32), "b": np.array([weight, 4], np.float32)}, folder / "weights.safetensors"
    )
    for record in history:
        run.append_history(record)
    run.write_text("predictions.csv", table)
    return run


def test_runs_that_differ_in_time_only_are_the_same(tmp_path):
    later = [{**record, "seconds": 9.0} for record in HISTORY]
    assert run_diff.differences(write(tmp_path / "a"), write(tmp_path / "b", history=later)) == []


def test_each_difference_is_a_sentence_with_its_size(tmp_path):
    one = write(tmp_path / "a")
    history = [HISTORY[0], {**HISTORY[1], "train_loss": 1.25}]
    other = write(
        tmp_path / "b", 1.5, history, TABLE.replace("0.4,0.6", "0.55,0.45").replace("dog,dog", "dog,cat")
    )
    assert run_diff.differences(one, other) == [
        "History: the first epoch that differs is 1, train loss 1.5 and 1.25.",
        "Weights: 1 of 2 tensors differ, by up to 0.5 (b, whose largest weight is 4).",
        "Predictions: probabilities differ by up to 0.15 (b.png); 1 answer changed of 2.",
    ]


def test_another_network_and_another_length_are_told(tmp_path):
    one, other = write(tmp_path / "a"), write(tmp_path / "b", history=HISTORY[:1])
    save_file({"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}, other.path / "weights.safetensors")
    assert run_diff.differences(one, other) == [
        "History: 1 epoch and 0 epochs.",
        "Weights: the networks are different ones (a).",
    ]


def test_the_circumstances_that_differ_are_named(tmp_path):
    one = write(
        tmp_path / "a", git={"commit": "1234", "dirty": False}, hardware={"processor": "x", "cores": 2}
    )
    other = write(
        tmp_path / "b",
        versions={"numpy": "2.2", "torch": "2.8"},
        threads={"blas": 4},
        recipe={"epochs": 2, "split_from": "a"},
        git={"commit": "5678", "dirty": True},
        hardware={"processor": "y", "cores": 2},
    )
    assert run_diff.reasons(one, other, ignored=("split_from",)) == [
        "The version of numpy was 2.1 and is 2.2.",
        "The version of torch was none and is 2.8.",
        "The processor was x and is y.",
        "The number of blas threads was 2 and is 4.",
        "The setting epochs was 1 and is 2.",
        "The git commit was 1234 and is 5678.",
        "The git repository had uncommitted changes.",
    ]


def test_a_run_without_weights_cannot_be_compared(tmp_path):
    one, other = write(tmp_path / "a"), write(tmp_path / "b")
    (other.path / "weights.safetensors").unlink()
    with pytest.raises(RunError) as error:
        run_diff.differences(one, other)
    assert str(error.value) == (
        f"{other.path / 'weights.safetensors'} is missing. Compare runs that are finished."
    )


def test_what_an_older_run_did_not_record_is_no_reason(tmp_path):
    one, other = write(tmp_path / "a"), write(tmp_path / "b", git={"commit": "1", "dirty": False})
    info = json.loads((one.path / "run.json").read_text())
    del info["threads"]
    (one.path / "run.json").write_text(json.dumps(info))
    assert run_diff.reasons(one, other) == []


def test_a_network_trained_on_an_accelerator_is_said_to_have_no_promise(tmp_path):
    used = {
        "hardware": {"accelerator": "H200"},
        "network": {"summary": "resnet50 · bf16, channels last, H200"},
    }
    one, other = write(tmp_path / "a", **used), write(tmp_path / "b", **used)
    assert run_diff.reasons(one, other) == [
        "The network was trained on an accelerator, where sums have no fixed order: the same bits are only "
        "promised for the processor."
    ]
    newer = used | {"hardware": {"device": "cuda:1", "accelerator": "H200"}}
    assert len(run_diff.reasons(write(tmp_path / "e", **newer), write(tmp_path / "f", **newer))) == 1
    # One that was there and not used.
    beside = used | {"network": {"summary": "resnet50 · float32, channels last, 2 threads"}}
    assert run_diff.reasons(write(tmp_path / "c", **beside), write(tmp_path / "d", **beside)) == []
