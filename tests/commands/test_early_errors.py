"""What is told before a picture is read, in one sentence, and what a run that came to nothing leaves."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.cli import main
from linnaea.commands import study
from linnaea.errors import RunError
from linnaea.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--model", "gmlp_ti16_224", "--size", "64"],
            "gmlp_ti16_224 takes pictures of 224 x 224 pixels only; received size 64. Leave size out, "
            "or choose a network of convolutions, such as mobilenetv2.",
        ),
        (
            ["--model", "test_efficientnet", "--train-from", "layer9"],
            "The network has no stage 'layer9'. Its stages: all, head, conv_stem, ",
        ),
    ],
)
def test_a_network_that_cannot_be_is_told_before_the_pictures_are_read(
    arguments, sentence, bars, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(study, "open_study", lambda *_, **__: pytest.fail("the pictures were read"))
    assert main(["train", str(bars), "--weights", "none", *arguments, "--out", str(tmp_path / "r")]) in (1, 2)
    told = " ".join(capsys.readouterr().err.split())
    assert sentence in told
    assert "starting" not in told
    assert not (tmp_path / "r").exists()


def test_weights_for_another_network_are_told_before_the_pictures_are_read(
    bars, tmp_path, capsys, monkeypatch
):
    from safetensors.torch import save_file
    from torch import ones

    save_file({"a": ones(1)}, tmp_path / "w.safetensors")
    monkeypatch.setattr(study, "open_study", lambda *_, **__: pytest.fail("the pictures were read"))
    weights = ["--model", "test_efficientnet", "--weights", str(tmp_path / "w.safetensors")]
    assert main(["train", str(bars), *weights, "--out", str(tmp_path / "r")]) == 1
    assert "It probably belongs to another network" in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(os.name == "nt", reason="the system has no such limit")
def test_rows_that_memory_cannot_hold_are_refused_before_the_pictures_are_read(tmp_path):
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY));"
        "from linnaea.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [
        sys.executable,
        "-c",
        script,
        "train",
        "digits",
        "--size",
        "2000",
        "--out",
        str(tmp_path / "r"),
    ]
    # One thread: each reserves addresses.
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=one_thread)
    assert ran.returncode == 2
    assert re.search(
        r"5,000 pictures of 2,000 x 2,000 pixels and their perceptron would take 103 GB of memory, and "
        r"\d\.\d GB are free\. Choose --size \d{3} or less, or a pretrained network",
        ran.stderr,
    )
    assert not (tmp_path / "r").exists()


def test_weights_that_memory_cannot_hold_are_refused_before_the_pictures_are_read(bars, tmp_path, capsys):
    arguments = ["--hidden", "1000000,1000000", "--out", str(tmp_path / "r")]
    assert main(["train", str(bars), *arguments]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(
        r"would take 16,0\d\d GB of memory, and .* free\. Choose fewer units \(--hidden\), or", told
    )
    assert not (tmp_path / "r").exists()


def test_a_run_that_failed_before_it_learned_gives_way_to_another(tmp_path):
    run = RunFolder.create(tmp_path / "r")
    run.update_info(state="failed")
    run.flush()
    run.write_text("split.csv", "path,label,split\n")
    RunFolder.create(tmp_path / "r")
    assert not (tmp_path / "r" / "split.csv").exists()
    run.update_info(state="failed")
    run.flush()
    run.append_history({"epoch": 0})
    with pytest.raises(RunError, match="already contains a run"):
        RunFolder.refuse_taken(tmp_path / "r")


def test_a_class_without_test_pictures_is_named(bars, tmp_path, capsys):
    for part in ("train", "test"):
        shutil.copytree(bars, tmp_path / "divided" / part)
    shutil.rmtree(tmp_path / "divided" / "test" / "bar 1")
    quick = ["--hidden", "4", "--epochs", "1", "--size", "12", "--out", str(tmp_path / "r")]
    assert main(["train", str(tmp_path / "divided"), *quick]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "The class 'bar 1' has no test picture and cannot be evaluated." in told


def test_strict_names_whatever_would_be_left_out_at_once(bars, tmp_path, capsys):
    folder = shutil.copytree(bars, tmp_path / "bars")
    (folder / "bar 0" / "notes.txt").write_text("of no use")
    (folder / "bar 0" / "torn.png").write_bytes(b"no picture")
    assert main(["train", str(folder), "--hidden", "4", "--strict", "--out", str(tmp_path / "r")]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "1 file that would be left out (bar 0/notes.txt)" in told
    assert "1 picture cannot be read" in told
    assert "torn.png" in told


def test_models_lists_a_network_once(capsys):
    assert main(["models", "--search", "efficientnet_lite", "--format", "json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names[0] == "efficientnet_lite0"
    assert len(names) == len(set(names))


def test_an_unfitted_classifier_says_so():
    import numpy as np
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        FineTuneClassifier().predict(np.zeros((1, 32, 32, 3), np.uint8))
