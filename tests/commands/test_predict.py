"""Facts: any number of pictures, however named, are answered in order, as they come, and nothing is lost."""

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from tests.commands.conftest import draw

import linnaea
from linnaea.cli import main
from linnaea.commands.predict import BLOCK

LINNAEA = [sys.executable, "-m", "linnaea", "predict"]


@pytest.fixture
def new(tmp_path, monkeypatch):
    """Folders of pictures that no network has seen, below the working directory."""
    monkeypatch.chdir(tmp_path)
    return draw(tmp_path / "new", count=3, seed=1)


def table(capsys, *words, code=0):
    """Return the rows of predict --format csv, and what was said."""
    assert main(["predict", *map(str, words), "--format", "csv"]) == code
    printed = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(printed.out))), " ".join(printed.err.split())


def paths(rows):
    return [row["path"] for row in rows]


def given(folder="new"):
    return [f"{folder}/bar {number}/{index:02}.png" for number in range(3) for index in range(3)]


def test_a_folder_a_pattern_a_list_and_names_have_the_same_answers(trained, new, tmp_path, capsys):
    one_by_one, _ = table(capsys, trained, *given())
    assert paths(one_by_one) == given()
    (tmp_path / "names.txt").write_text("\r\n".join(given()))
    (tmp_path / "names.csv").write_text("label,path\n" + "".join(f'?,"{name}"\n' for name in given()))
    for words in (
        ["new"],
        [new.name + os.sep],
        ["new/**/*.png"],
        ["new/*/*.png"],
        ["new/bar*"],
        ["--list", "names.txt"],
        ["--list", "names.csv"],
    ):
        rows, _ = table(capsys, trained, *words)
        assert [row["path"].replace(os.sep, "/") for row in rows] == given()
        for row, expected in zip(rows, one_by_one, strict=True):
            # Which pictures a block holds may change the last digits.
            assert row["predicted"] == expected["predicted"]
            assert float(row["probability"]) == pytest.approx(float(expected["probability"]), rel=1e-5)
    rows, _ = table(capsys, trained, "new/bar 2", given()[3], "--list", "names.txt")
    assert paths(rows) == [*given()[6:], given()[3], *given()]
    assert linnaea.predict(trained, new)[0]["predicted"] == one_by_one[0]["predicted"]


def test_what_training_leaves_out_of_a_folder_is_left_out_and_told(trained, new, capsys):
    for name in ("@eaDir", "bar 0/.hidden", "$RECYCLE.BIN"):
        shutil.copytree(new / "bar 1", new / name)
    shutil.copytree(trained, new / "runs" / "one")
    shutil.copytree(new / "bar 1", new / "runs" / "one" / "mistakes", dirs_exist_ok=True)
    (new / "bar 0" / "._00.png").write_bytes(b"of a Mac")
    (new / "bar 0" / "raw.cr2").write_bytes(b"of a camera")
    rows, told = table(capsys, trained, "new")
    assert paths(rows) == given()
    assert "new: 1 folder of runs left out (runs)." in told
    assert "new: 3 folders of other programs left out" in told
    assert "1 .cr2 (a camera's raw data)" in told
    rows, told = table(capsys, trained, "new/**/*.png")
    assert paths(rows) == given()
    assert "new/**/*.png: 1 folder of runs left out (runs)." in told
    assert "2 folders of other programs left out ($RECYCLE.BIN, @eaDir)." in told
    # A folder that a pattern does not reach is none of its business.
    _, told = table(capsys, trained, "new/bar 1/*.png")
    assert "left out" not in told


def test_names_come_in_the_order_given_as_often_as_given(trained, new, capsys):
    asked = [given()[4], given()[0], given()[4]]
    rows, _ = table(capsys, trained, *asked)
    assert paths(rows) == asked
    # A name that looks like a pattern, and is there, is a name.
    odd = new / "bar 0" / "[0]*.png" if os.name != "nt" else new / "bar 0" / "[0].png"
    shutil.copy(new / "bar 0" / "00.png", odd)
    rows, _ = table(capsys, trained, odd)
    assert paths(rows) == [str(odd)]


