"""A run stopped, and gone on with: the result is the one that it would have had."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from linnaea.cli import main
from linnaea.runs.checkpoint import checksum
from linnaea.runs.folder import RunFolder
from linnaea.runs.run_diff import differences

# Long enough to be stopped on its way, whatever the machine: 40 epochs of 12 steps.
SETTINGS = ["--hidden", "12", "--epochs", "40", "--batch-size", "2", "--size", "12", "--augment", "digits",
            "--set", "dropout=0.2", "--set", "patience=39"]  # fmt: skip


def same(one: Path, other: Path) -> bool:
    left, right = RunFolder.open(one), RunFolder.open(other)
    tables = ("weights.safetensors", "predictions.csv", "metrics.json", "split.csv")
    return differences(left, right) == [] and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in tables
    )


def lines(run: Path) -> int:
    try:
        return len((run / "history.jsonl").read_text().splitlines())
    except FileNotFoundError:
        return 0


def stopped(command: list[str], run: Path, after: int, sent: int = signal.SIGINT) -> int:
    """Run a command in this process, send it a signal once its history has so many lines, return its code."""

    def send() -> None:
        deadline = time.monotonic() + 60
        while lines(run) < after and time.monotonic() < deadline:
            time.sleep(0.0005)
        os.kill(os.getpid(), sent)

    watcher = threading.Thread(target=send, daemon=True)
    watcher.start()
    code = main(command)
    watcher.join()
    return code


@pytest.fixture(scope="module")
def whole(bars, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", str(bars), *SETTINGS, "--out", str(run)]) == 0
    assert not (run / "checkpoint").exists()
    assert not (run / "run.lock").exists()
    return run


@pytest.fixture(scope="module")
def cut(bars, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("cut") / "run"
    assert stopped(["train", str(bars), *SETTINGS, "--out", str(run)], run, after=5) == 130
    return run


@pytest.fixture
def copied(cut, tmp_path) -> Path:
    return Path(shutil.copytree(cut, tmp_path / "run"))


def test_a_run_in_its_pictures_own_folder_is_gone_on_with(bars, tmp_path, monkeypatch, capsys):
    photos = Path(shutil.copytree(bars, tmp_path / "photos"))
    monkeypatch.chdir(photos)
    run = photos / "bar 0" / "run"
    assert stopped(["train", ".", *SETTINGS, "--out", "bar 0/run"], run, after=5) == 130
    # Thumbnails of its test pictures, as a run has that was stopped while its report was drawn.
    shutil.copytree(photos / "bar 1", run / "mistakes", dirs_exist_ok=True)
    assert main(["resume", "bar 0/run"]) == 0
    assert RunFolder.open(run).info.state == "finished"
    assert "1 folder of runs left out (bar 0/run)." in " ".join(capsys.readouterr().err.split())


KILLED = """
import os, sys
from linnaea.cli import main
from linnaea.commands.checkpointing import Checkpointer

epoch_over = Checkpointer.epoch_over

def killed(checkpointer, classifier):
    epoch_over(checkpointer, classifier)
    if checkpointer.lines == 5:
        os._exit(9)

