"""What stands in the way of a run: folders that may not be used, pictures that go or change meanwhile."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.commands.conftest import draw, no_file_beyond

from linnaea.cli import main
from linnaea.commands import choosing, mistakes, study
from linnaea.commands.checkpointing import Checkpointer
from linnaea.evaluation.predictions import Predictions
from linnaea.runs import run_diff
from linnaea.runs.folder import RunFolder

PERCEPTRON = ["--hidden", "8", "--epochs", "200", "--size", "12", "--set", "dropout=0.2"]
FINE_TUNED = [
    *("--model", "mobilenetv2_050", "--weights", "none", "--size", "32", "--epochs", "2"),
    *("--set", "views=1", "--set", "ema=0.9", "--set", "mixup=0.5"),
    # A probe without a mistake would end it at once.
    *("--set", "patience=0"),
]


def train(folder: Path, arguments: list[str], run: Path, disturb: Callable[[], object] | None = None) -> int:
    """Train on folder/bars; disturb is called from outside once the network has begun to learn."""

    def watch() -> None:
        while not (run / "history.jsonl").exists() and not (run / "report.html").exists():
            time.sleep(0.001)
        if disturb is not None:
            disturb()

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = main(
        ["train", str(folder / "bars"), *arguments, "--set", "checkpoint_every=0.001s", "--out", str(run)]
    )
    watcher.join()
    return code


def in_part(run: Path, part: str) -> str:
    """Return the path of a picture of this part."""
    lines = (run / "split.csv").read_text().splitlines()
    return next(line.split(",")[0] for line in lines[1:] if f",{part}," in line)


def test_a_perceptron_needs_each_file_once(tmp_path, capsys):
    draw(tmp_path / "bars", side=12)
    untouched, run = tmp_path / "untouched", tmp_path / "run"
    assert train(tmp_path, PERCEPTRON, untouched) == 0
    picture = tmp_path / "bars" / in_part(untouched, "test")
    assert train(tmp_path, PERCEPTRON, run, picture.unlink) == 0
    assert "Error" not in capsys.readouterr().err
    tables = [(folder / "predictions.csv").read_text() for folder in (untouched, run)]
    assert tables[0] == tables[1]


def test_a_picture_that_goes_or_changes_is_named_and_the_run_goes_on_when_it_is_back(
    tmp_path, capsys, monkeypatch
):
    arguments, part = FINE_TUNED, "train"
    draw(tmp_path / "bars", side=40)
    # Pictures that are not kept decoded are read whenever they are needed.
    monkeypatch.setenv("LINNAEA_CACHE_GIB", "0")
    untouched, run = tmp_path / "untouched", tmp_path / "run"
    assert train(tmp_path, arguments, untouched) == 0
    picture = tmp_path / "bars" / in_part(untouched, part)
    content = picture.read_bytes()
    other = next(path for path in picture.parent.iterdir() if path != picture).read_bytes()
    capsys.readouterr()

    assert train(tmp_path, arguments, run, picture.unlink) == 1
    told = capsys.readouterr().err
    sentence = f"{picture} could not be read (No such file or directory)."
    assert f"Error: {sentence} Check the path and its permissions.\n" in told
    assert f"Continue  linnaea resume {run}" in told
    info = json.loads((run / "run.json").read_text())
    assert (info["state"], info["message"].startswith(sentence)) == ("failed", True)
    assert sentence in (run / "report.html").read_text().replace("&#39;", "'")

    picture.write_bytes(other)
    assert main(["resume", str(run)]) == 1
    assert "bars" in capsys.readouterr().err
    picture.write_bytes(content)
    (tmp_path / "bars").rename(tmp_path / "elsewhere")
    assert main(["resume", str(run)]) == 2
    assert f"There is no data set or folder '{tmp_path / 'bars'}'." in capsys.readouterr().err
    (tmp_path / "elsewhere").rename(tmp_path / "bars")
    assert main(["resume", str(run)]) == 0
    assert run_diff.differences(RunFolder(untouched), RunFolder(run)) == []

    changed = tmp_path / "changed"
    assert train(tmp_path, arguments, changed, lambda: picture.write_bytes(other)) == 1
    assert capsys.readouterr().err.endswith(
        f"Error: {picture} has changed since the pictures were scanned. Restore it, or begin a new "
        "run with the pictures as they are now.\n"
    )


def test_a_mistake_whose_picture_is_gone_is_left_out_and_told(tmp_path, capsys):
    draw(tmp_path / "bars")
    recipe = choosing.resolve_recipe(None, {"hidden": [4], "size": 12, "epochs": 1}, "bars").recipe
    classifier = choosing.new_classifier(recipe)
    pictures = study.open_study(str(tmp_path / "bars"), recipe, classifier, data_dir=None, strict=False)
    classifier.fit(*pictures.pair("train"))
    rows = pictures.rows("test")
    _, true = pictures.test
    wrong = np.zeros((len(rows), 3))
    wrong[np.arange(len(rows)), (np.unique(true, return_inverse=True)[1] + 1) % 3] = 1
    table = Predictions(
        tuple(pictures.dataset.paths[row] for row in rows), true, ("bar 0", "bar 1", "bar 2"), wrong
    )
    gone = tmp_path / "bars" / table.paths[0]
    gone.unlink()
    run = RunFolder.create(tmp_path / "run")
    run.update_info(state="running")
    run.flush()
    mistakes.keep_mistakes(run, pictures, classifier, table)
    assert f"Pictures  1 cannot be shown in the report: {gone} could not be read" in capsys.readouterr().err
    kept = {path.name for path in (run.path / "mistakes").glob("??????.png")}
    assert kept == {f"{row:06}.png" for row in range(1, len(rows))}


def test_a_full_disk_costs_the_thumbnails_and_not_the_run(bars, tmp_path, capsys, monkeypatch):
    kept, write = [], RunFolder.write_bytes

    def without_room(run, name, content):
        # Full when the first thumbnail is there, and its heat map comes.
        with no_file_beyond(100) if name.endswith(".heat.png") else contextlib.nullcontext():
            write(run, name, content)
        kept.append(name)

    monkeypatch.setattr(RunFolder, "write_bytes", without_room)
    run = tmp_path / "run"
    assert main(["train", str(bars), *SMALL, "--out", str(run)]) == 0
    said = capsys.readouterr().err
    assert "Pictures  none are shown in the report: " in said
    assert said.count("could not be written") == 1
    assert any(name.endswith(".png") for name in kept)
    assert not list(run.glob("*/*.png"))
    assert json.loads((run / "run.json").read_text())["state"] == "finished"
    for name in ("weights.safetensors", "model.json", "predictions.csv", "metrics.json"):
        assert (run / name).exists()
    page = (run / "report.html").read_text()
    assert 'id="confusion"' in page
    assert 'id="mistakes"' not in page
    assert main(["report", str(run)]) == 0


TINY = [
    "--model",
    "test_efficientnet",
    "--weights",
    "none",
    "--size",
    "32",
    "--epochs",
    "3",
    "--set",
    "views=1",
    "--set",
    "patience=0",
]
SMALL = ["--hidden", "8", "--epochs", "9", "--size", "12"]


@pytest.mark.parametrize("arguments", [SMALL, TINY], ids=["perceptron", "fine-tuned"])
def test_a_run_folder_that_goes_is_told_once_and_not_made_again(arguments, tmp_path, capsys, monkeypatch):
    draw(tmp_path / "bars")
    run, away = tmp_path / "run", tmp_path / "away"
    append = Checkpointer.append

    def then_gone(checkpointer, line):
        append(checkpointer, line)
        if line["epoch"] == 1:
            run.rename(away)

    train = [
        "train",
        str(tmp_path / "bars"),
        *arguments,
        "--set",
        "checkpoint_every=0.001s",
        "--out",
        str(run),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Checkpointer, "append", then_gone)
        assert main(train) == 1
    told = capsys.readouterr().err
    assert told.endswith(
        f"Error: {run} is gone: it was removed or renamed while it was written. Put it back and continue "
        f"it: linnaea resume {run}.\n"
    )
    assert told.count("gone") == 1
    assert not any(word in told for word in ("Traceback", "Report", "Continue "))
    assert not run.exists()
    away.rename(run)
    assert main(["resume", str(run)]) == 0
    assert json.loads((run / "run.json").read_text())["state"] == "finished"


READ_ONLY = """
import contextlib, io, json, sys
from pathlib import Path
from linnaea.cli import main
from linnaea.commands.checkpointing import Checkpointer

