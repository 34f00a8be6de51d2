"""Tables of numbers: MNIST, FER2013 and the like as CSV."""

import numpy as np
import pytest
from tests.data.conftest import refusal

from linnaea.cli import main
from linnaea.data.sources import open_dataset
from linnaea.data.split import default_protocol
from linnaea.runs.folder import RunFolder


def write(path, head, rows):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def numbers(count, many):
    return np.random.default_rng(0).integers(0, 256, (count, many), dtype=np.uint8)


def faces(folder, count=24):
    """As FER2013: all pixels of a face in one column."""
    usage = ["Training"] * (count - 8) + ["PublicTest"] * 4 + ["PrivateTest"] * 4
    rows = [
        f"{n % 2},{' '.join(map(str, row))},{usage[n]}" for n, row in enumerate(numbers(count, 144).tolist())
    ]
    return write(folder / "fer2013.csv", "emotion,pixels,Usage", rows)


@pytest.mark.parametrize(
    ("names", "many"),
    [("pixel{n}", 784), ("pixel_{n:04}", 784), ("{n}", 64), ("1x{n}", 64), ("pixel{n:04d}", 192)],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_column_for_each_pixel_is_read(tmp_path, names, many, last):
    pixels = numbers(6, many)
    head = [names.format(n=n) for n in range(many)]
    rows = [list(map(str, row)) for row in pixels.tolist()]
    for n, row in enumerate(rows):
        row.insert(many if last else 0, "abc"[n % 3])
    head.insert(many if last else 0, "label")
    dataset = open_dataset(write(tmp_path / "x.csv", ",".join(head), map(",".join, rows)))
    side = round((many // 3 if many == 192 else many) ** 0.5)
    assert dataset.pixels.shape == ((6, 8, 8, 3) if many == 192 else (6, side, side))
    assert (dataset.pixels.reshape(6, many) == pixels).all()
    assert dataset.labels.tolist() == list("abcabc")
    assert len(set(dataset.paths)) == 6


def test_pixels_in_one_column_and_the_sets_of_a_contest(tmp_path):
    dataset = open_dataset(faces(tmp_path))
    assert (dataset.pixels == numbers(24, 144).reshape(-1, 12, 12)).all()
    assert (dataset.class_names, default_protocol(dataset)) == (("0", "1"), "official")
    assert dataset.splits.tolist() == ["train"] * 16 + ["val"] * 4 + ["test"] * 4
    assert dataset.notes == (
        "The pictures are the numbers of each row, 12 x 12; the classes are those of the column 'emotion'.",
        "In your usage column, 'PrivateTest' is test and 'PublicTest' is val.",
    )


def test_a_table_of_numbers_is_checked_trained_on_and_repeated(tmp_path, capsys):
    table, quick = str(faces(tmp_path)), ["--hidden", "4", "--epochs", "1", "--size", "12"]
    assert main(["check", table, "--format", "json"]) == 0
    assert main(["train", table, *quick, "--out", str(tmp_path / "run")]) == 0
    run = RunFolder.open(tmp_path / "run")
    assert run.info.data.splits == {"train": 16, "val": 4, "test": 4}
    assert main(["rerun", str(run.path), "--out", str(tmp_path / "again")]) == 0
    assert "bit for bit" in " ".join(capsys.readouterr().err.split())


def test_numbers_that_are_no_pictures_are_refused(tmp_path):
    head = ",".join(["label", *(f"pixel{n}" for n in range(64))])
    row = ",".join(["7"] * 64)
    assert "line 2, has pixels that are not whole numbers from 0 to 255" in refusal(
        write(tmp_path / "a.csv", head, [f"a,{row.replace('7', '0.5')}"])
    )
    assert "line 2, has pixels that are not" in refusal(
        write(tmp_path / "a.csv", head, [f"a,{row.replace('7', '256')}"])
    )
    assert "line 3, has 0 pixels, and the first picture 64" in refusal(
        write(tmp_path / "a.csv", head, [f"a,{row}", "b,7"])
    )
    assert "pictures of 5 numbers, which are no square" in refusal(
        write(tmp_path / "a.csv", "label,pixels", ["a,1 2 3 4 5"])
    )
    assert "contains pixels and no column 'label'" in refusal(
        write(tmp_path / "a.csv", head.removeprefix("label,"), [row])
    )
    assert "pictures of 1 class, and 1 row without one" in refusal(
        write(tmp_path / "a.csv", head, [f"a,{row}", f",{row}"])
    )
    floats = write(tmp_path / "a.csv", head, [f"{name},{row.replace('7', '7.0')}" for name in "ab"])
    assert (open_dataset(floats).pixels == 7).all()
