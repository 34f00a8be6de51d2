"""How many test pictures an interval of a given width takes, and which networks a baseline beats."""

import numpy as np
import pytest

from linnaea.evaluation import baselines
from linnaea.evaluation.intervals import wilson
from linnaea.evaluation.metrics import per_class
from linnaea.evaluation.predictions import Predictions
from linnaea.evaluation.resolution import WIDEST, pictures_needed, too_wide, uncertain_classes


@pytest.mark.parametrize(
    ("right", "pictures", "wide"),
    [(5, 5, True), (15, 15, True), (16, 16, False), (45, 90, True), (48, 96, False), (95, 100, False)],
)
def test_the_width_of_the_interval_decides_and_not_the_number(right, pictures, wide):
    low, high = wilson(right, pictures)
    assert too_wide({"low": low, "high": high}) is wide


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.78, 0.95])
@pytest.mark.parametrize("widest", [WIDEST, 0.4, 0.05])
def test_as_many_pictures_as_are_asked_for_are_enough_and_a_step_fewer_are_not(share, widest):
    needed = pictures_needed(share, widest)
    step = 10 if needed <= 100 else 10 ** (len(str(needed)) - 2)
    low, high = wilson(share * needed, needed)
    assert high - low <= widest
    if needed > step:
        low, high = wilson(share * (needed - step), needed - step)
        assert high - low > widest


def test_classes_of_fewer_than_twenty_pictures_can_be_uncertain_and_larger_ones_cannot():
    def rows(pictures, right):
        said = np.array([[0.9, 0.1]] * right + [[0.1, 0.9]] * (pictures - right))
        paths = tuple(map(str, range(pictures)))
        return per_class(Predictions(paths, np.array(["a"] * pictures), ("a", "b"), said))

    # Of b, no picture: it has no recall that could be uncertain.
    assert [row["class"] for row in uncertain_classes(rows(19, 9))] == ["a"]
    assert uncertain_classes(rows(20, 10)) == []


def test_a_difference_is_decided_by_the_pairs_where_they_are_known():
    right = np.arange(200) % 10 < 8
    better = right | (np.arange(200) % 10 == 8)
    paired = baselines.difference(right, better, None)
    assert paired["difference"] == pytest.approx(-0.1)
    assert baselines.decided(paired)
    low, high = wilson(160, 200)
    entry = {"value": 0.8, "low": low, "high": high, "pictures": 200}
    unpaired = baselines.unpaired_difference(entry, 0.9)
    # The same accuracies, and a wider interval.
    assert unpaired["low"] < paired["low"] < paired["high"] < unpaired["high"]
    assert baselines.unpaired_difference({"value": 0.8}, 0.9) is None


def test_few_pictures_decide_nothing():
    right = np.array([True] * 5)
    assert not baselines.decided(baselines.difference(right, right & (np.arange(5) < 3), None))
