"""Runs that are killed or whose disk is full, in processes of their own: a sample of make crash-test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash import full, kill, runs

KILLS = 10


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with kill.prepared(tmp_path_factory.mktemp("crash")) as folder:
        yield folder


def test_killed_runs_go_on_to_the_same_weights_history_and_predictions(place: Path) -> None:
    number, outcomes = 0, []
    # A run may be killed several times; one in five is a fine-tuned network, which takes longer.
    while sum(len(outcome.kills) for outcome in outcomes) < KILLS:
        kind = runs.FINE_TUNED if number % 5 == 1 else runs.PERCEPTRON
        outcomes.append(kill.attempt(number, place, kind))
        number += 1
    assert [outcome for outcome in outcomes if outcome.faults] == []


@pytest.mark.parametrize("number", [4, 5])
def test_a_full_disk_keeps_the_checkpoint_and_is_told(place: Path, number: int) -> None:
    assert full.attempt(number, 10, place, runs.PERCEPTRON).faults == []


def test_a_run_that_differs_is_noticed(place: Path, tmp_path: Path) -> None:
    run, _ = runs.reference(runs.PERCEPTRON, place)
    other = tmp_path / "other"
    assert runs.failure(runs.begin(runs.PERCEPTRON, place, other, 0.001)) == ""
    assert runs.differences(other, run) == []
    weights = (other / "weights.safetensors").read_bytes()
    (other / "weights.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    (other / ".history.jsonl.abcdefgh.tmp").write_text("torn")
    assert runs.differences(other, run) == [
        "weights.safetensors differs",
        "files: .history.jsonl.abcdefgh.tmp",
    ]
