"""Facts: a published interval, SciPy's exact test, and what two tables must share."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, bootstrap

from linnaea.errors import DataError
from linnaea.evaluation.comparison import compare, paired_interval
from linnaea.evaluation.predictions import Predictions
from linnaea.report.sentences import difference


def answers(right, *, true=None, first=0):
    """A table of two classes in which the pictures marked in `right` are classified rightly."""
    right = np.asarray(right, dtype=bool)
    true = np.where(np.arange(len(right)) % 2, "cat", "dog") if true is None else np.asarray(true)
    says_cat = (true == "cat") == right
    return Predictions(
        paths=tuple(f"{first + row}.png" for row in range(len(right))),
        true=true,
        classes=("cat", "dog"),
        probabilities=np.where(says_cat[:, None], [0.9, 0.1], [0.1, 0.9]),
    )


def pair(both_right, only_a, only_b, both_wrong):
    counts = (both_right, only_a, only_b, both_wrong)
    return answers(np.repeat([1, 1, 0, 0], counts)), answers(np.repeat([1, 0, 1, 0], counts))


def reordered(predictions, order):
    return Predictions(
        tuple(predictions.paths[row] for row in order),
        predictions.true[order],
        predictions.classes,
        predictions.probabilities[order],
    )


def test_the_interval_is_the_published_one():
    # Newcombe (1998), Stat. Med. 17:2635-2650, table II, method 10.
    assert paired_interval(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_counts_difference_and_exact_p_value():
    result = compare(*pair(80, 12, 3, 5))
    assert (result.n, result.both_right, result.only_a, result.only_b, result.both_wrong) == (
        100,
        80,
        12,
        3,
        5,
    )
    assert result.difference == pytest.approx(0.09)
    assert result.low < result.difference < result.high
    # Two-sided: at most 3, or at least 12, heads in 15 throws of a fair coin.
    assert result.p_value == pytest.approx(2 * binom.cdf(3, 15, 0.5))


def test_the_order_of_the_models_only_turns_the_sign():
    there, back = compare(*pair(80, 12, 3, 5)), compare(*reversed(pair(80, 12, 3, 5)))
    assert (there.difference, there.low, there.high) == pytest.approx(
        (-back.difference, -back.high, -back.low)
    )
    assert there.p_value == back.p_value
    assert difference(there, "one", "two") == difference(back, "two", "one")


def test_the_sentences():
    better = compare(*pair(2000, 20, 64, 23))
    assert difference(better, "one", "two") == "two is better by 2.1 points (95 %: 1.3 to 3.0)"
    same = compare(*pair(2000, 40, 44, 23))
    assert difference(same, "one", "two") == "no significant difference on 2,107 pictures"


def test_a_model_does_not_differ_from_itself():
    model, _ = pair(90, 0, 0, 10)
    result = compare(model, model)
    assert (result.p_value, result.difference) == (1.0, 0.0)
    assert result.low < 0 < result.high
    assert not result.decided


def test_the_interval_covers_the_truth():
    # Table drawn 1,000 times with 85 % both right, 8 % only a, 4 % only b: the true difference is 4 points.
    drawn = np.random.default_rng(0).multinomial(300, [0.85, 0.08, 0.04, 0.03], size=1000)
    ends = np.array([paired_interval(*counts) for counts in drawn.tolist()])
    assert 0.93 <= ((ends[:, 0] <= 0.04) & (ends[:, 1] >= 0.04)).mean() <= 0.97


def test_the_paired_bootstrap_is_scipys():
    a, b = pair(80, 12, 3, 5)
    result = compare(a, b)
    gains = np.repeat([0, 1, -1, 0], (80, 12, 3, 5))
    drawn = bootstrap((gains,), np.mean, method="percentile", n_resamples=9_999, rng=0).confidence_interval
    assert (result.bootstrap_low, result.bootstrap_high) == pytest.approx(tuple(drawn), abs=0.0101)
    same = compare(a, a)
    assert (same.bootstrap_low, same.bootstrap_high) == (None, None)


def test_large_counts_do_not_overflow():
    low, high = paired_interval(900_000, 30_000, 20_000, 50_000)
    assert 0.0095 < low < 0.01 < high < 0.0105


def test_the_order_of_the_pictures_does_not_matter():
    a, b = pair(80, 12, 3, 5)
    assert compare(a, reordered(b, np.random.default_rng(0).permutation(100))) == compare(a, b)


def test_other_pictures_are_refused_and_the_common_ones_compared_on_request():
    a, b = answers([1] * 10), answers([1] * 6 + [0] * 2, first=4)
    with pytest.raises(DataError) as refused:
        compare(a, b)
    assert str(refused.value) == (
        "The two tables hold different pictures: 4 (0.png, 1.png, 2.png, …) only in the first, "
        "2 (10.png, 11.png) only in the second. "
        "Give both models the same test set, or compare only the pictures that both have: common=True."
    )
    common = compare(a, b, common=True)
    assert (common.n, common.both_right) == (6, 6)
    with pytest.raises(DataError, match="no picture in common"):
        compare(a, answers([1], first=50), common=True)


def test_other_labels_are_refused():
    a = answers([1, 1, 1], true=["cat", "dog", "cat"])
    b = answers([1, 1, 1], true=["cat", "cat", "dog"])
    with pytest.raises(DataError) as refused:
        compare(a, b, common=True)
    assert str(refused.value) == (
        "The two tables give 2 of 3 pictures different labels "
        "(1.png: 'dog' and 'cat', 2.png: 'cat' and 'dog'). "
        "Give both models the same labels."
    )


def test_a_picture_that_stands_twice_is_refused():
    a, _ = pair(2, 0, 0, 0)
    with pytest.raises(DataError, match="The second table names a picture more than once"):
        compare(a, reordered(a, [0, 0]))


def hashed(predictions, hashes, paths=None):
    return replace(predictions, hashes=tuple(hashes), paths=paths or predictions.paths)


def test_the_same_content_in_a_folder_that_was_moved_is_the_same_picture():
    a, b = pair(80, 12, 3, 5)
    # Two copies of one picture, of different labels, lie in the part: a move keeps their order.
    hashes = ["0", *map(str, range(99))]
    moved = hashed(b, hashes, tuple(f"elsewhere/{path}" for path in b.paths))
    assert compare(hashed(a, hashes), moved) == compare(a, b)
    # Without the content of both, paths are all there is.
    with pytest.raises(DataError, match="hold different pictures: 100 "):
        compare(a, moved)
    assert compare(hashed(a, hashes), b) == compare(a, b)


def test_two_pictures_that_changed_names_are_found_again():
    a, b = answers([1, 0, 1]), answers([0, 1, 1], true=["cat", "dog", "dog"])
    result = compare(hashed(a, "xyz"), hashed(b, "yxz"))
    assert (result.both_right, result.both_wrong, result.only_a, result.only_b) == (2, 1, 0, 0)


def test_another_content_under_the_same_path_is_another_picture():
    a, b = hashed(answers([1] * 4), "wxyz"), hashed(answers([1] * 4), "wXyz")
    with pytest.raises(DataError) as refused:
        compare(a, b)
    assert refused.value.message == (
        "The two tables hold different pictures: none only in the first, none only in the second, "
        "1 (1.png) under one path with different content."
    )
    assert compare(a, b, common=True).n == 3


def test_a_table_needs_a_hash_for_each_picture():
    with pytest.raises(DataError, match="of 3 pictures needs 3 hashes; received 2"):
        hashed(answers([1, 1, 1]), "ab")
