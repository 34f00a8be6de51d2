"""Runs of every format version that there ever was still load, predict, and can be judged and drawn again."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import linnaea
from linnaea.cli import main
from linnaea.data.vectors import vectors
from linnaea.runs.folder import FORMAT_VERSION

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
RUNS = sorted(path.parent.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("v*/*/run.json"))


@pytest.fixture(params=RUNS)
def run(request, tmp_path) -> Path:
    """A copy of a golden run, its weights unpacked, beside the pictures that it was trained on."""
    source = GOLDEN / request.param
    shutil.copytree(source.parent / "bars", tmp_path / "bars")
    folder = Path(shutil.copytree(source, tmp_path / source.name))
    packed = folder / "weights.safetensors.gz"
    (folder / "weights.safetensors").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return folder


def test_there_is_one_of_each_format_and_kind():
    assert {name.partition("/")[2] for name in RUNS} == {"perceptron", "keras", "finetune", "stopped"}
    assert max(int(name.partition("/")[0][1:]) for name in RUNS) == FORMAT_VERSION


def test_it_predicts_what_its_table_says(run):
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classifier = linnaea.load(run)
    pictures = [run.parent / "bars" / row["path"] for row in rows]
    if run.name != "finetune":
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
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_text().rstrip().endswith("</html>")
    capsys.readouterr()
    picture = run.parent / "bars" / "bar 1" / "0.png"
    assert main(["predict", str(run), str(picture), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["predicted"].startswith("bar ")


def test_a_run_of_then_can_be_gone_on_with(run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)  # its pictures are named by a relative path
    assert main(["report", str(run)]) == 0
    assert main(["resume", str(run)]) == 0
    told = capsys.readouterr().err
    if run.name != "stopped":
        assert "is finished: there is nothing to go on with" in told
        return
    assert "Resume    from epoch " in told
    assert "The processor was " in told
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == list(range(61))
    assert json.loads((run / "run.json").read_text())["state"] == "finished"
