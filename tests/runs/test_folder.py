import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linnaea import files
from linnaea.errors import LinnaeaError, RunError
from linnaea.runs.checkpoint import Checkpoints
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup


def finished_run(path):
    run = RunFolder.create(path)
    run.update_info(state="finished", model="mlp")
    run.flush()
    return run


def test_create_refuses_a_folder_with_a_run_and_keeps_it(tmp_path):
    finished_run(tmp_path / "run")
    with pytest.raises(
        RunError,
        match=r"already contains a run\. Pass overwrite=True to replace it, or choose another folder\.",
    ):
        RunFolder.create(tmp_path / "run")
    assert RunFolder.open(tmp_path / "run").info.state == "finished"
    (tmp_path / "run" / "checkpoint").mkdir()
    with pytest.raises(
        RunError, match=r"contains a run that was stopped\. Continue it: linnaea resume .*run\. Or"
    ):
        RunFolder.create(tmp_path / "run")


def test_overwrite_removes_the_run_and_nothing_else(tmp_path):
    run = finished_run(tmp_path)
    run.append_history({"epoch": 0})
    run.write_bytes("mistakes/000001.png", b"x")
    (tmp_path / "notes.txt").write_text("mine")
    again = RunFolder.create(tmp_path, overwrite=True)
    assert again.history() == []
    assert again.info.as_json() == {"format_version": 1}
    assert list(tmp_path.glob("mistakes/*")) == []
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_create_refuses_a_folder_with_other_files_even_to_overwrite(tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(RunError, match="contains other files and no run"):
        RunFolder.create(tmp_path, overwrite=True)


def test_what_a_killed_process_left_stands_in_nobodys_way(tmp_path):
    files.write_text(tmp_path / "run.lock", "")
    for name in (".reserve", ".run.json.k3_v9a0x.tmp"):
        (tmp_path / name).write_text("torn")
    run = finished_run(tmp_path)
    (tmp_path / "checkpoint" / "00000001").mkdir(parents=True)
    (tmp_path / "checkpoint" / "00000001" / ".state.safetensors.abcdefgh.tmp").write_text("torn")
    (tmp_path / ".mine.tmp").write_text("a person's")
    run.sweep()
    there = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {"run.lock", ".reserve", "run.json", ".mine.tmp"}


def test_create_refuses_a_file(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(RunError, match="is a file, not a folder"):
        RunFolder.create(tmp_path / "a")


def test_open_refuses_what_is_no_run_and_what_is_newer(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder \(no run.json in it\)"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(RunError, match="was written in format 99; this version reads up to 1"):
        RunFolder.open(tmp_path)


def test_open_names_the_runs_of_a_group(tmp_path):
    (tmp_path / "folds.json").write_text("{}")
    with pytest.raises(RunError) as error:
        RunFolder.open(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} contains folds, and a single run was expected. Choose one of its runs, such as "
        f"{tmp_path / '1'}."
    )


def test_open_says_where_run_json_is_damaged(tmp_path):
    (tmp_path / "run.json").write_text('{"format_version": 1,')
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        RunFolder.open(tmp_path)


def test_update_info_keeps_the_other_keys(tmp_path):
    run = finished_run(tmp_path)
    run.update_info(state="failed")
    run.flush()
    assert json.loads((tmp_path / "run.json").read_text()) == {
        "format_version": 1,
        "state": "failed",
        "model": "mlp",
    }


def test_info_is_read_once_and_kept_until_it_is_flushed(tmp_path):
    finished_run(tmp_path)
    run = RunFolder.open(tmp_path)
    run.info.state = "running"
    run.update_info(data={"splits": {"test": 3}})
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "finished"
    run.flush()
    assert RunFolder.open(tmp_path).info == run.info
    assert run.info.data.splits == {"test": 3}


def test_keys_of_a_newer_version_are_kept(tmp_path):
    newer = {"state": "finished", "data": {"name": "bars", "colours": [1, {"a": None}]}, "future": {"b": 1.5}}
    (tmp_path / "run.json").write_text(json.dumps({"format_version": 1, **newer}))
    run = RunFolder.open(tmp_path)
    run.info.state = "failed"
    run.flush()
    assert json.loads((tmp_path / "run.json").read_text()) == {
        "format_version": 1,
        **newer,
        "state": "failed",
    }


def test_a_file_that_is_written_again_has_no_checksum_meanwhile(tmp_path, monkeypatch):
    run = finished_run(tmp_path)
    run.write_json("metrics.json", {"accuracy": {"value": 0.5}})
    run.flush()
    before = dict(run.info.checksums)
    run.write_json("metrics.json", {"accuracy": {"value": 0.5}})  # the same: nothing to forget
    assert json.loads((tmp_path / "run.json").read_text())["checksums"] == before
    run.write_json("metrics.json", {"accuracy": {"value": 0.75}})
    # Killed now, the file would have none, and not that of the other numbers.
    assert json.loads((tmp_path / "run.json").read_text())["checksums"] == {}
    run.flush()
    assert RunFolder.open(tmp_path).metrics()["accuracy"]["value"] == 0.75


def test_what_somebody_else_writes_has_the_checksum_of_what_is_there(tmp_path):
    run = finished_run(tmp_path)
    with run.others_write("weights.safetensors", "model.json"):
        (tmp_path / "weights.safetensors").write_bytes(b"weights\r\n")
    assert list(run.info.checksums) == ["weights.safetensors"]
    run.refuse_changed("weights.safetensors")
    (tmp_path / "weights.safetensors").write_bytes(b"others\r\n")
    with pytest.raises(RunError, match="was changed since the run wrote it"):
        run.refuse_changed("weights.safetensors")


def test_a_torn_last_line_of_history_is_left_out_and_a_torn_middle_line_is_an_error(tmp_path):
    run = finished_run(tmp_path)
    run.append_history({"epoch": 0})
    run.append_history({"epoch": 1})
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text() + '{"epoch": 2, "los')
    assert [record["epoch"] for record in run.history()] == [0, 1]
    path.write_text('{"epoch": 0}\n{"ep\n{"epoch": 2}\n')
    with pytest.raises(RunError, match=r"history\.jsonl, line 2 is not JSON"):
        run.history()


def test_csv_quotes_what_a_file_name_may_hold(tmp_path):
    run = finished_run(tmp_path)
    run.write_csv("split.csv", ["path", "part"], [{"path": 'a,"b"\n.jpg', "part": "test"}])
    assert (tmp_path / "split.csv").read_text() == 'path,part\n"a,""b""\n.jpg",test\n'


def test_a_run_has_its_predictions_as_a_table_and_shows_itself_in_a_notebook(tmp_path):
    run = RunFolder.create(tmp_path / "a run")
    with pytest.raises(RunError, match="has not evaluated its test set"):
        run.predictions  # noqa: B018 (the look-up is the test)
    header = ["path", "true", "predicted", "007", "NA"]
    run.write_csv(
        "predictions.csv", header, [dict(zip(header, ["a.jpg", "NA", "007", 0.75, 0.25], strict=True))]
    )
    table = run.predictions
    assert table.columns.tolist() == header
    assert table.iloc[0].tolist() == ["a.jpg", "NA", "007", 0.75, 0.25]
    run.write_json("metrics.json", {"accuracy": {"value": 0.5, "low": 0.1, "high": 0.9, "pictures": 2}})
    run.write_text("report.html", "")
    run.update_info(state="finished")
    shown = run._repr_html_()
    assert "<b>50.0 %</b> of 2 test pictures right (95 % interval: 10.0 % to 90.0 %)" in shown
    assert 'a%20run/report.html">report</a>' in shown
    run.write_json("metrics.json", {})
    assert run._repr_html_().startswith("<p>")
    (run.path / "predictions.csv").write_text("path,true,predicted\n")
    with pytest.raises(RunError, match=r"predictions\.csv"):
        run.predictions  # noqa: B018


@pytest.mark.parametrize("name", ["checkpoint", "mistakes", "cells", "history.jsonl"])
def test_a_link_in_a_run_leads_nothing_out_of_it(tmp_path, name):
    run = finished_run(tmp_path / "run")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "z.png").write_bytes(b"mine")
    (run.path / name).symlink_to(mine)
    for reach in (RunFolder.open, lambda path: RunFolder.create(path, overwrite=True)):
        with pytest.raises(RunError, match=rf"{name} is a link; a run has a f\w+ of its own there\."):
            reach(run.path)
    assert (mine / "z.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name", ["history.jsonl", "run.json", "weights.safetensors", "split.csv", "folds.json"]
)
def test_a_pipe_in_the_place_of_any_file_is_refused_before_it_is_opened(tmp_path, name):
    run = finished_run(tmp_path / "run")
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    for reach in (RunFolder.open, RunGroup.open_group):
        with pytest.raises(RunError) as refusal:
            reach(run.path)
        assert str(refusal.value) == (
            f"{run.path / name} is a named pipe; a run has a file of its own there. "
            "Remove it, and have the run sent again."
        )