append, run = Checkpointer.append, None

def then_locked(checkpointer, line):
    append(checkpointer, line)
    if line["epoch"] == 1:
        for path in [run, *run.rglob("*")]:
            path.chmod(path.stat().st_mode & 0o555)

answers = []
for words in json.loads(sys.argv[1]):
    run = Path(words[-1])
    Checkpointer.append = then_locked if words[0] == "train" else append
    with contextlib.redirect_stderr(io.StringIO()) as told:
        answers.append([main(words), told.getvalue()])
    for path in [run, *run.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)
print(json.dumps(answers))
"""


def test_a_run_folder_that_becomes_read_only_is_named_and_goes_on_when_it_may(tmp_path):
    draw(tmp_path / "bars")
    run = tmp_path / "run"
    train = ["train", str(tmp_path / "bars"), *SMALL, "--out", str(run)]
    (code, told), (again, _) = without_rights(train, ["resume", str(run)], program=READ_ONLY)
    assert code == 1
    assert told.splitlines()[-1] == (
        f"Error: {run / 'history.jsonl'} could not be written (Permission denied). Make its folder writable, "
        "or choose another place."
    )
    assert f"Continue  linnaea resume {run}\n" in told
    assert again == 0
    assert json.loads((run / "run.json").read_text())["state"] == "finished"


FORBIDDEN = """
import contextlib, io, json, sys
from linnaea.cli import main
answers = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as told:
        code = main(arguments)
    answers.append([code, told.getvalue()])
