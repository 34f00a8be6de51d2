import csv
import json
import os
import shlex
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.commands.conftest import SHORT

import linnaea
from linnaea.classifiers.perceptron.classifier import MLPClassifier
from linnaea.classifiers.registry import classifier_class
from linnaea.cli import main
from linnaea.commands import pipeline
from linnaea.data.flatten import vectors
from linnaea.errors import DivergenceError
from linnaea.evaluation.predictions import Predictions
from linnaea.report import page
from linnaea.runs.folder import NETWORK


def test_a_run_leaves_every_file_of_the_design(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "run.json",
        "split.csv",
        "history.jsonl",
        "predictions.csv",
        "metrics.json",
        "weights.safetensors",
        "model.json",
        "report.html",
    }


def test_the_run_says_what_was_learned_from_what(trained):
    info = json.loads((trained / "run.json").read_text())
    assert info["state"] == "finished"
    # 36 pictures: 11 (30 %, rounded) are tested, 10 % of the other 25 are set aside, at least one a class.
    assert info["data"]["splits"] == {"train": 22, "val": 3, "test": 11}
    assert info["recipe"]["hidden"] == [8]
    assert info["recipe"]["batch_size"] == 100
    assert info["chosen_on"] == "validation accuracy"
    assert 1 <= info["chosen_epoch"] <= 12
    assert set(info["phases"]) == {"data", "train", "evaluate", "report"}
    assert info["phases"]["train"]["seconds"] > 0
    assert info["phases"]["train"]["peak_memory_mib"] > 10
    assert (info["hardware"]["device"], info["hardware"]["accelerator"]) == ("cpu", None)


def test_the_split_names_each_picture_once(trained):
    rows = list(csv.DictReader((trained / "split.csv").read_text().splitlines()))
    assert len({row["path"] for row in rows}) == len(rows) == 36
    tested = {row["path"] for row in rows if row["split"] == "test"}
    assert tested == set(Predictions.read_csv(trained / "predictions.csv").paths)


def test_history_begins_before_training(trained):
    records = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == list(range(13))
    assert set(records[0]) == {
        "epoch",
        "seconds",
        "learning_rate",
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
    }
    assert records[-1]["train_loss"] < records[0]["train_loss"]


def test_metrics_are_those_of_the_predictions(trained):
    table = Predictions.read_csv(trained / "predictions.csv")
    accuracy = json.loads((trained / "metrics.json").read_text())["accuracy"]
    assert accuracy["value"] == np.mean(table.predicted == table.true)
    assert accuracy["low"] < accuracy["value"] <= accuracy["high"]


def test_the_loaded_network_gives_the_probabilities_on_disk(trained, bars):
    from linnaea.data.flatten import vectors
    from linnaea.data.sources import open_dataset

    table = Predictions.read_csv(trained / "predictions.csv")
    dataset = open_dataset(str(bars))
    rows = [dataset.paths.index(path) for path in table.paths]
    probabilities = linnaea.load(trained).predict_proba(vectors(dataset, rows, 12))
    assert np.allclose(probabilities, table.probabilities, atol=1e-8)