@pytest.mark.parametrize(
    ("name", "make", "kind"),
    [
        ("checkpoint", Path.touch, "a file; a run has a folder"),
        ("history.jsonl", Path.mkdir, "a folder; a run has a file"),
        ("model.json", lambda path: path.symlink_to("/dev/zero"), "a device; a run has a file"),
    ],
)
def test_what_is_of_another_kind_is_named(tmp_path, name, make, kind):
    run = finished_run(tmp_path / "run")
    make(run.path / name)
    with pytest.raises(RunError, match=f"{name} is {kind} of its own there"):
        RunFolder.open(run.path)


def test_a_line_is_added_to_no_pipe_and_through_no_link(tmp_path):
    run = finished_run(tmp_path / "run")
    os.mkfifo(run.path / "history.jsonl")
    reader = os.open(run.path / "history.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    os.close(reader)
    with pytest.raises(LinnaeaError, match=r"history\.jsonl could not be written"):
        run.append_history({"epoch": 0})
    (run.path / "history.jsonl").unlink()
    (run.path / "history.jsonl").symlink_to(tmp_path / "mine")
    with pytest.raises(LinnaeaError, match=r"history\.jsonl could not be written"):
        run.append_history({"epoch": 0})
    assert not (tmp_path / "mine").exists()


def test_a_run_whose_folder_is_gone_is_not_begun_again_in_its_place(tmp_path):
    run = finished_run(tmp_path / "a run")
    run.path.rename(tmp_path / "away")
    writes = [
        lambda: run.flush(),
        lambda: run.append_history({"epoch": 1}),
        lambda: run.write_bytes("mistakes/000001.png", b"x"),
        lambda: run.write_csv("split.csv", ["path"], []),
        lambda: Checkpoints(run).write({}, {"epoch": 1}, {}),
    ]
    for write in writes:
        with pytest.raises(RunError) as refusal:
            write()
        assert str(refusal.value) == (
            f"{run.path} is gone: it was removed or renamed while it was written. "
            f"Put it back and continue it: linnaea resume '{run.path}'."
        )
    assert not run.path.exists()


KILLED = """
import os, shutil, sys
from pathlib import Path
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup


def fill(run):
    run.update_info(state="finished")
    run.flush()
    for name in ("split.csv", "cells/000002.jpg", "checkpoint/current", "checkpoint/00000001/state.json"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).touch()


def begin(folder, what):
    if what == "group":
        group = RunGroup.begin(folder, "folds")
        group.update_info(runs=["1", "2"])
        group.flush()
        for name in ("1", "2"):
            fill(RunFolder.create(folder / name))
    else:
        fill(RunFolder.create(folder))
    (folder / "notes.txt").write_text("mine")


def killed_at(last, act):
    # In a child that dies at its last-th change of a name; False where it came to its end before.
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    changes = 0

    def watch(event, arguments):
        nonlocal changes
        changes += event in ("os.remove", "os.rename", "os.rmdir")
        if changes == last:
            os._exit(9)

    sys.addaudithook(watch)
    act()
    os._exit(0)


replaced = {"run": lambda folder: RunFolder.create(folder, overwrite=True),
            "group": lambda folder: RunGroup.begin(folder, "repeats", overwrite=True)}
for before, after in (("run", "group"), ("group", "run")):
    replace, last = replaced[after], 1
    there = {"notes.txt", "run.json" if after == "run" else "repeats.json"}
    while True:
        folder = Path(sys.argv[1]) / f"{before} {last}"
        begin(folder, before)
        killed = killed_at(last, lambda: replace(folder))
        replace(folder)
        left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert left == there, (before, after, last, left)
        shutil.rmtree(folder)
        if not killed:
            break
        last += 1
    print(last - 1)
"""


def test_whoever_is_killed_while_an_old_run_is_cleared_can_clear_it_again(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    # Killed at each of so many removals and renames.
    single, group = map(int, ran.stdout.split())
    assert single >= 8
    assert group >= 2 * single
