"""reproduce: whose runs are kept, and where weights are looked for."""

import shutil

import pytest

from linnaea.cli import main
from linnaea.commands import reproduce


@pytest.fixture
def quick(bars, tmp_path, monkeypatch):
    """One recipe of the report on a copy of small pictures; returns the arguments that repeat it there."""
    part = reproduce.Part(
        "Bars", str(shutil.copytree(bars, tmp_path / "bars")), ("demo-one-hidden",), {"0.7": "70-30"}
    )
    monkeypatch.setitem(reproduce.PARTS, "part1", part)
    out = ["--out", str(tmp_path / "out"), "--split", "0.7"]
    return ["reproduce", "part1", "--quick", *out, "--data-dir", str(tmp_path)]


def test_a_finished_run_is_kept_on_the_same_pictures_and_refused_on_others(quick, tmp_path, capsys):
    (tmp_path / "bars" / "bar 0" / "torn.png").write_bytes(b"no picture")
    assert main(quick) == 0
    assert main(quick) == 0
    assert "is finished" in capsys.readouterr().err
    # One picture fewer is another data set.
    (tmp_path / "bars" / "bar 0" / "00.png").unlink()
    assert main(quick) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "is a finished run on other pictures than those in" in told
    assert "Pass --overwrite to train it again, or choose another folder with --out." in told
    assert main([*quick, "--overwrite"]) == 0


def test_a_folder_of_weights_that_is_not_there_is_told_before_anything_is_trained(quick, tmp_path, capsys):
    assert main([*quick, "--weights-dir", str(tmp_path / "nosuch")]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "nosuch does not exist. Pass --weights-dir with a folder of weights." in told
    assert not (tmp_path / "out").exists()


def test_weights_that_no_hub_gives_are_to_be_put_into_the_folder_of_weights(
    quick, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "cache"))
    part = reproduce.PARTS["part1"]
    resnet = reproduce.Part(part.title, part.data, ("part2-resnet50",), part.protocols)
    monkeypatch.setitem(reproduce.PARTS, "part1", resnet)
    assert main([*quick, "--weights-dir", str(tmp_path)]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "put it as resnet50.tv_in1k.safetensors into a folder named with --weights-dir" in told
    assert "--weights FILE" not in told