def test_two_runs_of_one_seed_are_equal_bit_for_bit(bars, tmp_path):
    for name in ("a", "b"):
        main(
            [
                "train",
                str(bars),
                "--hidden",
                "8",
                "--epochs",
                "3",
                "--set",
                "dropout=0.2",
                "--out",
                str(tmp_path / name),
            ]
        )
    for file in ("weights.safetensors", "predictions.csv", "split.csv", "metrics.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_existing_run_is_kept_unless_overwrite(trained, bars, capsys):
    before = (trained / "run.json").read_bytes()
    assert main(["train", str(bars), "--model", "mlp", "--out", str(trained)]) == 1
    assert "already contains a run. Pass --overwrite to replace it" in capsys.readouterr().err
    assert (trained / "run.json").read_bytes() == before


def test_run_json_is_written_at_the_end_of_a_stage_and_every_other_file_once(bars, tmp_path, monkeypatch):
    written, replace, run = Counter(), os.replace, tmp_path / "run"

    def count(source, target):
        if Path(target).is_relative_to(run):
            written[Path(target).relative_to(run).as_posix()] += 1
        replace(source, target)

    monkeypatch.setattr(os, "replace", count)
    asked = ["--hidden", "8", "--epochs", "30", "--size", "12", "--learning-curve", "true"]
    assert main(["train", str(bars), *asked, "--validation", "0.4", "--out", str(run)]) == 0
    assert written.pop("run.json") <= 8
    assert {name for name, times in written.items() if times > 1} - {"checkpoint/current"} == set()
    once = {*NETWORK, "split.csv", "predictions.csv", "calibration.json", "metrics.json", "report.html"}
    assert once < written.keys()


def test_the_command_is_what_was_typed_and_none_where_python_called(bars, tmp_path):
    run = linnaea.train(str(bars), settings={"hidden": [4], "epochs": 1, "size": 12}, out=tmp_path / "python")
    assert run.info.command is None
    assert "This run was started from Python." in (run.path / "report.html").read_text()
    asked = ["train", str(bars), "--hidden", "4", "--epochs", "1", "--out", str(tmp_path / "a typed one")]
    assert main(asked) == 0
    info = json.loads((tmp_path / "a typed one" / "run.json").read_text())
    assert info["command"] == shlex.join(["linnaea", *asked])
    assert linnaea.train("digits", settings={"epochs": 1}, out=tmp_path / "again").info.command is None


def test_what_train_returns_is_a_run_to_everything_else(bars, tmp_path):
    run = linnaea.train(str(bars), settings={"hidden": [4], "epochs": 1, "size": 12}, out=tmp_path / "run")
    assert linnaea.load(run).classes_.tolist() == linnaea.load(run.path).classes_.tolist()
    assert linnaea.evaluate(run) == linnaea.evaluate(run.path)
    assert linnaea.compare(run, out=tmp_path / "comparison.html").is_file()


def fail_in_the_learning_curve(monkeypatch, how):
    fit, fits = MLPClassifier.fit, []

    def counted(self, *arguments, **named):
        fits.append(self)
        if len(fits) == 2:
            how()
        return fit(self, *arguments, **named)

    monkeypatch.setattr(MLPClassifier, "fit", counted)


CURVE = ["--hidden", "8", "--epochs", "3", "--size", "12", "--validation", "0.4", "--learning-curve", "true"]


def test_ctrl_c_in_the_learning_curve_leaves_the_run_finished(bars, tmp_path, monkeypatch, capsys):
    fail_in_the_learning_curve(monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
    assert main(["train", str(bars), *CURVE, "--out", str(tmp_path / "run")]) == 130
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (info["state"], info["message"]) == ("finished", None)
    assert "learning_curve" not in info
    assert (tmp_path / "run" / "report.html").exists()
    assert not (tmp_path / "run" / "checkpoint").exists()
    assert "Curve not measured: it was interrupted; the run itself is finished" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_signal_ends_the_drawing_and_the_run_is_whole_without_its_page(bars, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "DRAWING", 0.0)
    monkeypatch.setattr(page, "read_run", lambda run: signal.raise_signal(signal.SIGINT))
    assert main(["train", str(bars), *SHORT, "--out", str(tmp_path / "run")]) == 130
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (info["state"], info["message"]) == ("finished", None)
    assert not (tmp_path / "run" / "report.html").exists()
    assert not (tmp_path / "run" / "checkpoint").exists()
    told = " ".join(capsys.readouterr().err.split())
    assert "Report not drawn: it was interrupted; nothing else is missing draw it: linnaea report" in told
    monkeypatch.undo()
    assert main(["report", str(tmp_path / "run")]) == 0


def test_a_learning_curve_that_diverges_costs_the_curve_and_not_the_run(bars, tmp_path, monkeypatch, capsys):
    def diverge():
        raise DivergenceError("Training diverged in epoch 1: the loss is nan.", "Lower the learning rate.")

    fail_in_the_learning_curve(monkeypatch, diverge)
    assert main(["train", str(bars), *CURVE, "--out", str(tmp_path / "run")]) == 0
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (info["state"], "learning_curve" in info) == ("finished", False)
    told = " ".join(capsys.readouterr().err.split())
    assert "Curve not measured: Training diverged in epoch 1: the loss is nan." in told


def test_without_validation_nothing_is_chosen(bars, tmp_path):
    run = linnaea.train(
        str(bars),
        settings={"model": "mlp", "validation": 0, "epochs": 2, "test_curve": True},
        out=tmp_path / "r",
    )
    info = run.info.as_json()
    assert info["data"]["splits"]["val"] == 0
    assert info["chosen_on"] is None
    record = run.history()[-1]
    assert record["val_loss"] is None
    table = Predictions.read_csv(run.path / "predictions.csv")
    assert record["test_accuracy"] == pytest.approx(np.mean(table.predicted == table.true))


def test_a_diverging_run_fails_with_its_cure_and_keeps_the_best_weights(tmp_path, capsys):
    run = tmp_path / "run"
    # With l2 = 1 and a rate of 100 each step multiplies the weights by -99: infinite within one epoch.
    code = main(["train", "digits", "--learning-rate", "100", "--solver", "sgd", "--set", "l2=1",
                 "--hidden", "20", "--epochs", "4", "--out", str(run)])  # fmt: skip
    told = capsys.readouterr().err
    assert code == 1
    assert "Training diverged in epoch 1" in told
    assert "Lower the learning rate" in told
    info = json.loads((run / "run.json").read_text())
    assert info["state"] == "failed"
    assert info["chosen_epoch"] == 0
    assert np.isfinite(linnaea.load(run).predict_proba(np.zeros((1, 784), np.float32))).all()
    assert (run / "report.html").exists()


def test_a_damaged_picture_is_left_out_in_the_open(bars, tmp_path, capsys):
    import shutil

    folder = tmp_path / "bars"
    shutil.copytree(bars, folder)
    (folder / "bar 0" / "00.png").write_bytes((bars / "bar 0" / "00.png").read_bytes()[:60])
    assert main(["train", str(folder), "--model", "mlp", "--epochs", "1", "--out", str(tmp_path / "r")]) == 0
    assert "1 picture left out as unreadable (bar 0/00.png)." in capsys.readouterr().err
    assert (
        main(
            [
                "train",
                str(folder),
                "--model",
                "mlp",
                "--epochs",
                "1",
                "--strict",
                "--out",
                str(tmp_path / "s"),
            ]
        )
        == 1
    )
    assert "bar 0/00.png" in capsys.readouterr().err


def test_the_recorded_losses_of_a_small_real_run(tmp_path):
    """5,000 real digits, 784-30-10, seed 0: float64: the road from the file to the loss has not moved."""
    run = linnaea.train(
        "digits",
        settings={
            "hidden": [30],
            "epochs": 3,
            "dtype": "float64",
            "seed": 0,
            "solver": "nesterov",
            "learning_rate": 0.1,
        },
        out=tmp_path / "run",
    )
    losses = [round(record["train_loss"], 6) for record in run.history()]
    assert losses == pytest.approx([2.376648, 0.370011, 0.2465510, 0.138687], rel=1e-4)


def test_any_setting_is_an_option_by_its_name(bars, tmp_path, capsys):
    run = tmp_path / "run"
    short = ["train", str(bars), "--hidden", "8", "--epochs", "1", "--size", "12"]
    assert main([*short, "--input-dropout", "0.25", "--out", str(run)]) == 0
    assert json.loads((run / "run.json").read_text())["recipe"]["input_dropout"] == 0.25
    assert main([*short, "--input-dropuot", "0.25", "--out", str(tmp_path / "other")]) == 2
    assert "There is no setting 'input_dropuot'. Did you mean 'input_dropout'" in capsys.readouterr().err


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("model", ["mlp", "keras"])
def test_the_command_line_and_python_keep_the_same_epoch(model, keep, bars, tmp_path):
    run = tmp_path / "run"
    # At this rate the fourth epoch is better than the two after it.
    arguments = ["--hidden", "8", "--epochs", "6", "--size", "12", "--validation", "0.3", "--solver", "sgd",
                 "--learning-rate", "0.6", "--keep", keep]  # fmt: skip
    assert main(["train", str(bars), "--model", model, *arguments, "--out", str(run)]) == 0
    info = json.loads((run / "run.json").read_text())
    assert info["chosen_on"] == ("validation accuracy" if keep == "best" else None)
    dataset = linnaea.open_dataset(bars)
    rows = list(csv.DictReader((run / "split.csv").read_text().splitlines()))
    train, val = (
        [dataset.paths.index(row["path"]) for row in rows if row["split"] == part]
        for part in ("train", "val")
    )
    names = {"hidden": "hidden_layer_sizes", "seed": "random_state"}
    told = {
        name: info["recipe"][name] for name in ("hidden", "epochs", "solver", "learning_rate", "seed", "keep")
    }
    classifier = classifier_class(model)(**{names.get(name, name): value for name, value in told.items()})
    pairs = [(vectors(dataset, part, 12), dataset.labels[part]) for part in (train, val)]
    classifier.fit(*pairs[0], validation_data=pairs[1])
    assert classifier.chosen_epoch_ == info["chosen_epoch"]
    assert classifier.chosen_epoch_ == (4 if keep == "best" else 6)
    loaded = linnaea.load(run)
    classifier.temperature_ = loaded.temperature_  # which fit leaves at 1
    assert np.array_equal(classifier.predict_proba(pairs[1][0]), loaded.predict_proba(pairs[1][0]))
