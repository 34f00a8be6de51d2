"""Repeats: the hand-worked corrected variance, and intervals that are not too sure."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from linnaea.errors import DataError
from linnaea.evaluation.predictions import Predictions
from linnaea.evaluation.repeated import compare_repeats
from linnaea.report.sentences import repeated_difference


def run(right, first=0):
    """A table of two classes in which the pictures marked in `right` are classified rightly."""
    right = np.asarray(right, dtype=bool)
    return Predictions(
        tuple(f"{first + row}.png" for row in range(len(right))),
        np.full(len(right), "cat"),
        ("cat", "dog"),
        np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]),
    )


def runs(rights, n=100, *, apart):
    """One table for each number of right answers, of the same pictures or of others each time."""
    return [run(np.arange(n) < right, first=index * n * apart) for index, right in enumerate(rights)]


def test_other_test_parts_are_nadeau_and_bengios_corrected_t():
    a, b = runs([90, 92, 91], apart=True), runs([88, 87, 89], apart=True)
    result = compare_repeats(a, b, [300, 300, 300])
    differences = np.array([0.02, 0.05, 0.02])
    error = differences.std(ddof=1) * np.sqrt(1 / 3 + 100 / 300)
    half = stats.t.ppf(0.975, 2) * error
    assert (result.n, result.difference) == (3, pytest.approx(0.03))
    assert (result.low, result.high) == pytest.approx((0.03 - half, 0.03 + half))
    assert result.p_value == pytest.approx(2 * stats.t.sf(0.03 / error, 2))
    assert repeated_difference(result, "a", "b") == (
        "no significant difference over 3 repeats "
        "(a − b: +3.0 points on average, 95 %: −3.1 to +9.1, standard deviation 1.7)"
    )


def test_one_test_part_counts_the_choice_of_its_pictures():
    # Every repeat alike: the deviation over seeds is nil, and 4 of 100 pictures are still only 4.
    a, b = runs([90] * 4, apart=False), runs([86] * 4, apart=False)
    result = compare_repeats(a, b, [300] * 4)
    gains = np.r_[np.ones(4), np.zeros(96)]
    half = stats.t.ppf(0.975, 3) * np.sqrt(gains.var(ddof=1) / 100)
    assert (result.low, result.high) == pytest.approx((0.04 - half, 0.04 + half))


def test_the_better_recipe_is_named_whichever_comes_first():
    a, b = runs([95, 96, 95, 96, 95], apart=True), runs([85, 85, 86, 86, 85], apart=True)
    there, back = compare_repeats(a, b, [300] * 5), compare_repeats(b, a, [300] * 5)
    assert there.decided
    assert repeated_difference(there, "a", "b") == repeated_difference(back, "b", "a")
    assert re.fullmatch(
        r"a is better by 10\.0 points on average \(95 %: \d\.\d to 1\d\.\d, standard deviation 0\.7 over 5 "
        r"repeats\)",
        repeated_difference(there, "a", "b"),
    )


def test_repeats_that_happen_to_agree_are_no_certainty():
    # One picture of 12 each time: the differences do not spread, and McNemar's variance is what is left.
    a, b = runs([11, 11], 12, apart=True), runs([10, 10], 12, apart=True)
    result = compare_repeats(a, b, [36, 36])
    error = np.sqrt((1 / 12 - 1 / 144) / 12 * (1 / 2 + 12 / 36))
    assert result.high - result.difference == pytest.approx(stats.t.ppf(0.975, 1) * error)
    assert not result.decided


@pytest.mark.parametrize("apart", [True, False])
def test_recipes_that_answered_alike_have_nothing_to_tell(apart):
    same = runs([9, 8, 9], 12, apart=apart)
    assert repeated_difference(compare_repeats(same, same, [36] * 3), "a", "b") == (
        "no significant difference over 3 repeats: both classified the same pictures correctly each time"
    )


def test_repeats_on_a_folder_that_was_moved_are_compared_as_before():
    a, b = runs([90, 92, 91], apart=False), runs([88, 87, 89], apart=False)
    moved = [
        replace(table, paths=tuple(f"x/{path}" for path in table.paths), hashes=table.paths) for table in b
    ]
    here = [replace(table, hashes=table.paths) for table in a]
    assert compare_repeats(here, moved, [300] * 3) == compare_repeats(a, b, [300] * 3)


def test_runs_that_cannot_be_paired_are_refused():
    with pytest.raises(DataError) as refused:
        compare_repeats(runs([90, 90], apart=True), runs([90], apart=True), [300, 300])
    assert str(refused.value) == (
        "There are 2 and 1 evaluated runs to compare. Repeat both recipes equally often, twice or more."
    )
    with pytest.raises(DataError, match="hold different pictures"):
        compare_repeats(runs([90, 90], apart=True), runs([90, 90], apart=False), [300, 300])