print(json.dumps(answers))
"""


def without_rights(
    *commands: list[str], program: str = FORBIDDEN, **environment: str
) -> list[tuple[int, str]]:
    """Return code and words of each command, run by somebody whom permissions bind: root passes them."""
    words = [sys.executable, "-c", program, json.dumps(commands)]
    if os.geteuid() == 0:
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--", *words]
    answer = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.skip(f"rights cannot be given up here: {answer.stderr.strip()[-200:]}")
    return [tuple(told) for told in json.loads(answer.stdout)]


def test_folders_and_pictures_without_permission_are_told_by_name(tmp_path):
    """In one process, because loading takes longest."""
    train = ["--hidden", "4", "--epochs", "1", "--size", "12"]
    for name in ("bars", "closed", "torn"):
        draw(tmp_path / name)
    for name in ("locked", "cache", "empty"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o555)
    (tmp_path / "closed" / "bar 1").chmod(0)
    (tmp_path / "torn" / "bar 0" / "03.png").chmod(0)
    data, runs = str(tmp_path / "bars"), tmp_path / "runs"
    answers = without_rights(
        ["train", data, *train, "--out", str(tmp_path / "locked" / "run")],
        ["train", data, *train, "--out", str(tmp_path / "empty")],
        ["train", str(tmp_path / "closed"), *train, "--out", str(runs / "closed")],
        ["train", str(tmp_path / "torn"), *train, "--out", str(runs / "torn")],
        LINNAEA_CACHE=str(tmp_path / "cache"),
    )
    for (code, told), place in zip(answers[:2], ("locked/run", "empty"), strict=True):
        assert code == 1
        assert told == (
            f"Error: {tmp_path / place} cannot be made or written (Permission denied). Mend that, or choose "
            "another place.\n"
        )
    code, told = answers[2]
    assert (code, told) == (
        1,
        f"Error: The folder {tmp_path / 'closed' / 'bar 1'} could not be listed (Permission denied). Check "
        "its permissions.\n",
    )
    assert not (runs / "closed").exists()
    code, told = answers[3]
    assert code == 0
    assert "bar 0/03.png" in told
    assert "Permission denied" in told
    assert json.loads((runs / "torn" / "run.json").read_text())["state"] == "finished"
