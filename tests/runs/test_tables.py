"""Facts: a table whose rows sum to one is believed only where it is that of the run's own split."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from linnaea import files
from linnaea.data.dataset import Dataset
from linnaea.data.fingerprints import content_hashes
from linnaea.data.groups import find_groups
from linnaea.data.split import Split
from linnaea.data.split_file import COLUMNS, split_hash, split_rows
from linnaea.errors import DataError
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder
from linnaea.runs.tables import (
    check_number,
    is_there,
    leaks_of,
    read_table,
    read_test_table,
    recorded_leaks,
    split_of,
    write_table,
)


def row(path, picture_hash, label, part, group=""):
    return dict(zip(COLUMNS, (path, picture_hash, label, part, group), strict=True))


ROWS = [
    row("a/1.png", "h1", "a", "train"),
    row("a/2.png", "h2", "a", "test"),
    row("a/3.png", "h3", "a", "test"),
    row("a/4.png", "h4", "a", "val"),
    row("b/1.png", "h5", "b", "train"),
    row("b/2.png", "h6", "b", "test"),
    row("b/3.png", "h7", "b", "test"),
]
LINES = ["a/2.png,a,a,0.8,0.2", "a/3.png,a,b,0.4,0.6", "b/2.png,b,b,0.1,0.9", "b/3.png,b,b,0.3,0.7"]


@pytest.fixture
def make(tmp_path):
    """Write a run of these rows of split.csv, and of these lines of predictions.csv."""

    def made(rows=ROWS, lines=LINES, header="path,true,predicted,a,b", **info):
        run = RunFolder.create(tmp_path / "run", overwrite=True)
        splits = {part: sum(row["split"] == part for row in rows) for part in ("train", "val", "test")}
        run.update_info(data={"split_hash": split_hash(rows), "splits": splits}, **info)
        run.flush()
        run.write_csv("split.csv", list(COLUMNS), rows)
        # Past the run, as if it were older than checksums.
        (run.path / "predictions.csv").write_text("\n".join([header, *lines]) + "\n")
        return run

    return made


def test_the_table_of_the_split_is_read_with_its_hashes(make):
    table = read_test_table(make(lines=LINES[::-1]))  # the order of the rows says nothing
    assert table.paths == ("b/3.png", "b/2.png", "a/3.png", "a/2.png")
    assert table.hashes == ("h7", "h6", "h3", "h2")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            [LINES[0], *LINES[2:]],
            " has no row for a/3.png of the test set; 1 of 4 rows are missing.",
        ),
        ([*LINES, LINES[0]], ", line 6: a/2.png is in line 2 already."),
        (
            [LINES[0], LINES[1].replace(",a,b,", ",b,b,"), *LINES[2:]],
            ", line 3: a/3.png has the true class 'b', and 'a' in split.csv.",
        ),
        (
            [*LINES[:3], LINES[3].replace("b/3", "b/1")],
            ", line 5: b/1.png is in the training set in split.csv, not in the test set.",
        ),
        ([*LINES[:3], LINES[3].replace("b/3", "c/3")], ", line 5: c/3.png is not in split.csv."),
    ],
)
def test_rows_removed_doubled_relabelled_or_of_other_pictures_are_refused_by_name(make, lines, told):
    run = make(lines=lines)
    with pytest.raises(DataError) as refused:
        read_test_table(run)
    assert str(refused.value) == (f"{run.path / 'predictions.csv'}{told} Restore the file, or train again.")


def test_a_probability_that_was_changed_contradicts_the_checksum(make):
    run = make()
    write_table(run, "test", read_test_table(run))  # before, the table had none
    text = (run.path / "predictions.csv").read_text()
    assert text.splitlines()[1:] == LINES
    told = {"predictions.csv": hashlib.sha256(text.encode()).hexdigest()}
    assert run.info.checksums == told
    assert read_test_table(run).paths[0] == "a/2.png"
    (run.path / "predictions.csv").write_text(text.replace("0.4,0.6", "0.3,0.7"))
    found = hashlib.sha256((run.path / "predictions.csv").read_bytes()).hexdigest()
    with pytest.raises(DataError) as refused:
        read_test_table(run)
    assert str(refused.value) == (
        f"{run.path / 'predictions.csv'} was changed since the run wrote it: its SHA-256 is {found[:12]}…, "
        f"expected {told['predictions.csv'][:12]}…. Restore the file, or train again."
    )


def test_other_ends_of_lines_are_no_change_and_a_lost_table_is_missed(make):
    run = make()
    write_table(run, "test", read_test_table(run))
    path = run.path / "predictions.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_test_table(run).paths[0] == "a/2.png"
    assert is_there(run, "test")
    path.unlink()
    with pytest.raises(DataError) as refused:
        is_there(run, "test")
    assert str(refused.value) == (
        f"{path} is missing; run.json keeps its checksum. Restore the file, or train again."
    )
    # Of the validation part the run never had a table.
    assert not is_there(run, "val")


def test_a_table_that_is_written_while_the_power_goes_has_no_checksum(make, monkeypatch):
    run = make()
    table = read_test_table(run)
    write_table(run, "test", table)
    run.flush()
    write_bytes = files.write_bytes

    def power_cut(path, content):
        write_bytes(path, content)
        if path.name == "predictions.csv":
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_bytes", power_cut)
    surer = replace(table, probabilities=np.round(table.probabilities))
    with pytest.raises(KeyboardInterrupt):
        write_table(run, "test", surer)
    left = RunFolder.open(run.path)
    assert left.info.checksums == {}
    np.testing.assert_array_equal(read_test_table(left).probabilities, surer.probabilities)


def test_columns_that_changed_places_are_refused(make):
    # Each row still sums to one, and would name its most probable class.
    run = make(lines=["a/2.png,a,b,0.8,0.2"], header="path,true,predicted,b,a")
    with pytest.raises(DataError) as refused:
        read_test_table(run)
    assert refused.value.message == (
        f"{run.path / 'predictions.csv'}: the columns are not the 2 classes of training in their order; "
        "expected 'a', received 'b'."
    )
    run = make(lines=["a/2.png,a,a,0.8,0.1,0.1"], header="path,true,predicted,a,b,c")
    with pytest.raises(DataError, match="expected no more, received 'c'"):
        read_test_table(run)


def test_a_split_that_was_edited_with_the_table_is_refused(make):
    run = make()
    text = (run.path / "split.csv").read_text()
    run.write_text("split.csv", text.replace("a/3.png,h3,a", "a/3.png,h3,b"))
    with pytest.raises(DataError) as refused:
        split_of(run)
    assert refused.value.message.startswith(
        f"{run.path / 'split.csv'} is not the split that the run was made with: its hash is "
    )
    assert refused.value.message.endswith(f", expected {split_hash(ROWS)}.")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"path,label\n", "split.csv: The split has no column 'hash', 'split'."),
        (b"\xff\xfe", "split.csv is damaged ("),
        (b"path,hash,label,split\n" + b"x" * 200_000 + b",,,train\n", "split.csv is damaged ("),
    ],
)
def test_a_damaged_split_is_told_as_one(make, content, told):
    run = make()
    run.write_bytes("split.csv", content)
    with pytest.raises(DataError) as refused:
        read_test_table(run)
    assert told in refused.value.message


def test_a_run_without_split_is_held_against_its_numbers(make):
    run = make(lines=LINES[1:])
    (run.path / "split.csv").unlink()
    run.update_info(data={"splits": run.info.data.splits})  # as a run that is older than split.csv
    run.flush()
    assert split_of(run) is None
    table = read_table(run, "test", None)
    assert table.hashes == ()
    with pytest.raises(DataError) as refused:
        check_number(run, "test", table)
    assert refused.value.message == (
        f"{run.path / 'predictions.csv'} has 3 rows; run.json gives the test set 4 pictures."
    )


def test_a_split_that_is_gone_is_missed(make):
    run = make()
    (run.path / "split.csv").unlink()
    with pytest.raises(DataError) as refused:
        read_test_table(run)
    assert str(refused.value) == (
        f"{run.path / 'split.csv'} is missing; run.json keeps its hash. Restore the file, or train again."
    )


def test_pixels_in_memory_and_labels_with_commas_come_back(tmp_path):
    pixels = np.arange(4 * 9, dtype=np.uint8).reshape(4, 3, 3)
    labels = np.array(['one, "or" two', "0", 'one, "or" two', "0"])
    dataset = Dataset("digits", "digits", tuple("wxyz"), labels, pixels=pixels)
    split = Split(np.array([0, 1]), np.array([], int), np.array([2, 3]), "")
    rows = split_rows(dataset, split, content_hashes(dataset))
    run = RunFolder.create(tmp_path / "run")
    run.update_info(data={"split_hash": split_hash(rows)})
    run.flush()
    run.write_csv("split.csv", list(COLUMNS), rows)
    answers = Predictions(("y", "z"), labels[2:], ("0", 'one, "or" two'), np.array([[0.2, 0.8], [1.0, 0.0]]))
    run.write_text("predictions.csv", answers.to_csv())
    assert len(set(read_test_table(run).hashes)) == 2


def test_what_leaks_is_found_again_as_it_was_found_from_the_groups():
    generator = np.random.default_rng(0)
    for _ in range(20):
        n = 60
        pixels = np.arange(n, dtype=np.uint8).reshape(n, 1, 1)
        dataset = Dataset("d", "d", tuple(f"{i:02}.png" for i in range(n)), np.full(n, "a"), pixels=pixels)
        kept = [str(number) if number else "" for number in generator.integers(0, 40, n)]
        groups = find_groups(dataset, copies=generator.integers(0, 200, n), kept=kept)
        splits = np.split(generator.permutation(n), [30, 40])
        split = Split(*map(np.sort, splits), "", groups)
        expected = split.leaks(groups.ids)
        found = leaks_of(split_rows(dataset, split, content_hashes(dataset)))
        assert found["pictures"] == [dataset.paths[row] for row in expected["test"]]
        assert (found["n"], found["validation"]) == (len(expected["test"]), len(expected["val"]))
        assert found["n"] > 0


def test_leaks_of_a_split_older_than_groups_are_its_copies():
    rows = [*ROWS[:5], {**ROWS[5], "hash": "h1"}, {**ROWS[6], "hash": "h4"}]
    assert leaks_of(rows) == {"pictures": ["b/2.png", "b/3.png"], "n": 2, "validation": 0}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"pictures": ["a/1.png"], "n": 1}, "leaks names 'a/1.png', which is not a test picture."),
        ({"pictures": ["a/2.png"], "n": 2}, "leaks names 2 of 1."),
    ],
)
def test_leaks_that_cannot_be_are_refused_where_no_split_tells_them(make, told, said):
    run = make(leaks=told)
    table = read_test_table(run)
    with pytest.raises(DataError) as refused:
        recorded_leaks(run, table)
    assert refused.value.message == f"{run.path / 'run.json'} is not valid: {said}"
    run.update_info(leaks=None)
    run.flush()
    assert recorded_leaks(run, table) is None
