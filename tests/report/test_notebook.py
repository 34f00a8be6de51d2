"""What notebooks draw stands alone: one SVG or a Markdown table, whatever shows it."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from linnaea.evaluation.metrics import compute_metrics
from linnaea.evaluation.metrics import confusion as confusion_of
from linnaea.evaluation.predictions import Predictions
from linnaea.report import notebook
from linnaea.report.charts import Line
from linnaea.report.figures import chart_figure


@pytest.fixture
def table() -> Predictions:
    """Six pictures of three classes with odd names, four of them right."""
    classes = ("a & b", "<c>", "d")
    true = ["a & b", "a & b", "<c>", "<c>", "d", "d"]
    rows = [[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0, 0.99, 0.01], [0.3, 0.3, 0.4], [0.8, 0, 0.2]]
    return Predictions(tuple("uvwxyz"), np.array(true), classes, np.array(rows))


def drawn(sheet: notebook.Sheet) -> ElementTree.Element:
    """The parsed drawing, which asks for nothing outside itself."""
    root = ElementTree.fromstring(sheet._repr_svg_())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in sheet.svg
    assert all(link.startswith("data:image/") for link in re.findall(r'href="([^"]*)"', sheet.svg))
    return root


def texts(sheet: notebook.Sheet) -> list[str]:
    return [text.text or "" for text in drawn(sheet).findall(".//{*}text")]


def test_a_chart_has_its_title_its_caption_and_colours_of_its_own():
    lines = [Line("training", "blue", [(0, 10.0), (1, 90.0), (2, 95.0)])]
    figure = chart_figure("x", "Accuracy & epochs", "accuracy (%)", lines, share=True)
    sheet = notebook.chart(figure)
    words = texts(sheet)
    assert words[0] == "Accuracy & epochs"
    assert " ".join(words[1:]).startswith(figure.caption)
    assert "#0072b2" in sheet.svg


def test_pictures_keep_their_pixels_and_their_words():
    colour = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    sheet = notebook.pictures([(grey, ["<one>", "grey"]), (colour, ["two"])], "Two & more", columns=2)
    assert texts(sheet) == ["Two & more", "<one>", "grey", "two"]
    images = [image.get("href", "") for image in drawn(sheet).findall(".//{*}image")]
    decoded = [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))) for uri in images]
    assert np.array_equal(decoded[0], grey)
    assert np.array_equal(decoded[1], colour)


def test_the_confusion_matrix_holds_every_picture(table):
    words = texts(notebook.confusion(table, "Confusions"))
    counts = sorted(int(word) for word in words if word.isdigit())
    assert counts == sorted(int(count) for count in confusion_of(table).ravel() if count)
    assert [words.count(name) for name in table.classes] == [2, 2, 2]


def test_the_most_certain_mistakes_come_first_then_the_least_certain_right_answers(table):
    asked = []
    sheet = notebook.worst(table, lambda row: asked.append(row) or np.zeros((4, 4), np.uint8), most=4)
    assert asked == [5, 1, 4, 2]
    assert texts(sheet)[:4] == [
        "2 of 6 test pictures are misclassified: those with the highest probability first",
        "predicted a & b",
        "is d",
        "80.0\N{NO-BREAK SPACE}%",
    ]


def test_scores_stand_beside_what_was_reported(table):
    words = notebook.scores({"ours": table, "theirs": table}, {"theirs": {"accuracy": 91.99}}).markdown
    head, _, ours, theirs = words.splitlines()
    assert head.split(" | ")[1:4] == ["Accuracy", "95 % interval", "Accuracy, original report"]
    low, high = (100 * compute_metrics(table)["accuracy"][end] for end in ("low", "high"))
    assert ours.startswith(f"| ours | **66.67 %** | {low:.2f} to {high:.2f} | – |")
    assert theirs.startswith(f"| theirs | **66.67 %** | {low:.2f} to {high:.2f} | 91.99 % |")
    bars = " ".join(texts(notebook.intervals({"ours": table}, {"ours": {"accuracy": 91.99}})))
    assert "the diamond is the original report" in bars
    assert "66.67 %" in bars
