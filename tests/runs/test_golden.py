"""Runs of every format version that there ever was still load, predict, and can be judged and drawn again."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

import linnaea
from linnaea.cli import main
from linnaea.data.flatten import vectors
from linnaea.runs.checkpoint import FORMAT_VERSION as CHECKPOINT_VERSION
from linnaea.runs.folder import FORMAT_VERSION

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
RUNS = sorted(path.parent.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("v*/*/run.json"))
GROUPS = sorted(path.parent.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("v*/*/repeats.json"))
KINDS = {"perceptron", "keras", "finetune", "tuned", "stopped", "keras-stopped", "tuned-stopped"}
PHOTOGRAPHS = {"finetune", "tuned", "tuned-stopped"}


def unpacked(name: str, place: Path) -> Path:
    """Return a copy of a golden run, beside the pictures that it was trained on and its first weights."""
    source = GOLDEN / name
    shutil.copytree(source.parent / "bars", place / "bars")
    shutil.copy(source.parent / "backbone.safetensors.gz", place)
    folder = Path(shutil.copytree(source, place / source.name))
    for packed in place.rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return folder


@pytest.fixture(params=RUNS)
def run(request, tmp_path) -> Path:
    return unpacked(request.param, tmp_path)


def test_there_is_one_of_each_format_and_kind():
    assert {name.partition("/")[2] for name in RUNS} == KINDS
    assert {name.partition("/")[2] for name in GROUPS} == {"repeats"}
    assert max(int(name.partition("/")[0][1:]) for name in RUNS) == FORMAT_VERSION


def test_there_is_a_checkpoint_of_each_format():
    states = [json.loads(path.read_text()) for path in GOLDEN.glob("v*/**/checkpoint/*/state.json")]
    assert {state["format_version"] for state in states} == set(range(1, CHECKPOINT_VERSION + 1))


def test_it_predicts_what_its_table_says(run):
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classifier = linnaea.load(run)
    pictures = [run.parent / "bars" / row["path"] for row in rows]
    if run.name not in PHOTOGRAPHS:
        dataset = linnaea.open_dataset(run.parent / "bars")
        pictures = vectors(dataset, [dataset.paths.index(row["path"]) for row in rows], 8)
    told = [[float(row[name]) for name in classifier.classes_] for row in rows]
    np.testing.assert_allclose(classifier.predict_proba(pictures), told, atol=1e-4)


def test_it_can_be_judged_drawn_and_asked_again(run, capsys):
    before = json.loads((run / "metrics.json").read_text())
    assert main(["evaluate", str(run)]) == 0
    after = json.loads((run / "metrics.json").read_text())
    for name, metric in before.items():
        assert after[name]["value"] == pytest.approx(metric["value"], nan_ok=True), name
    # Drawn with the new numbers, as linnaea report does.
    assert (run / "report.html").read_text().rstrip().endswith("</html>")
    capsys.readouterr()
    picture = run.parent / "bars" / "bar 1" / "0.png"
    assert main(["predict", str(run), str(picture), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["predicted"].startswith("bar ")


def test_a_run_of_then_that_is_finished_is_told_to_be(tmp_path, capsys):
    assert main(["resume", str(unpacked("v1/perceptron", tmp_path))]) == 0
    assert "is finished: there is nothing to continue" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["perceptron", "keras", "tuned"])
def test_a_run_whose_patience_was_all_its_epochs_is_repeated_with_the_same_epoch(name, tmp_path, monkeypatch):
    run = unpacked(f"v1/{name}", tmp_path)
    monkeypatch.chdir(tmp_path)
    before = json.loads((run / "run.json").read_text())
    assert before["recipe"]["patience"] == before["recipe"]["epochs"]
    main(["rerun", str(run), "--out", "again"])  # on another processor, not bit for bit
    after = json.loads((tmp_path / "again" / "run.json").read_text())
    told = ("chosen_epoch", "chosen_on")
    assert [before[key] for key in told] == [after[key] for key in told]
    assert after["recipe"]["keep"] == "best"


@pytest.mark.parametrize("name", [name for name in RUNS if name.endswith("stopped")])
def test_a_run_of_then_that_was_stopped_can_be_gone_on_with(name, tmp_path, capsys, monkeypatch):
    run = unpacked(name, tmp_path)
    monkeypatch.chdir(tmp_path)  # its pictures are named by a relative path
    assert main(["resume", str(run)]) == 0
    told = capsys.readouterr().err
    assert "Resume    from epoch " in told
    assert "The processor was " in told
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    info = json.loads((run / "run.json").read_text())
    assert [record["epoch"] for record in history] == list(range(info["recipe"]["epochs"] + 1))
    assert info["state"] == "finished"


def test_the_tuned_run_learned_more_than_its_probe_or_head():
    folder = GOLDEN / "v1" / "tuned"
    info = json.loads((folder / "run.json").read_text())
    assert (info["kept"], info["chosen_epoch"] > 0) == ("fine-tuned", True)
    learned, first = (
        load(gzip.decompress(path.read_bytes()))
        for path in (folder / "weights.safetensors.gz", folder.parent / "backbone.safetensors.gz")
    )
    assert not np.array_equal(learned["norm.weight"], first["norm.weight"])


@pytest.mark.parametrize("name", GROUPS)
def test_repeats_of_then_can_be_gone_on_with_judged_and_drawn_again(name, tmp_path, capsys, monkeypatch):
    group = unpacked(name, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert json.loads((group / "repeats.json").read_text())["state"] == "interrupted"
    assert main(["resume", str(group)]) == 0
    told = json.loads((group / "repeats.json").read_text())
    assert (told["state"], told["runs"], told["evaluated"]) == ("finished", ["1", "2"], 2)
    before = told["metrics"]["accuracy"]
    assert main(["evaluate", str(group), "--format", "json"]) == 0
    assert json.loads((group / "repeats.json").read_text())["metrics"]["accuracy"] == before
    assert "Resume    from epoch " in capsys.readouterr().err