Checkpointer.epoch_over = killed
main(sys.argv[1:])
"""


def test_a_run_that_was_killed_says_in_the_end_all_that_a_whole_one_says(whole, bars, tmp_path):
    run = tmp_path / "run"
    arguments = ["train", str(bars), *SETTINGS, "--out", str(run)]
    assert subprocess.run([sys.executable, "-c", KILLED, *arguments]).returncode == 9
    told = json.loads((run / "run.json").read_text())
    assert (told["state"], "finished" in told) == ("running", False)
    assert main(["resume", str(run)]) == 0
    first, other = (json.loads((folder / "run.json").read_text()) for folder in (whole, run))
    assert set(other) == {*first, "resumed"}
    assert other["network"] == first["network"]
    assert same(whole, run)


def change(run: Path, **changes) -> None:
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, **changes}))


def test_a_signal_leaves_a_checkpoint_and_a_report(cut):
    info = json.loads((cut / "run.json").read_text())
    assert info["state"] == "interrupted"
    assert "nterrupted" in (cut / "report.html").read_text()
    name = (cut / "checkpoint" / "current").read_text().strip()
    state = json.loads((cut / "checkpoint" / name / "state.json").read_text())
    assert state["facts"]["history"] == lines(cut) < 40
    assert state["facts"]["split_hash"] == info["data"]["split_hash"]
    assert not (cut / "run.lock").exists()


def test_a_stop_leaves_the_test_set_unopened_and_a_network_that_answers(cut, bars, capsys):
    assert not [name for name in ("predictions.csv", "metrics.json", "mistakes") if (cut / name).exists()]
    info = json.loads((cut / "run.json").read_text())
    assert "test_reuse" not in info
    assert "test set has not been evaluated" in (cut / "report.html").read_text()
    assert json.loads((cut / "calibration.json").read_text())["pictures"] > 0
    picture = next(bars.glob("*/*.png"))
    assert main(["predict", str(cut), str(picture)]) == 0
    assert "bar" in capsys.readouterr().out


def test_a_test_set_that_is_opened_before_the_training_goes_on_counts(whole, copied, capsys):
    done = json.loads((copied / "history.jsonl").read_text().splitlines()[-1])["epoch"]
    assert main(["evaluate", str(copied), "--format", "json"]) == 0
    score = json.loads(capsys.readouterr().out)["accuracy"]["pictures"]
    assert score == json.loads((whole / "metrics.json").read_text())["accuracy"]["pictures"]
    assert (copied / "predictions.csv").exists()
    # Evaluated again, it is the same network: the table is read, and nothing more is counted.
    assert main(["evaluate", str(copied)]) == 0
    openings = json.loads((copied / "run.json").read_text())["test_reuse"]["own"]
    assert [opening["epoch"] for opening in openings] == [done]
    capsys.readouterr()
    assert main(["resume", str(copied)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"This run was evaluated after epoch {done} (" in told
    assert same(whole, copied)
    info = json.loads((copied / "run.json").read_text())
    assert [opening["epoch"] for opening in info["test_reuse"]["own"]] == [done, 40]
    assert info["chosen"]["test set"].startswith(
        f"perhaps used to choose how long to train: evaluated after epoch {done} "
    )
    assert "The test set was opened before training ended." in (copied / "report.html").read_text()


def test_a_score_of_an_earlier_network_does_not_outlive_a_second_stop(copied):
    assert main(["evaluate", str(copied)]) == 0
    assert stopped(["resume", str(copied)], copied, after=lines(copied) + 3) == 130
    assert not [name for name in ("predictions.csv", "metrics.json") if (copied / name).exists()]
    assert len(json.loads((copied / "run.json").read_text())["test_reuse"]["own"]) == 1


def test_an_interrupted_run_ends_as_if_it_had_never_been(whole, copied, capsys):
    began = json.loads((copied / "run.json").read_text())["started"]
    assert main(["resume", str(copied)]) == 0
    assert "Resume    from epoch " in capsys.readouterr().err
    assert same(whole, copied)
    info = json.loads((copied / "run.json").read_text())
    assert (info["state"], info["started"]) == ("finished", began)
    assert [told["differences"] for told in info["resumed"]] == [[]]
    assert not (copied / "checkpoint").exists()
    assert main(["resume", str(copied)]) == 0
    assert "is finished: there is nothing to continue" in capsys.readouterr().err


def test_what_a_power_cut_left_does_not_matter(whole, copied):
    # The state of a process that was killed while it wrote: a torn line, a torn checkpoint, a stale lock.
    with (copied / "history.jsonl").open("a") as file:
        file.write('{"epoch": 99}\n{"epoch": 100, "tr')
    torn = copied / "checkpoint" / "00000999"
    torn.mkdir()
    (torn / "state.safetensors").write_bytes(b"half")
    (copied / "run.lock").touch()
    change(copied, state="running", message=None)
    assert main(["resume", str(copied)]) == 0
    assert same(whole, copied)


def test_without_a_checkpoint_it_begins_anew(whole, copied, capsys):
    shutil.rmtree(copied / "checkpoint")
    assert main(["resume", str(copied)]) == 0
    assert "from the beginning: no checkpoint was written yet" in capsys.readouterr().err
    assert same(whole, copied)


def test_a_resumed_run_can_be_stopped_again(whole, copied):
    assert stopped(["resume", str(copied)], copied, after=lines(copied) + 3, sent=signal.SIGTERM) == 143
    assert main(["resume", str(copied)]) == 0
    assert same(whole, copied)
    assert len(json.loads((copied / "run.json").read_text())["resumed"]) == 2


def test_many_signals_leave_a_whole_report(bars, tmp_path):
    run = tmp_path / "run"
    ended = threading.Event()

    def send() -> None:
        while lines(run) < 3 and not ended.is_set():
            time.sleep(0.0005)
        for _ in range(40):
            if ended.is_set() or "interrupted" in (run / "run.json").read_text():
                return
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.005)

    before = signal.getsignal(signal.SIGINT)
    watcher = threading.Thread(target=send, daemon=True)
    watcher.start()
    # Long enough that no machine is done before the third line of its history has been seen.
    longer = ["400" if word == "40" else word for word in SETTINGS]
    try:
        assert main(["train", str(bars), *longer, "--out", str(run)]) == 130
    finally:
        ended.set()
        watcher.join()
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
    assert (run / "report.html").read_text().rstrip().endswith("</html>")
    assert main(["resume", str(run)]) == 0


def test_what_differs_is_told(copied, capsys):
    name = (copied / "checkpoint" / "current").read_text().strip()
    path = copied / "checkpoint" / name / "state.json"
    state = json.loads(path.read_text())
    state["facts"]["versions"]["numpy"] = "1.0"
    state["facts"]["hardware"]["processor"] = "Another"
    del state["checksum"]
    path.write_text(json.dumps({**state, "checksum": checksum(state)}))
    assert main(["resume", str(copied)]) == 0
    told = capsys.readouterr().err
    assert "The version of numpy was 1.0 and is " in told
    assert "The processor was Another and is " in told
    assert "not bit for bit that of a run that was never stopped" in told
    assert len(json.loads((copied / "run.json").read_text())["resumed"][0]["differences"]) == 2


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda run, bars: (bars / "bar 0" / "00.png").unlink(), "1 missing: bar 0/00.png"),
        (
            lambda run, bars: shutil.copy(bars / "bar 1" / "01.png", bars / "bar 0" / "00.png"),
            "1 changed: bar 0/00.png",
        ),
        (
            lambda run, bars: (bars / "bar 0" / "new.png").write_bytes(noise()),
            "contains 37 pictures, and contained 36 when the run began",
        ),
        (
            lambda run, bars: next((run / "checkpoint").glob("0*/state.safetensors")).write_bytes(b"x"),
            "state.safetensors cannot be read (its content is not what was written).",
        ),
        (lambda run, bars: (run / "history.jsonl").write_text(""), "history.jsonl has 0 lines, and its"),
        (lambda run, bars: change(run, recipe=None), "does not record how the run was made. Train again."),
        (
            lambda run, bars: change(run, recipe={"model": "mlp", "epochs": "many"}),
            "run.json is not valid: epochs must be an integer of 0 or more; received",
        ),
        (
            lambda run, bars: change(run, recipe={"model": "mlp", "views": 3}),
            "run.json is not valid: The model mlp has no setting views. Restore it, or train again.",
        ),
        (
            lambda run, bars: change(run, rewinds=[{"to_epoch": 1, "learning_rate": "half"}]),
            "run.json is not valid: rewinds.0.learning_rate is 'half'",
        ),
        (lambda run, bars: (run / "run.json").unlink(), "is not a run folder (no run.json in it)."),
    ],
)
def test_what_cannot_be_gone_on_with_is_one_sentence(spoil, sentence, copied, bars, tmp_path, capsys):
    moved = Path(shutil.copytree(bars, tmp_path / "bars"))
    opened = json.loads((copied / "run.json").read_text())["opened"]
    change(copied, opened={**opened, "data": str(moved)})
    for extra in list((copied / "checkpoint").glob("0*")):
        if extra.name != (copied / "checkpoint" / "current").read_text().strip():
            shutil.rmtree(extra)
    spoil(copied, moved)
    history = (copied / "history.jsonl").read_bytes()
    assert main(["resume", str(copied)]) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert (copied / "history.jsonl").read_bytes() == history


def test_where_the_newest_checkpoint_is_damaged_it_goes_on_from_the_one_before(whole, copied, capsys):
    name = (copied / "checkpoint" / "current").read_text().strip()
    arrays = copied / "checkpoint" / name / "state.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    assert main(["resume", str(copied)]) == 0
    told = capsys.readouterr().err
    assert (
        f"Damaged   {arrays} cannot be read (its content is not what was written). The checkpoint before it "
        "is whole, and is used.\n"
    ) in told
    assert same(whole, copied)


@pytest.mark.parametrize("command", ["resume", "report", "evaluate"])
def test_a_pipe_in_the_place_of_the_history_keeps_no_command_waiting(command, copied, capsys):
    (copied / "history.jsonl").unlink()
    os.mkfifo(copied / "history.jsonl")
    assert main([command, str(copied)]) == 1
    assert capsys.readouterr().err == (
        f"Error: {copied / 'history.jsonl'} is a named pipe; a run has a file of its own there. Remove it, "
        "and have the run sent again.\n"
    )


def noise() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(9).integers(0, 255, (12, 12), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_two_processes_do_not_write_one_run(trained, copied, bars, capsys):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    with FileLock(copied / "run.lock"):
        assert main(["resume", str(copied)]) == 1
        assert main(["train", str(bars), "--hidden", "8", "--out", str(copied), "--overwrite"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"Error: {copied} is being written by another process. Wait for it to finish.",
        f"Error: {copied} is being written by another process. Wait for it to finish, or choose another "
        "folder with --out.",
    ]
    after = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    assert {path: content for path, content in after.items() if path.name != "run.lock"} == before


def test_a_group_goes_on_with_the_run_that_was_stopped(bars, tmp_path, capsys):
    settings = [*SETTINGS, "--repeats", "2"]
    assert main(["train", str(bars), *settings, "--out", str(tmp_path / "whole")]) == 0
    group = tmp_path / "cut"
    assert stopped(["train", str(bars), *settings, "--out", str(group)], group / "1", after=4) == 130
    assert json.loads((group / "repeats.json").read_text())["state"] == "interrupted"
    assert main(["resume", str(group)]) == 0
    for number in ("1", "2"):
        assert same(tmp_path / "whole" / number, group / number)
    whole, cut = (json.loads((tmp_path / n / "repeats.json").read_text()) for n in ("whole", "cut"))
    assert (cut["state"], cut["runs"], cut["metrics"]) == ("finished", ["1", "2"], whole["metrics"])
    # To repeat them is to train, not to resume.
    assert cut["command"].startswith("linnaea train")
    capsys.readouterr()
    assert main(["resume", str(group)]) == 0
    assert "is finished: there is nothing to continue" in capsys.readouterr().err


def test_a_loss_that_explodes_is_turned_back_three_times_at_half_the_rate(bars, tmp_path, capsys):
    run = tmp_path / "run"
    asked = ["--hidden", "8", "--size", "12", "--epochs", "3", "--on-nan", "rewind"]
    rate = ["--set", "solver=sgd", "--set", "activation=relu", "--learning-rate", "900"]
    main(["train", str(bars), *asked, *rate, "--out", str(run)])
    info = json.loads((run / "run.json").read_text())
    rates = [told["learning_rate"] for told in info["rewinds"]]
    assert rates == [450, 225, 112.5][: len(rates)]
    assert info["recipe"]["learning_rate"] == 900
    assert "Back to epoch 0, continuing with learning rate 450" in capsys.readouterr().err
    assert info["state"] == "failed"


def test_a_rewound_training_that_then_works_says_so_in_its_history(bars, tmp_path):
    run = tmp_path / "run"
    asked = ["--hidden", "8", "--size", "12", "--epochs", "4", "--set", "on_nan=rewind"]
    rate = ["--set", "solver=sgd", "--set", "activation=relu", "--set", "init=normal"]
    for start in (3, 6, 12, 24, 48, 96, 192, 384):
        shutil.rmtree(run, ignore_errors=True)
        code = main(["train", str(bars), *asked, *rate, "--learning-rate", str(start), "--out", str(run)])
        info = json.loads((run / "run.json").read_text())
        if code == 0 and info.get("rewinds"):
            break
    else:
        pytest.fail("no rate diverges once and then works")
    history = RunFolder.open(run).history()
    assert [record["epoch"] for record in history] == [0, 1, 2, 3, 4]
    assert history[-1]["rewinds"] == len(info["rewinds"]) <= 3
    assert history[-1]["learning_rate"] == start / 2 ** len(info["rewinds"])


def test_ctrl_c_while_the_command_is_loaded_is_no_traceback(tmp_path):
    # As if the person were very quick: the signal comes from within the imports of cli.py.
    (tmp_path / "cyclopts.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ran = subprocess.run(
        [sys.executable, "-m", "linnaea", "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (-signal.SIGINT, "")
