"""The network that --model auto takes: tried on the pictures, recorded, and used again by what follows."""

import json
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.short_names import CANDIDATES, KNOWN
from linnaea.cli import main

# As small as it can be: the probe alone, on one view of each picture.
SHORT = ["--size", "32", "--epochs", "0", "--set", "views=1"]
TRANSFORMER = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture(scope="session")
def cached(tmp_path_factory) -> Path:
    """A hub's cache with weights for vit_tiny: random ones, which know places but no things."""
    cache = tmp_path_factory.mktemp("hub")
    snapshot = cache / f"models--timm--{TRANSFORMER}" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    torch.manual_seed(0)
    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), snapshot / "model.safetensors")
    return cache


@pytest.fixture
def both_here(cached, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cached))


@pytest.fixture(scope="module")
def run(cached, bars, tmp_path_factory) -> Path:
    """A run that chose between the two."""
    run = tmp_path_factory.mktemp("auto") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cached))
        assert main(["train", str(bars), *SHORT, "--out", str(run)]) == 0
    return run


def info_of(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())


def test_without_other_weights_the_installed_network_is_taken_and_what_is_missing_told(
    bars, tmp_path, capsys
):
    assert main(["train", str(bars), *SHORT, "--out", str(tmp_path / "r")]) == 0
    told = capsys.readouterr().err
    assert "Chosen    efficientnet_lite0, the only network whose weights are here" in told
    assert "vit_tiny was not downloaded (23 MB): offline mode is on (HF_HUB_OFFLINE)" in told
    info = info_of(tmp_path / "r")
    assert info["model"] == info["recipe"]["model"] == "efficientnet_lite0"
    assert info.get("selection") is None


def test_the_better_network_on_the_training_pictures_is_taken_and_recorded(run):
    info = info_of(run)
    tried = {each["model"]: each["accuracy"] for each in info["selection"]["tried"]}
    assert set(tried) == {"efficientnet_lite0", "vit_tiny"}
    assert info["selection"]["pictures"] == info["data"]["splits"]["train"]
    assert info["selection"]["folds"] == 5
    best = max(tried, key=tried.get)
    # Where a bar stands, patches with their positions tell better than a map of 1 x 1.
    assert tried["vit_tiny"] > tried["efficientnet_lite0"]
    assert info["model"] == info["recipe"]["model"] == best == "vit_tiny"
    assert json.loads((run / "model.json").read_text())["backbone"] == best
    assert "choose" in info["phases"]
    how = info["chosen"]["network"]
    assert how.startswith(f"by the linear probe over 5 folds of {info['selection']['pictures']} training ")
    assert how in (run / "report.html").read_text()


@pytest.mark.usefixtures("both_here")
def test_rerun_and_a_split_used_again_take_the_same_network_untried(run, bars, tmp_path, capsys):
    assert main(["rerun", str(run), "--out", str(tmp_path / "again")]) == 0
    told = capsys.readouterr().err
    assert "bit for bit" in told
    assert "Chosen" not in told
    command = ["train", str(bars), *SHORT, "--split-from", str(run), "--out", str(tmp_path / "r")]
    assert main(command) == 0
    assert f"Chosen    vit_tiny, as in {run}" in capsys.readouterr().err


@pytest.mark.usefixtures("both_here")
def test_a_run_that_was_stopped_goes_on_with_the_network_that_it_chose(bars, tmp_path, monkeypatch, capsys):
    from linnaea.commands import pipeline

    def stop(*_, **__):
        raise KeyboardInterrupt

    run = tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.training, "fit", stop)
        assert main(["train", str(bars), *SHORT, "--out", str(run)]) == 130
    assert info_of(run)["recipe"]["model"] == "vit_tiny"
    capsys.readouterr()
    assert main(["resume", str(run)]) == 0
    assert "Chosen" not in capsys.readouterr().err
    assert info_of(run)["state"] == "finished"
    assert len(info_of(run)["selection"]["tried"]) == 2


def test_a_damaged_file_in_the_cache_costs_its_network_only(cached, bars, tmp_path, monkeypatch, capsys):
    cache = tmp_path / "hub"
    snapshot = cache / f"models--timm--{TRANSFORMER}" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    (whole,) = cached.rglob("model.safetensors")
    (snapshot / "model.safetensors").write_bytes(whole.read_bytes()[:1_000_000])
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    assert main(["train", str(bars), *SHORT, "--out", str(tmp_path / "r")]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"vit_tiny was not tried: The weights of {TRANSFORMER} from the Hugging Face Hub" in told
    assert "could not be loaded" in told
    assert f"Delete {cache}" in told
    assert info_of(tmp_path / "r")["model"] == "efficientnet_lite0"


@pytest.mark.usefixtures("both_here")
def test_what_leaves_nothing_to_try_networks_on_takes_the_installed_one(bars, tmp_path, capsys):
    # One picture of each class to learn from cannot be divided into folds.
    rows = ["path,label,split"]
    for name in ("bar 0", "bar 1"):
        rows += [f"{name}/00.png,{name},train", f"{name}/01.png,{name},test"]
    (bars / "few.csv").write_text("\n".join(rows))
    try:
        few = ["train", str(bars / "few.csv"), *SHORT, "--validation", "0", "--out", str(tmp_path / "few")]
        assert main(few) == 0
    finally:
        (bars / "few.csv").unlink()
    told = " ".join(capsys.readouterr().err.split())
    assert "Chosen efficientnet_lite0: the training pictures are too few to try others on" in told
    short = ["train", str(bars), "--size", "32", "--budget", "5s", "--out", str(tmp_path / "short")]
    assert main(short) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "Chosen efficientnet_lite0: the budget leaves no time to try others" in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--model", "auto", "--weights", "some.safetensors"],
            "--weights goes with one network, and --model auto chooses among several; received both.",
        ),
        (
            ["--model", "auto", "--train-from", "blocks.4", "--weights", "none"],
            "--weights and --train-from go with one network",
        ),
    ],
)
def test_what_is_meant_for_one_network_is_refused_beside_auto(arguments, sentence, bars, tmp_path, capsys):
    assert main(["train", str(bars), *arguments, "--out", str(tmp_path / "r")]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "r").exists()


def test_every_candidate_sees_the_same_decoded_pictures_and_binds_nobody():
    # What one of them was chosen on is then what it is trained on, whichever it is.
    for size in (None, 64, 160, 320):
        sides = {FineTuneClassifier(each.name, size=size).kept_side() for each in CANDIDATES}
        assert len(sides) == 1
    for each in CANDIDATES:
        licence = timm.get_pretrained_cfg(KNOWN[each.name].weights).license
        assert licence == "apache-2.0"
    assert [each.cost for each in CANDIDATES] == sorted(each.cost for each in CANDIDATES)


def test_a_probe_that_makes_no_mistake_is_not_fine_tuned_and_terminal_and_page_say_why(
    both_here, bars, tmp_path, capsys
):
    run = tmp_path / "r"
    small = ["--size", "32", "--epochs", "2", "--set", "views=1"]
    assert main(["train", str(bars), *small, "--model", "vit_tiny", "--out", str(run)]) == 0
    assert len((run / "history.jsonl").read_text().splitlines()) == 1
    why = "the probe makes no mistake on the validation set: fine-tuning could not beat it, and was left out"
    assert why in " ".join(capsys.readouterr().err.split())
    assert why in " ".join((run / "report.html").read_text().split())
    assert main(["rerun", str(run), "--out", str(tmp_path / "again")]) == 0
