"""A run folder from somebody else: its page embeds its own pictures and nothing else of this computer."""

import json
import os

import pytest

from linnaea.errors import RunError
from linnaea.evaluation.label_issues import LabelIssue, to_csv
from linnaea.report.groups import build_group
from linnaea.report.label_issues import build_label_issues
from linnaea.report.page import build_report
from linnaea.runs.repeated import RunGroup


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "run", n=200, right=0.8, pictures=3)


def shown(page):
    return page.read_text(encoding="utf-8").count('src="data:image/')


def test_a_link_to_a_private_picture_is_not_embedded(run, tmp_path):
    before = shown(build_report(run))
    thumbnails = sorted((run.path / "mistakes").iterdir())
    private = tmp_path / "private.png"
    thumbnails[0].rename(private)
    thumbnails[0].symlink_to(private)
    after = shown(build_report(run))
    # Each is shown in the gallery, in its cell, and perhaps beside the class it was taken for.
    assert after < before
    thumbnails[0].unlink()
    assert shown(build_report(run)) == after


@pytest.mark.parametrize("folder", ["mistakes", "doubtful", "cells"])
def test_a_folder_of_pictures_that_is_a_link_is_left_out(run, tmp_path, folder):
    pictures = run.path / "mistakes"
    without = tmp_path / "elsewhere"
    pictures.rename(without)
    none = shown(build_report(run))
    (run.path / folder).symlink_to(without, target_is_directory=True)
    assert shown(build_report(run)) == none == 0


def test_a_pipe_or_an_endless_file_among_the_pictures_is_left_out(run):
    first, second, _ = sorted((run.path / "mistakes").iterdir())
    first.unlink()
    os.mkfifo(first)
    os.truncate(second, 1 << 40)  # a terabyte that takes no room
    page = build_report(run)
    assert shown(page) > 0
    assert page.stat().st_size < 2_000_000


def test_label_issues_show_the_groups_own_thumbnails_alone(run, tmp_path):
    group = RunGroup.begin(tmp_path / "group", "folds")
    group.update_info(runs=[], classes=["a", "b"])
    group.flush()
    group.write_text("label_issues.csv", to_csv([LabelIssue(f"{n}.png", "a", "b", 0.1) for n in range(2)]))
    picture = next((run.path / "mistakes").iterdir())
    group.write_bytes("label_issues/000001.jpg", picture.read_bytes())
    (group.path / "label_issues" / "000002.jpg").symlink_to(picture)
    page = build_label_issues(group)
    assert shown(page) == 1
    assert "The least likely one is not shown" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["../run", "..", "", "link", 3, ["1"]])
def test_a_group_draws_no_run_outside_itself(run, tmp_path, name):
    group = RunGroup.begin(tmp_path / "group", "repeats")
    (group.path / "link").symlink_to(run.path, target_is_directory=True)
    (group.path / "repeats.json").write_text(json.dumps({"format_version": 1, "runs": [name]}))
    with pytest.raises(RunError) as refusal:
        build_group(group)
    assert str(refusal.value) == (
        f"{group.path / 'repeats.json'} lists the run {name!r}, which is not a folder in {group.path}. "
        "Restore it, or train again."
    )
    assert not (group.path / "report.html").exists()
