import json

import pytest

from linnaea import files
from linnaea.errors import RunError
from linnaea.runs.folder import RunFolder


def finished_run(path):
    run = RunFolder.create(path)
    run.update_info(state="finished", model="mlp")
    return run


def test_create_refuses_a_folder_with_a_run_and_keeps_it(tmp_path):
    finished_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"already holds a run\. Pass --overwrite"):
        RunFolder.create(tmp_path / "run")
    assert RunFolder.open(tmp_path / "run").info()["state"] == "finished"
    (tmp_path / "run" / "checkpoint").mkdir()
    with pytest.raises(
        RunError, match=r"holds a run that was stopped\. Go on with it: linnaea resume .*run\. Or"
    ):
        RunFolder.create(tmp_path / "run")


def test_overwrite_removes_the_run_and_nothing_else(tmp_path):
    run = finished_run(tmp_path)
    run.append_history({"epoch": 0})
    run.write_bytes("mistakes/000001.png", b"x")
    (tmp_path / "notes.txt").write_text("mine")
    again = RunFolder.create(tmp_path, overwrite=True)
    assert again.history() == []
    assert not (tmp_path / "run.json").exists()
    assert list(tmp_path.glob("mistakes/*")) == []
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_create_refuses_a_folder_with_other_files_even_to_overwrite(tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(RunError, match="holds other files and no run"):
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


def test_open_says_where_run_json_is_damaged(tmp_path):
    (tmp_path / "run.json").write_text('{"format_version": 1,')
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        RunFolder.open(tmp_path)


def test_update_info_keeps_the_other_keys(tmp_path):
    run = finished_run(tmp_path)
    run.update_info(state="failed")
    assert run.info() == {"format_version": 1, "state": "failed", "model": "mlp"}


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


@pytest.mark.parametrize("name", ["checkpoint", "mistakes", "cells", "history.jsonl"])
def test_a_link_in_a_run_leads_nothing_out_of_it(tmp_path, name):
    run = finished_run(tmp_path / "run")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "z.png").write_bytes(b"mine")
    (run.path / name).symlink_to(mine)
    for reach in (RunFolder.open, lambda path: RunFolder.create(path, overwrite=True)):
        with pytest.raises(RunError, match=rf"{name} is a link; a run's own folders and files are not\."):
            reach(run.path)
    assert (mine / "z.png").read_bytes() == b"mine"
