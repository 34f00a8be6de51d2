"""Facts: what classes may be called, how many there may be, and in which order people read them."""

import csv
import io
import json
import re
import subprocess
import sys

import numpy as np
from PIL import Image
from tests.commands.conftest import SHORT, draw

from linnaea import load
from linnaea.cli import main
from linnaea.evaluation.predictions import Predictions


def test_classes_called_like_columns_have_columns_of_their_own(tmp_path, capsys):
    folder = draw(tmp_path / "pictures", classes=4)
    names = ["error", "path", "set", "true"]
    for number, name in enumerate(names):
        (folder / f"bar {number}").rename(folder / name)
    run = tmp_path / "run"
    assert main(["train", str(folder), *SHORT, "--validation", "0.3", "--out", str(run)]) == 0
    assert Predictions.read_csv(run / "predictions.csv").classes == tuple(names)
    assert main(["evaluate", str(run)]) == 0
    capsys.readouterr()
    picture = folder / "set" / "05.png"
    assert main(["predict", str(run), str(picture), "--coverage", "0.5", "--format", "csv"]) == 0
    columns, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert len(set(columns)) == len(columns) == len(row)
    values = dict(zip(columns, row, strict=True))
    assert values["path"] == str(picture)
    assert values["probability"] == values[f"p_{values['predicted']}"]


def test_many_classes_of_three_pictures_are_no_reason_to_be_warned_of_by_a_library(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(30):
        (tmp_path / "many" / f"kind {number}").mkdir(parents=True)
        for index in range(3):
            pixels = generator.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "many" / f"kind {number}" / f"{index}.png")
    # As a process: in this one, pytest takes the warnings.
    command = [sys.executable, "-m", "linnaea", "train", str(tmp_path / "many"), *SHORT]
    ran = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr
    assert "unique classes" not in ran.stderr
    assert "a linear classifier on the pixels" in ran.stderr


def test_a_training_says_in_full_which_classes_may_be_one(tmp_path, capsys):
    folder = draw(tmp_path / "pictures")
    (folder / "bar 2").rename(folder / "Bar_1")
    assert main(["train", str(folder), *SHORT, "--out", str(tmp_path / "run")]) == 0
    assert "2 classes differ only in capitals, blanks" in capsys.readouterr().err


def test_people_read_classes_in_natural_order_and_the_network_keeps_its_own(tmp_path):
    folder = draw(tmp_path / "pictures", classes=12)
    run = tmp_path / "run"
    code = main(["train", str(folder), *SHORT, "--out", str(run)])
    assert code == 0
    names = [f"bar {number}" for number in range(12)]
    assert load(run).classes_.tolist() == sorted(names)
    assert Predictions.read_csv(run / "predictions.csv").classes == tuple(sorted(names))
    page = (run / "report.html").read_text()
    matrix = re.search('<table class="matrix.*?</table>', page, re.DOTALL)[0]
    # Side by side stand classes that are confused with one another.
    order = list(dict.fromkeys(re.findall(r"bar \d+", matrix)))
    assert sorted(order) == sorted(names)
    numbers = [re.findall(r"<td.*?>(?:<button.*?>)?(\d+)", row) for row in matrix.split("<tr>")[2:]]
    rows = json.loads((run / "metrics.json").read_text())["accuracy"]["classes"]
    right = {row["class"]: round(row["recall"] * row["pictures"]) for row in rows}
    assert {name: int(numbers[place][place]) for place, name in enumerate(order)} == right
    table = re.search('<table class="numbers classes".*?</table>', page, re.DOTALL)[0]
    recall = {row["class"]: row["recall"] for row in rows}
    worst_first = [recall[name] for name in re.findall(r'<th scope="row">(bar \d+)', table)]
    assert worst_first == sorted(recall.values())
    data = page[page.index('<section id="data"') :]
    assert list(dict.fromkeys(re.findall(r'<th scope="row">(bar \d+)', data))) == names
