"""The real commands on real photographs, cut into small tiles of a temple and of a flower."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import linnaea
from linnaea.cli import main

TILE, EACH = 64, 20  # pixels a side; tiles of each photograph
SMALL = ["--model", "mobilenetv2_050", "--weights", "none", "--size", "32", "--set", "views=1"]


@pytest.fixture(scope="session")
def tiles(tmp_path_factory) -> Path:
    """Two classes of tiles in folders, from scikit-learn's two photographs."""
    folder = tmp_path_factory.mktemp("photographs") / "my photographs"
    for name, photograph in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(EACH):
            top, left = 80 + TILE * (number // 5), 150 + TILE * (number % 5)
            tile = Image.fromarray(photograph[top : top + TILE, left : left + TILE])
            tile.save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def run(tiles, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiles"
    extra = ["--epochs", "2", "--batch-size", "8", "--set", "tensorboard=true"]
    assert main(["train", str(tiles), *SMALL, *extra, "--out", str(run)]) == 0
    return run


def test_a_run_tells_of_its_probe_and_what_it_alone_would_have_scored(run):
    info = json.loads((run / "run.json").read_text())
    assert info["state"] == "finished"
    assert info["network"]["summary"].startswith("mobilenetv2_050 · random weights")
    assert info["probe"]["split"] == "validation"
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [0, 1, 2]
    assert info["probe"]["accuracy"] == history[0]["val_accuracy"]
    assert info["kept"] == ("probe" if info["chosen_epoch"] == 0 else "fine-tuned")
    # Where the probe is what was kept, it is the result, and not what the result is compared with.
    alone = {"the probe alone"} - ({"the probe alone"} if info["kept"] == "probe" else set())
    assert set(info["baselines"]) == {*alone, "always the largest class"}
    assert ("the probe alone" in (run / "report.html").read_text()) is bool(alone)


def test_the_loaded_network_predicts_what_the_table_says(run, tiles):
    with (run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    classifier = linnaea.load(run)
    probabilities = classifier.predict_proba([tiles / row["path"] for row in rows])
    told = [[float(row[name]) for name in classifier.classes_] for row in rows]
    np.testing.assert_allclose(probabilities, told, atol=1e-6)
    assert classifier.predict(str(tiles / rows[0]["path"])).tolist() == [rows[0]["predicted"]]
    # What train returns is taken for what it wrote; a folder of pictures for the pictures in it, in order.
    of_folder = linnaea.load(linnaea.RunFolder.open(run)).predict(tiles)
    names = sorted(path.relative_to(tiles).as_posix() for path in tiles.rglob("*.png"))
    assert len(of_folder) == len(names)
    for row in rows:
        assert of_folder[names.index(row["path"])] == row["predicted"]


def test_predict_takes_photographs_of_any_size_and_mode(run, tmp_path, capsys):
    temple = Image.fromarray(load_sample_images().images[0])
    temple.convert("CMYK").save(tmp_path / "whole.jpg")
    temple.resize((31, 500)).convert("P").save(tmp_path / "narrow.png")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    files = [str(tmp_path / name) for name in ("whole.jpg", "narrow.png", "torn.jpg")]
    assert main(["predict", str(run), *files, "--format", "json"]) == 1
    answers = json.loads(capsys.readouterr().out)
    assert [set(answer) for answer in answers[:2]] == [
        {"path", "predicted", "probability", "probabilities", "ood", "ood_score"}
    ] * 2
    assert set(answers[2]) == {"path", "error"}


def test_predict_computes_where_it_is_told(run, tiles, capsys):
    picture = str(next(tiles.rglob("*.png")))
    answers = []
    for device in ([], ["--device", "cpu"], ["--device", "auto"]):
        assert main(["predict", str(run), picture, *device, "--format", "json"]) == 0
        answers.append(json.loads(capsys.readouterr().out)[0]["probability"])
    assert answers == pytest.approx([answers[0]] * 3, abs=1e-3)
    assert linnaea.load(run, device="cpu").compute_device == "cpu"
    assert main(["predict", str(run), picture, "--device", "cuda:77"]) == 2
    assert "There is no device 'cuda:77' here." in capsys.readouterr().err


def test_tensorboard_finds_the_curves(run):
    assert sorted(path.name for path in (run / "tensorboard").iterdir()) == ["train", "val"]


def test_a_budget_is_planned_told_and_recorded(tiles, tmp_path, capsys):
    # Forty pictures are too few for fine-tuning, whatever the time.
    planned = [*SMALL[:-2], "--budget", "120s", "--out", str(tmp_path / "r")]
    assert main(["train", str(tiles), *planned]) == 0
    told = capsys.readouterr().err
    assert "Plan      the probe only, on" in told
    assert "pictures are too few for fine-tuning to pay." in told
    # Of a probe alone no line tells of epochs, nor an empty one.
    assert "\n\n" not in told
    info = json.loads((tmp_path / "r" / "run.json").read_text())
    assert info["plan"]["train_from"] == "probe"
    # What was done stands among the settings, so that a rerun does it again.
    assert {name: info["recipe"][name] for name in ("budget", "epochs", "views", "patience")} == {
        "budget": 120,
        "epochs": 0,
        "views": 16,
        "patience": None,
    }
    page = (tmp_path / "r" / "report.html").read_text()
    assert "<dt>Plan</dt><dd>the probe only, on 16 views of each picture</dd>" in page
    assert "fine-tuning did not beat" not in told


def test_a_budget_that_cannot_be_met_is_told_before_the_plan(tiles, tmp_path, capsys):
    assert main(["train", str(tiles), *SMALL[:-2], "--budget", "1s", "--out", str(tmp_path / "r")]) == 0
    told = capsys.readouterr().err
    (line,) = [line for line in told.splitlines() if line.startswith("Budget")]
    assert re.fullmatch(
        r"Budget +1\.0 s is too short here: expect about [\d.]+ s\. --budget \d+0s would be met\.", line
    )
    planned = "Plan      the probe only, on 1 view of each picture. That is the least there is"
    assert told.index(line) < told.index(planned)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--model", "mlp", "--budget", "10m"], "The model mlp has no setting budget."),
        (["--budget", "soon"], "budget must be a length of time, such as 90s, 10m or 2h; received 'soon'."),
        (
            ["--budget", "60s", "--train-from", "head", "--epochs", "5", "--views", "1"],
            "With --budget the plan decides --train-from and --epochs and --views; received both. "
            "Leave out --budget, or --train-from and --epochs and --views.",
        ),
        (
            ["--budget", "60s", "--learning-curve", "true"],
            "A learning curve takes time that a --budget does not plan for; received both. "
            "Leave out --budget, or --learning-curve.",
        ),
        (["--views", "1e9"], "views"),
        (["--hidden", "50", "--model", "resnet18"], "The model resnet18 has no setting hidden."),
        (["--set", "mixup=0.8"], "mixup 0.8 and cutmix 0.25 are more than all batches together."),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(arguments, sentence, tiles, tmp_path, capsys):
    code = main(["train", str(tiles), *arguments, "--out", str(tmp_path / "r")])
    assert code in (1, 2)
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert not (tmp_path / "r").exists()


def test_missing_weights_stop_one_network_and_not_the_others(shared, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    from linnaea.commands import reproduce as module

    part = module.Part("Photographs", "digits", ("demo-one-hidden", "part2-resnet50"), {"0.7": "70-30"})
    monkeypatch.setitem(module.PARTS, "part2", part)
    arguments = ["reproduce", "part2", "--split", "0.7", "--quick", "--out", str(tmp_path / "part2")]
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert "Not reproduced: ResNet50, as reported." in told.err
    assert (tmp_path / "part2" / "70-30" / "comparison.html").exists()
