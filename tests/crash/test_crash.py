"""Runs that are killed or whose disk is full, in processes of their own: a sample of make crash-test."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.crash import full, kill, runs

from linnaea.classifiers.finetune.frozen_features import FrozenFeatures
from linnaea.cli import main

# Numbers that kill four, four and two times; killing one run often costs less than many runs once.
KILLED = ((26, runs.PERCEPTRON), (28, runs.PERCEPTRON), (4, runs.FINE_TUNED))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with kill.prepared(tmp_path_factory.mktemp("crash")) as folder:
        for kind in (runs.PERCEPTRON, runs.FINE_TUNED):
            runs.reference(kind, folder)
        yield folder


def test_ten_kills_change_no_weight_no_line_of_history_and_no_prediction(place: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda what: kill.attempt(what[0], place, what[1]), KILLED))
    assert [outcome for outcome in outcomes if outcome.faults] == []
    assert sum(len(outcome.kills) for outcome in outcomes) == 10


def test_a_kill_during_the_probe_costs_the_probe_and_nothing_else(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed, probe = tmp_path / "whole", tmp_path / "killed", FrozenFeatures.probe

    def copied_first(*features: Any, **how: Any) -> Any:
        # The features are made, and there is no probe yet: what SIGKILL would leave of the run just now.
        shutil.copytree(whole, killed)
        monkeypatch.undo()
        return probe(*features, **how)

    monkeypatch.setattr(FrozenFeatures, "probe", copied_first)
    small = ["--model", "test_efficientnet", "--weights", "none", "--size", "32", "--epochs", "1"]
    assert main(["train", str(place / "tiles"), *small, "--set", "views=2", "--out", str(whole)]) == 0
    assert not (killed / "checkpoint").exists()
    assert '"state": "running"' in (killed / "run.json").read_text()
    capsys.readouterr()
    assert main(["resume", str(killed)]) == 0
    assert "from the beginning: no checkpoint was written yet" in capsys.readouterr().err
    assert runs.differences(killed, whole) == []


def test_a_full_disk_keeps_the_checkpoint_and_is_told(place: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda number: full.attempt(number, 10, place, runs.PERCEPTRON), (4, 7)))
    assert [outcome for outcome in outcomes if outcome.faults] == []


def test_a_run_that_differs_is_noticed(place: Path, tmp_path: Path) -> None:
    run, _ = runs.reference(runs.PERCEPTRON, place)
    other = shutil.copytree(run, tmp_path / "other")
    assert runs.differences(other, run) == []
    weights = (other / "weights.safetensors").read_bytes()
    (other / "weights.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    history = (other / "history.jsonl").read_text()
    (other / "history.jsonl").write_text(
        history.replace('"learning_rate": 0.003', '"learning_rate": 0.004', 1)
    )
    (other / ".history.jsonl.abcdefgh.tmp").write_text("torn")
    assert runs.differences(other, run) == [
        "weights.safetensors differs",
        "history.jsonl differs",
        "files: .history.jsonl.abcdefgh.tmp",
    ]
