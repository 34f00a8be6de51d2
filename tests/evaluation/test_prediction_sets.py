"""Facts: the guaranteed coverage is kept, exactly as often as the theory says."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

from linnaea.errors import DataError, SettingError
from linnaea.evaluation import conformal
from linnaea.evaluation.conformal import UNLIKELY
from linnaea.evaluation.metrics import compute_metrics
from linnaea.evaluation.prediction_sets import (
    PredictionSets,
    broken,
    too_few,
)
from linnaea.evaluation.predictions import Predictions


def draw(n, k=6, *, generator, scale=2.0, sure=1.5):
    """A model that is wrong about its own confidence: the guarantee must not depend on it."""
    logits = generator.normal(size=(n, k))
    true = generator.integers(k, size=n)
    logits[np.arange(n), true] += sure
    classes = tuple(f"c{column}" for column in range(k))
    return Predictions(
        tuple(map(str, range(n))), np.array(classes)[true], classes, softmax(scale * logits, axis=1)
    )


def covered(sets, predictions):
    members = sets.members(predictions.probabilities)
    return members[np.arange(len(predictions)), predictions.true_index]


def test_nearly_all_validation_sets_keep_the_guarantee():
    # Of n = 50 the 49th score: P(Binomial(50, 0.9) >= 49) = 3.4 % of sets break the guarantee (with the 48th
    # 11.2 %), and E[coverage] = 49 / 51 for distinct scores.
    generator = np.random.default_rng(0)
    shares = np.empty(400)
    for part in range(400):
        sets = PredictionSets.fit(draw(50, generator=generator), 0.9)
        shares[part] = covered(sets, draw(2000, generator=generator)).mean()
    assert shares.mean() == pytest.approx(49 / 51, abs=3 * shares.std() / np.sqrt(400))
    # What 2,000 pictures cannot see of the coverage is a third of what a part of 50 does to it.
    assert (shares >= 0.9).mean() == pytest.approx(0.966, abs=3 * np.sqrt(0.034 * 0.966 / 400))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_guarantee_is_the_least_that_is_sure_enough(coverage):
    # P(Beta(k, n + 1 - k) < c) = P(Binomial(n, c) >= k): scipy's binomial law says it in its own way.
    generator = np.random.default_rng(8)
    for n in (conformal.surest(coverage), 700):
        sets = PredictionSets.fit(draw(n, generator=generator, sure=0.0), coverage)
        rank = int(binom.isf(0.05, n, coverage)) + 1
        assert sets.confidence >= 0.95
        assert sets.confidence == pytest.approx(binom.cdf(rank - 1, n, coverage))
    fewer = PredictionSets.fit(draw(conformal.surest(coverage) - 1, generator=generator, sure=0.0), coverage)
    assert fewer.confidence == pytest.approx(1 - coverage**fewer.pictures)
    assert fewer.confidence < 0.95


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_a_large_part_is_covered_within_the_binomial_error(coverage):
    generator = np.random.default_rng(1)
    sets = PredictionSets.fit(draw(20_000, generator=generator), coverage)
    held = int(covered(sets, draw(2000, generator=generator)).sum())
    low, high = binom.interval(0.99, 2000, coverage)
    assert low <= held <= high


def test_a_set_holds_the_classes_that_are_probable_enough():
    # The 2nd of 2 scores 1 - p(true): 0.5 and 0.7.
    table = Predictions(
        ("1", "2"), np.array(["b", "c"]), ("a", "b", "c"), np.array([[0.2, 0.5, 0.3], [0.3, 0.4, 0.3]])
    )
    sets = PredictionSets.fit(table, 0.5)
    assert (sets.threshold, sets.held, sets.mean_size) == (0.7, 2, 2.5)
    assert sets.members(np.array([[0.29, 0.6, 0.11]])).tolist() == [[False, True, False]]
    assert sets.members(table.probabilities).tolist() == [[False, True, True], [True, True, True]]


def test_no_set_is_empty():
    # A validation part on which the model is sure and right makes a tiny threshold.
    sure = Predictions(
        tuple(map(str, range(40))),
        np.array(["a"] * 40),
        ("a", "b", "c"),
        np.tile([[0.98, 0.01, 0.01]], (40, 1)),
    )
    sets = PredictionSets.fit(sure, 0.95)
    assert sets.members(np.array([[0.4, 0.35, 0.25]])).tolist() == [[True, False, False]]


def test_too_few_pictures_and_impossible_coverages_are_refused():
    assert [conformal.fewest(c) for c in (0.5, 0.9, 0.95, 0.99)] == [1, 9, 19, 99]
    assert [conformal.surest(c) for c in (0.5, 0.9, 0.95, 0.99)] == [5, 29, 59, 299]
    generator = np.random.default_rng(2)
    PredictionSets.fit(draw(19, generator=generator), 0.95)
    with pytest.raises(DataError) as few:
        PredictionSets.fit(draw(18, generator=generator), 0.95)
    assert str(few.value) == (
        "Sets that contain the true class 95 % of the time need at least 19 validation pictures; there are "
        "18. Ask for a lower coverage, or train with a larger validation."
    )
    with pytest.raises(SettingError) as outside:
        PredictionSets.fit(draw(50, generator=generator), 95)
    assert str(outside.value) == "coverage must lie between 0 and 1; received 95. Try 0.95."


def test_metrics_judge_the_sets_and_the_threshold_on_the_test_part():
    generator = np.random.default_rng(3)
    validation, test = draw(2000, generator=generator), draw(700, generator=generator)
    metrics = compute_metrics(test, validation=validation, leaked=["0", "1", "not in the table"])
    sets = PredictionSets.fit(validation, 0.95)
    assert metrics["set_coverage"]["correct"] == covered(sets, test).sum()
    assert metrics["set_size"]["value"] == sets.members(test.probabilities).sum(axis=1).mean()
    sure = test.confidence >= metrics["answered"]["threshold"]
    assert metrics["answered"]["correct"] == metrics["accuracy_answered"]["pictures"] == sure.sum()
    assert metrics["accuracy_answered"]["value"] == (test.predicted == test.true)[sure].mean()
    clean = metrics["accuracy_without_leaks"]
    assert (clean["pictures"], clean["leaked"]) == (698, 2)
    assert clean["value"] == (test.predicted == test.true)[2:].mean()
    few = compute_metrics(test, validation=draw(10, generator=generator))
    assert not {"set_coverage", "set_size"} & set(few)


def test_why_no_sets_are_made():
    generator = np.random.default_rng(10)
    assert too_few(draw(19, generator=generator), 0.95) is None
    numbers = {"pictures": 18, "independent": 18, "needed": 19}
    assert too_few(draw(18, generator=generator), 0.95) == {"code": "too_few", "wanted": 0.95, **numbers}


def test_sets_cover_as_often_on_average_and_as_surely_as_is_told():
    generator = np.random.default_rng(4)
    sets = PredictionSets.fit(draw(60, generator=generator), 0.9)
    # A threshold on uniform scores covers as often as it is high; it is the 59th of 60, because
    # P(Binomial(60, 0.9) >= 58) = 5.3 %.
    thresholds = np.sort(generator.random((20_000, 60)), axis=1)[:, 58]
    assert sets.mean_coverage == pytest.approx(thresholds.mean(), abs=0.002)
    assert sets.confidence == pytest.approx((thresholds >= 0.9).mean(), abs=0.01)


def test_how_probable_it_is_that_so_few_are_held():
    generator = np.random.default_rng(5)
    sets = PredictionSets.fit(draw(60, generator=generator), 0.9)
    # As above, and of 40 new pictures whose scores are uniform too, those below the threshold.
    thresholds = np.sort(generator.random((20_000, 60)), axis=1)[:, 58]
    held = generator.binomial(40, thresholds)
    for few in (30, 33, 36, 39):
        assert sets.p_value(few, 40) == pytest.approx((held <= few).mean(), abs=0.01)
    assert sets.p_value(40, 40) == pytest.approx(1)


@pytest.mark.parametrize("sure", [1.5, 3.2])
def test_sets_that_chance_explains_are_not_complained_of(sure):
    # The same network on pictures like those of validation; the second is right 95 % of the time by itself.
    generator = np.random.default_rng(6)

    def unlikely():
        validation, test = (draw(n, generator=generator, sure=sure) for n in (100, 200))
        sets = PredictionSets.fit(validation, 0.95)
        assert sets.held == covered(sets, validation).sum() >= 99
        return sets.p_value(int(covered(sets, test).sum()), 200) < UNLIKELY

    assert np.mean([unlikely() for _ in range(300)]) <= UNLIKELY + 3 * (UNLIKELY / 300) ** 0.5


def test_a_network_that_is_often_right_is_held_to_what_it_did_on_validation():
    # Sets of the likeliest class alone: 995 of 1,000 right on validation are not like 950 on the test part.
    sets = PredictionSets(0.95, 0.0, 1.0, pictures=1000, held=995, independent=1000)
    assert sets.p_value(950, 1000) < 1e-9
    assert sets.p_value(992, 1000) > UNLIKELY
    assert sets.mean_coverage == 995 / 1001


def test_sets_that_are_too_small_for_harder_pictures_are_told_of():
    generator = np.random.default_rng(7)
    easy, hard = draw(1000, generator=generator, scale=6.0), draw(1000, generator=generator)
    pictures = np.arange(1000)
    # The truth of the easy ones is far likelier than that of the hard ones.
    easy.probabilities[pictures, easy.true_index] += 9
    easy.probabilities[:] /= easy.probabilities.sum(axis=1, keepdims=True)
    found = compute_metrics(hard, validation=easy)
    assert found["set_coverage"]["p_value"] < 1e-6
    assert broken(found)
    # Fewer than of the validation pictures, and no fewer than was guaranteed: nothing to warn of.
    assert not broken({"set_coverage": found["set_coverage"] | {"value": 0.96}})