def test_pictures_that_cannot_be_read_have_their_row_and_one_sentence(trained, new, tmp_path, capsys):
    (new / "bar 1" / "01.png").write_bytes(b"torn")
    rows, told = table(capsys, trained, "new", "nowhere.png", code=1)
    assert paths(rows) == [*given(), "nowhere.png"]
    assert [row["path"] for row in rows if row["error"]] == ["new/bar 1/01.png", "nowhere.png"]
    assert "could not be read (No such file or directory)" in rows[-1]["error"]
    assert told.endswith(
        "Error: 2 of 10 pictures could not be read (new/bar 1/01.png, nowhere.png). "
        "The reason stands in the row of each."
    )
    assert main(["predict", str(trained), "new"]) == 1
    printed = capsys.readouterr()
    (row,) = [line for line in printed.out.splitlines() if line.startswith("new/bar 1/01.png")]
    assert "not read" in row
    assert printed.err.count("01.png") == 1
    names = tmp_path / "many.txt"
    names.write_text("\n".join([*given()[:2], *(f"none {number}.png" for number in range(200))]))
    rows, told = table(capsys, trained, "--list", names, code=1)
    assert len(rows) == 202
    assert "200 of 202 pictures could not be read (none 0.png, none 1.png, none 2.png and 197 more)." in told


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "No pictures are named. Name files, folders or patterns, or a list of names with --list."),
        (["names.txt"], 2, "names.txt is no picture. For the names in it: --list names.txt."),
        ([""], 2, "The name of a picture is empty."),
        (["new/**/*.tif"], 1, "No picture matches new/**/*.tif. Check its spelling."),
        (["nwe/*.png"], 1, "No picture matches nwe/*.png: there is no folder nwe."),
        (["empty"], 1, "empty contains no pictures. empty: 1 file in a format that is not read left out"),
        (["--list", "none.txt"], 1, "none.txt could not be read (No such file or directory)."),
        (["--list", "new"], 1, "new is a folder, not a list. Leave --list out."),
        (["--list", "new/bar 0/00.png"], 2, "new/bar 0/00.png is a picture, not a list."),
        (["--list", "no_path.csv"], 1, "no_path.csv has no column 'path' in its first line (name,label)."),
        (["--list", "no_list.txt"], 1, "no_list.txt is not a list of names, one a line."),
        (["new", "--device", "cpu"], 2, "The model mlp has no setting device. Leave --device out."),
    ],
)
def test_what_names_no_picture_is_refused_in_a_sentence(
    trained, new, tmp_path, capsys, words, code, sentence
):
    (tmp_path / "names.txt").write_text("a.png")
    (tmp_path / "no_path.csv").write_text("name,label\na.png,rose\n")
    (tmp_path / "no_list.txt").write_text("x" * 2_000_000)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.nef").write_text("")
    assert main(["predict", str(trained), *words]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in " ".join(printed.err.split())


def test_a_list_is_understood_as_systems_write_it(trained, new, tmp_path, capsys):
    lists = {
        "of PowerShell": "\r\n".join(given()).encode("utf-16"),
        "with a mark": b"\xef\xbb\xbf" + "\n".join(given()).encode(),
        "with empty lines": "\n\n".join(["", *given(), "", ""]).encode(),
        "of find -print0": "".join(f"{name}\0" for name in given()).encode(),
        "of Windows": b"PATH;Label\n" + "\n".join(n.replace("/", "\\") for n in given()).encode(),
    }
    for how, content in lists.items():
        (tmp_path / "list").write_bytes(content)
        rows, _ = table(capsys, trained, "--list", "list")
        assert paths(rows) == given(), how
    # From elsewhere, names start from the list's own folder if its files are there.
    (tmp_path / "names.txt").write_text("\n".join(given()))
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    rows, told = table(capsys, trained, "--list", "../names.txt")
    assert (paths(rows), [row["error"] for row in rows]) == (given(), [""] * 9)
    assert "The names in ../names.txt start from its own folder." in told


@pytest.mark.skipif(os.name == "nt", reason="names there are Unicode")
def test_bytes_in_a_name_that_are_no_text_are_answered_in_folders_and_lists(trained, new, capsys):
    odd = os.fsdecode(b"new/bar 0/caf\xe9.png")
    shutil.copy(new / "bar 0" / "00.png", odd)
    with open("names.txt", "wb") as file:
        file.write(os.fsencode(odd))
    for words in (["new/bar 0"], ["new/bar 0/c*.png"], ["--list", "names.txt"]):
        rows, _ = table(capsys, trained, *words)
        assert rows[-1]["path"] == "new/bar 0/caf\\xe9.png"
        assert rows[-1]["predicted"]


def test_standard_input_names_pictures(trained, new):
    command = [*LINNAEA, str(trained), "--list", "-", "--format", "jsonl"]
    ran = subprocess.run(
        command, input="\n".join([*given(), given()[0]]), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert paths(answers) == [*given(), given()[0]]


def test_the_formats_agree_whatever_the_number(trained, new, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("\n".join(given() * 20))
    asked = ["predict", str(trained), "--list", "names.txt", "--format"]
    assert len(given() * 20) > 2 * BLOCK
    assert main([*asked, "json"]) == 0
    answers = json.loads(text := capsys.readouterr().out)
    assert paths(answers) == given() * 20
    assert text == json.dumps(answers, indent=2, ensure_ascii=False) + "\n"
    assert main([*asked, "jsonl"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == answers
    rows, _ = table(capsys, trained, "--list", "names.txt")
    assert [row["predicted"] for row in rows] == [answer["predicted"] for answer in answers]
    assert main([*asked, "table"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == given() * 20
    place = head.index("Predicted")
    assert all(line[place:].lstrip().startswith("bar ") for line in lines)
    (tmp_path / "nothing.txt").write_text("\n")
    assert main(["predict", str(trained), "--list", "nothing.txt", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_score_of_class_folders_is_told_with_its_interval_and_its_limits(trained, new, capsys):
    rows, told = table(capsys, trained, "new")
    right = sum(row["predicted"] in row["path"] for row in rows)
    assert f"Score accuracy {100 * right / 9:.1f} % (95 %: " in told
    assert "on 9 pictures with a given class (folder or label)" in told
    assert "this is a test only if the pictures are new" in told
    assert "not counted" not in told
    # A table may give other classes than folders do.
    with open("labels.csv", "w") as file:
        file.write("path,label\n" + "".join(f"{name},bar 9\n" for name in given()[:2]))
        file.write("".join(f"{row['path']},{row['predicted']}\n" for row in rows[2:]))
    _, told = table(capsys, trained, "--list", "labels.csv")
    assert "Score accuracy 100.0 % (95 %: 64.6 to 100.0) on 7 pictures" in told
    assert "2 pictures without a class of this network (bar 9) are not counted" in told
    # Without class folders there is nothing to be said.
    _, told = table(capsys, trained, *given())
    assert "Score" not in told


def test_pictures_of_the_run_s_own_sets_are_not_counted(trained, bars, new, tmp_path, capsys):
    _, told = table(capsys, trained, bars)
    own = "36 pictures of the run's own training, validation and test set"
    assert f"Score none: all that have a given class (folder or label) are {own}" in told
    # Wherever they lie, and whatever they are called.
    shutil.copy(bars / "bar 1" / "05.png", new / "bar 1" / "of the run.png")
    rows, told = table(capsys, trained, bars, "new")
    right = sum(row["predicted"] in row["path"] for row in rows[36:] if "of the run" not in row["path"])
    assert f"Score accuracy {100 * right / 9:.1f} % " in told
    assert "on 9 pictures with a given class" in told
    assert own.replace("36", "37") + " are not counted" in told


def test_without_its_split_a_run_scores_and_says_what_was_not_checked(trained, new, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "copy")
    (run / "split.csv").unlink()
    _, told = table(capsys, run, "new")
    assert "Score accuracy" in told
    assert "whether they are the run's own was not checked: " in told
    assert "split.csv is missing" in told


def test_folders_that_are_no_classes_of_the_network_give_no_score(trained, new, capsys):
    for number in range(3):
        (new / f"bar {number}").rename(new / f"week {number + 9}")
    _, told = table(capsys, trained, "new")
    assert told.count("Score") == 1
    assert (
        "Score none: the folders or labels (week 9, week 10, week 11) are not called like this network's "
        "classes (bar 0, bar 1, bar 2)"
    ) in told
    (new / "week 9").rename(new / "bar 0")
    _, told = table(capsys, trained, "new")
    assert "on 3 pictures with a given class" in told
    assert "6 pictures without a class of this network (week 10, week 11) are not counted" in told


def test_a_remark_on_the_light_has_a_column(trained, new, capsys):
    Image.fromarray(np.asarray(Image.open(new / "bar 0" / "00.png")) // 5).save("dark.png")
    rows, told = table(capsys, trained, "dark.png", "new/bar 0/00.png")
    assert [row["brightness"] for row in rows] == ["darker", ""]
    assert "1 picture is far darker or brighter" in told
    assert "(dark.png)" in told


def test_memory_does_not_grow_with_the_number_of_names(trained, new, tmp_path):
    def peak(number):
        (tmp_path / "names.txt").write_text("\n".join((given() * number)[:number]))
        tracemalloc.start()
        try:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                assert main(["predict", str(trained), "--list", "names.txt", "--format", "csv"]) == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # what is imported once
    few, many = peak(2 * BLOCK), peak(30 * BLOCK)
    # An answer of three classes takes a kilobyte.
    assert many - few < 300 * 28 * BLOCK


def begun(trained, how, stderr=subprocess.PIPE):
    """Start predict on names that come one after the other."""
    process = subprocess.Popen(
        [*LINNAEA, str(trained), "--list", "-", "--format", how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    process.stdin.write("".join(f"{name}\n" for name in given() * 60))
    process.stdin.flush()
    return process


@pytest.mark.skipif(os.name == "nt", reason="sends no Ctrl-C to one process")
@pytest.mark.parametrize(
    ("how", "sent", "code"), [("csv", signal.SIGINT, 130), ("json", signal.SIGTERM, 143)]
)
def test_whoever_stops_it_keeps_what_was_answered(trained, new, how, sent, code):
    process = begun(trained, how)
    # It has answered, and waits for more names.
    first = [process.stdout.readline() for _ in range(BLOCK)]
    process.send_signal(sent)
    rest, told = process.stdout.read(), process.stderr.read()
    assert process.wait(timeout=60) == code, told
    text = "".join(first) + rest
    if how == "json":
        answers = json.loads(text)
    else:
        assert text.endswith("\n")
        answers = list(csv.DictReader(io.StringIO(text)))
        assert all(row["error"] == "" for row in answers)
    assert len(answers) >= BLOCK
    assert paths(answers) == (given() * 60)[: len(answers)]
    assert "Traceback" not in told
    assert f"Stopped   after {len(answers)} pictures: their answers are written\n" in told


@pytest.mark.skipif(os.name == "nt", reason="has no such terminals")
def test_a_person_who_waits_sees_how_far_it_is(trained, new):
    ours, theirs = os.openpty()
    process = begun(trained, "csv", stderr=theirs)
    os.close(theirs)
    told = []

    def listen():
        with contextlib.suppress(OSError):  # the end, on Linux
            while piece := os.read(ours, 1 << 16):
                told.append(piece)

    # A terminal that nobody looks at is soon full.
    listener = threading.Thread(target=listen)
    listener.start()
    process.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.1)
    process.communicate("".join(f"{name}\n" for name in given() * 30), timeout=60)
    listener.join(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    shown = b"".join(told).decode()
    assert "Predict" in shown
    assert "pictures" in shown


@pytest.mark.skipif(os.name == "nt", reason="pipes there end otherwise")
@pytest.mark.parametrize("how", ["table", "csv", "json", "jsonl"])
def test_a_reader_who_has_seen_enough_is_no_fault(trained, new, tmp_path, how):
    (tmp_path / "names.txt").write_text("\n".join(given() * 200))
    process = subprocess.Popen(
        [*LINNAEA, str(trained), "--list", "names.txt", "--format", how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read()
    assert process.wait(timeout=60) == 0
    assert "Error" not in told
    assert "Exception" not in told
