"""A pipe, a device or a folder wherever a command asks for a file: refused in a sentence, at once."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hostile import fields
from tests.hostile.conftest import whole_pictures

from linnaea.cli import main

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")


@pytest.fixture(autouse=True)
def no_end_without_an_answer() -> Iterator[None]:
    """A command that waits for a pipe would wait for ever: it is stopped, and the test fails."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def data(tmp_path: Path) -> str:
    for number, name in enumerate("ab"):
        whole_pictures(tmp_path / "photos" / name, 150 * number)
    return str(tmp_path / "photos")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    fields.unpacked("perceptron", folder)
    return folder


def put(kind: str, path: Path) -> str:
    """Put what is no file at path, in the place of what is there."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "nothing": "gone", "circle": path.name}[kind])
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line that a command answers with; fail where it does anything but refuse."""
    assert main(list(words)) in (1, 2), words
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
    assert len(told) == 1, words
    assert "unexpected" not in told[0], words
    return told[0]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "circle"])
@pytest.mark.parametrize("name", ["thing", "thing.csv", "thing.safetensors"])
def test_in_the_place_of_anything_on_the_command_line(
    kind: str, name: str, data: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    thing = put(kind, tmp_path / name)
    out, picture = str(tmp_path / "out"), f"{data}/a/0.png"
    for words in (
        ["train", thing, "--out", out],
        ["check", thing],
        ["relabel", thing, picture, "--out", f"{out}.csv"],
        ["relabel", data, thing, "--out", f"{out}.csv"],
        ["train", data, "--split-from", thing, "--out", out],
        ["train", data, "--recipe", thing, "--out", out],
        ["train", data, "--model", "test_resnet", "--weights", thing, "--epochs", "0", "--out", out],
        ["predict", str(run), thing],
        ["predict", thing, picture],
        ["evaluate", thing],
        ["report", thing],
        ["resume", thing],
        ["rerun", thing],
        ["compare", thing, str(run)],
    ):
        assert Path(thing).name in refused(capsys, *words) or words[:2] == ["predict", str(run)]
    assert not Path(out).exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "circle"])
@pytest.mark.parametrize("name", ["run.json", "model.json", "weights.safetensors"])
def test_in_the_place_of_a_file_of_a_run(
    kind: str, name: str, data: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kind, run / name)
    assert name in refused(capsys, "predict", str(run), f"{data}/a/0.png")
    if name == "run.json":
        for verb in ("evaluate", "report", "resume", "rerun"):
            refused(capsys, verb, str(run))
        refused(capsys, "compare", str(run), str(run))


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "circle"])
def test_in_the_place_of_a_table_of_a_run(kind: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(fields.GOLDEN / "perceptron" / "split.csv", run / "split.csv")
    put(kind, run / "predictions.csv")
    assert "predictions.csv" in refused(capsys, "evaluate", str(run))
