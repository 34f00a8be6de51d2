"""Facts: what a linear classifier on pixels can do and cannot, and when there is one."""

import json

import numpy as np
import pytest

from linnaea.cli import main
from linnaea.commands import evaluating
from linnaea.commands.evaluating import linear_classifier
from linnaea.commands.study import Study, spread
from linnaea.data.dataset import Dataset
from linnaea.data.scan import scan
from linnaea.data.split import Split


def noisy(points, number, seed=0):
    """Return `number` noisy copies of each point as float32 in 0..1, and the number of its point."""
    targets = np.repeat(np.arange(len(points)), number)
    noise = np.random.default_rng(seed).normal(0, 0.05, (len(targets), len(points[0])))
    return (np.array(points)[targets] + noise).astype(np.float32), targets


def test_it_tells_what_a_line_can_divide_and_not_exclusive_or():
    corners = [[0.2, 0.2], [0.8, 0.8], [0.2, 0.8], [0.8, 0.2]]
    X, corner = noisy(corners, 50)
    ones = np.ones(len(X))
    left = np.where(X[:, 0] < 0.5, "left", "right")
    assert (linear_classifier(X, left, ones, X) == left).all()
    exclusive = np.where(corner < 2, "same", "other")
    # No line has more than three of four equally frequent corners right (Minsky and Papert 1969).
    assert (linear_classifier(X, exclusive, ones, X) == exclusive).mean() <= 0.75


def test_pictures_count_as_often_as_their_weights_say():
    # Both classes look alike: what is left is how common they are.
    X = np.random.default_rng(0).uniform(0, 1, (200, 3)).astype(np.float32)
    y = np.array(["rare", "common"])[np.arange(200) % 2]
    weights = np.where(y == "common", 9.0, 1.0)
    assert set(linear_classifier(X, y, weights, X)) == {"common"}


def test_a_perceptron_is_held_against_it(trained):
    found = json.loads((trained / "run.json").read_text())["baselines"]
    assert list(found) == ["a linear classifier on the pixels", "always the largest class"]
    assert found["a linear classifier on the pixels"] == 1.0  # a bar stands where its class says
    assert "a linear classifier on the pixels" in (trained / "report.html").read_text()


def test_it_says_how_many_pictures_it_learned_from(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluating, "MOST_PICTURES", 500)
    assert main(["train", "digits", "--hidden", "4", "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    found = json.loads((tmp_path / "run" / "run.json").read_text())["baselines"]
    assert 0.75 < found["a linear classifier on the pixels of 500 pictures"] < 0.95
    told = capsys.readouterr().err
    assert "a linear classifier on the pixels of 500 pictures: " in told
    # Four hidden units are far below it, which page and terminal say alike.
    warned = "A linear classifier on the pixels does better: this network is not worth using."
    assert f"Caution   {warned}" in told
    assert warned in (tmp_path / "run" / "report.html").read_text()
    assert "linnaea predict" not in told


@pytest.mark.parametrize(("size", "expected"), [(2, 1), (5000, 0)])
def test_there_is_none_where_it_would_take_long(size, expected):
    labels = np.array(["a", "b"] * 10)
    dataset = Dataset("x", "x", tuple(map(str, range(20))), labels, pixels=np.zeros((20, 2, 2), np.uint8))
    split = Split(np.arange(20), np.empty(0, int), np.empty(0, int), "")
    study = Study(scan(dataset, size=2), split, size, colour=False)
    assert bool(len(evaluating._learned_from(study, 2)[0])) == expected


def test_a_sample_is_spread_over_each_class():
    labels = np.array(["a"] * 10 + ["b"] * 3 + ["c"] * 100)
    places = spread(labels, 12)
    np.testing.assert_array_equal(places, [0, 3, 6, 9, 10, 11, 12, 13, 46, 79, 112])
