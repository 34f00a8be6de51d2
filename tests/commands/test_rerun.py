"""A run repeated: the same bit for bit, or what differs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from linnaea.cli import main
from linnaea.commands import rerun as module
from linnaea.runs import provenance
from linnaea.runs.schema import Opened, RunInfo


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """The shared perceptron's run, to be tampered with."""
    return Path(shutil.copytree(trained, tmp_path / "copied"))


def change(run: Path, **changes) -> None:
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, **changes}))


def test_a_perceptron_is_the_same_bit_for_bit(trained, tmp_path, capsys):
    again = tmp_path / "again"
    assert main(["rerun", str(trained), "--out", str(again)]) == 0
    assert f"{again} is {trained} bit for bit: weights, history and predictions" in capsys.readouterr().err
    for name in ("weights.safetensors", "predictions.csv"):
        assert (trained / name).read_bytes() == (again / name).read_bytes()
    told = json.loads((again / "run.json").read_text())["rerun_of"]
    assert told == {"run": str(trained), "same": True, "differences": [], "reasons": []}


def test_a_run_records_all_that_repeating_it_needs(trained, bars):
    info = json.loads((trained / "run.json").read_text())
    assert info["opened"] == {
        "data": str(bars), "data_dir": None, "strict": False, "folder": str(Path.cwd())
    }  # fmt: skip
    assert info["threads"]["blas"] >= 1
    assert {"commit", "dirty"} == set(info["git"] or {"commit", "dirty"})
    assert len(info["data"]["fingerprint"]) == len(info["data"]["split_hash"]) == 32
    assert info["recipe"]["seed"] == 0
    assert {"seconds", "peak_memory_mib"} <= set(info["phases"]["evaluate"])


def test_what_differs_is_told_and_the_exit_code_is_one(copied, tmp_path, capsys):
    weights = load_file(copied / "weights.safetensors")
    weights["coefs.0"][0, 0] += np.float32(0.25)
    save_file(weights, copied / "weights.safetensors")
    change(copied, versions={**json.loads((copied / "run.json").read_text())["versions"], "numpy": "1.0"})
    again = tmp_path / "again"
    assert main(["rerun", str(copied), "--out", str(again)]) == 1
    told = capsys.readouterr().err
    assert "Weights: 1 of 4 tensors differ, by up to 0.25 (coefs.0, whose largest weight is" in told
    assert "The version of numpy was 1.0 and is 2" in told
    assert f"{again} is not {copied} bit for bit. See the differences above." in told
    assert json.loads((again / "run.json").read_text())["rerun_of"]["same"] is False


def test_pictures_that_changed_are_named_and_nothing_is_trained(copied, bars, tmp_path, capsys):
    moved = tmp_path / "bars"
    shutil.copytree(bars, moved)
    (moved / "bar 0" / "00.png").write_bytes((moved / "bar 1" / "01.png").read_bytes())
    (moved / "bar 2" / "03.png").unlink()
    opened = json.loads((copied / "run.json").read_text())["opened"]
    change(copied, opened={**opened, "data": str(moved)})
    assert main(["rerun", str(copied), "--out", str(tmp_path / "again")]) == 1
    told = capsys.readouterr().err
    assert "1 missing: bar 2/03.png; 1 changed: bar 0/00.png" in told
    assert not (tmp_path / "again").exists()


def test_data_that_is_gone_is_named(copied, tmp_path, capsys):
    opened = {"data": "gone/away", "data_dir": None, "strict": False, "folder": str(tmp_path)}
    change(copied, opened=opened)
    assert main(["rerun", str(copied), "--out", str(tmp_path / "again")]) == 2
    assert f"There is no data set or folder '{tmp_path / 'gone/away'}'." in capsys.readouterr().err


def test_relative_paths_start_from_the_folder_of_that_day(tmp_path):
    (tmp_path / "there").mkdir()
    info = RunInfo(opened=Opened(folder=str(tmp_path)))
    assert provenance.weights_from("there", info) == str(tmp_path / "there")
    assert provenance.weights_from(str(tmp_path), RunInfo(opened=Opened(folder="/elsewhere"))) == str(
        tmp_path
    )


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda run: change(run, state="interrupted"), "is interrupted: there is no result to repeat."),
        (lambda run: change(run, recipe=None), "does not record how the run was made. Train again."),
        (lambda run: (run / "split.csv").unlink(), "split.csv is missing. Restore it"),
        (
            lambda run: (run / "split.csv").write_text(
                (run / "split.csv").read_text().replace(",test,", ",train,", 1)
            ),
            "split.csv is not the split that the run was made with: its hash is",
        ),
        (lambda run: (run / "run.json").unlink(), "is not a run folder (no run.json in it)."),
    ],
)
def test_what_cannot_be_repeated_is_one_sentence(spoil, sentence, copied, tmp_path, capsys):
    spoil(copied)
    assert main(["rerun", str(copied), "--out", str(tmp_path / "again")]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_plan_is_repeated_as_it_came_out(copied):
    plan = {
        "train_from": "probe",
        "epochs": 0,
        "views": 2.75,
        "first_size": None,
        "ema": 0.98,
        "seconds": 9.0,
    }
    change(copied, plan=plan, recipe={"model": "mobilenetv2", "budget": 30.0, "epochs": 15, "views": 4})
    folder = module.RunFolder.open(copied)
    settings = module._settings(folder)
    assert {name: settings[name] for name in ("budget", "train_from", "epochs", "views")} == {
        "budget": None,
        "train_from": "all",
        "epochs": 0,
        "views": 2.75,
    }
    assert settings["split_from"] == str(copied)
