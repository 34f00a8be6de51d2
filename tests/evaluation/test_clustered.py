"""Facts: pictures that come in groups tell less, by the published formulas, and intervals still cover."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from linnaea.errors import DataError
from linnaea.evaluation import clustered
from linnaea.evaluation.comparison import compare, sign_flip_test
from linnaea.evaluation.intervals import wilson
from linnaea.evaluation.metrics import compute_metrics, per_class
from linnaea.evaluation.prediction_sets import PredictionSets, too_few
from linnaea.evaluation.predictions import Predictions


def table(right, groups, *, probability=0.9, classes=("a", "b")):
    """Pictures of two classes in turn, those marked in `right` named rightly; groups: int (n,)."""
    right = np.asarray(right, dtype=bool)
    true = np.where(np.asarray(groups) % 2, *classes)
    first = (true == classes[0]) == right
    stated = np.where(first[:, None], [probability, 1 - probability], [1 - probability, probability])
    return Predictions(
        tuple(f"{row}.png" for row in range(len(right))), true, classes, stated, groups=np.asarray(groups)
    )


def drawn(groups, size, mean, alike, generator):
    """Return right or wrong of groups · size pictures, alike within their group, and the group of each.

    Each group's rate is drawn from a beta law: two of its pictures correlate by `alike` (its intraclass
    correlation), and the effect on the variance is 1 + (size - 1) · alike (Kish 1965).
    """
    total = 1 / alike - 1
    rates = generator.beta(mean * total, (1 - mean) * total, size=groups)
    return generator.random(groups * size) < np.repeat(rates, size), np.repeat(np.arange(groups), size)


def test_names_become_groups():
    assert clustered.numbered(["", "p1", "", "p1", "p2"]).tolist() == [0, 1, 2, 1, 3]
    assert clustered.numbered(["", "", "p1"]) is None
    assert clustered.shared([4, 7, 9]) is None
    assert clustered.shared([4, 7, 4]).tolist() == [4, 7, 4]


def test_the_variance_of_a_mean_is_that_of_the_ratio_of_sums_by_hand():
    # Sums 2, 0, 1 over 2, 1, 2 pictures; the mean is 3/5, so that the sums are off by 0.8, -0.6 and -0.2.
    values, groups = np.array([1.0, 1, 0, 1, 0]), np.array([0, 0, 1, 2, 2])
    by_hand = 3 / 2 * (0.8**2 + 0.6**2 + 0.2**2) / 25
    assert clustered.variance_of_mean(values, groups) == pytest.approx(by_hand)
    alone = clustered.variance_of_mean(values, None)
    assert alone == pytest.approx(values.var(ddof=1) / 5)


def test_the_worst_effect_is_averaged_in_as_one_more_group_by_hand():
    # Five groups of two, of which two hold a mistake: 7 of 10 right, 1.4 of each two.
    values = np.array([1.0, 1, 1, 1, 1, 1, 1, 0, 0, 0])
    groups = np.repeat(np.arange(5), 2)
    off = np.array([2 - 1.4, 2 - 1.4, 2 - 1.4, 1 - 1.4, 0 - 1.4])
    grouped_variance = 5 / 4 * (off @ off) / 100
    effect = grouped_variance / (values.var(ddof=1) / 10)
    # Two groups tell; the worst is 2, that of pairs which are alike altogether.
    effect = (2 * effect + 2) / 3
    few = (stats.t.ppf(0.975, 9) / stats.t.ppf(0.975, 4)) ** 2
    assert clustered.independent(values, groups) == pytest.approx(10 / effect * few)


def test_few_large_groups_among_many_small_ones_count_as_few():
    # Kish: 3 of 10 and 10 of 1 vary as 40² / (300 + 10) = 5.2 groups of one size.
    values = np.repeat([1.0, 0, 1, 1, 0], [10, 10, 10, 5, 5])
    groups = np.array([0] * 10 + [1] * 10 + [2] * 10 + list(range(3, 13)))
    few = (stats.t.ppf(0.975, 39) / stats.t.ppf(0.975, 40**2 / 310 - 1)) ** 2
    effect = clustered.variance_of_mean(values, groups) / clustered.variance_of_mean(values, None)
    telling = 15**2 / (10**2 + 5)  # one group of ten mistakes, five of one
    effect = (telling * effect + 310 / 40) / (telling + 1)
    assert clustered.independent(values, groups) == pytest.approx(40 / effect * few)


def test_pictures_that_stand_alone_count_as_they_are():
    right = np.random.default_rng(0).random(60) < 0.8
    assert clustered.independent(right, None) == 60
    assert clustered.independent(right, np.arange(60)) == pytest.approx(60)
    assert clustered.share_interval(right) == wilson(int(right.sum()), 60)


def test_groups_that_are_alike_altogether_count_as_one_picture_each():
    # Ten groups of six, all right or all wrong: but for the correction of few groups, ten pictures.
    right = np.repeat([1.0, 1, 1, 0, 1, 0, 1, 1, 1, 1], 6)
    groups = np.repeat(np.arange(10), 6)
    few = (stats.t.ppf(0.975, 59) / stats.t.ppf(0.975, 9)) ** 2
    # The two sample variances have 59 and 9 in their denominators.
    effect = 6 * (59 / 60) / (9 / 10)
    effect = (2 * effect + 6) / 3  # two groups hold mistakes
    assert clustered.independent(right, groups) == pytest.approx(60 / effect * few)
    # Where none is wrong, nothing tells how alike they are: groups of 6 and 2 weigh as 8² / (36 + 4).
    assert clustered.independent(np.ones(8), np.repeat([0, 1], [6, 2])) == pytest.approx(1.6)
    assert clustered.independent(np.array([1.0, 0, 1]), np.zeros(3)) == 1.0


@pytest.mark.parametrize("alike", [0.05, 0.3, 0.9])
def test_the_effect_on_the_variance_is_kishs(alike):
    # So many groups that the worst, which counts as one more, does not.
    right, groups = drawn(4000, 8, 0.8, alike, np.random.default_rng(1))
    effect = len(right) / clustered.independent(right, groups)
    assert effect == pytest.approx(1 + 7 * alike, rel=0.06)


@pytest.mark.parametrize(("groups", "size"), [(30, 10), (80, 5)])
def test_intervals_of_grouped_pictures_cover_the_truth(groups, size):
    generator = np.random.default_rng(2)
    covered = naive = 0
    for _ in range(1000):
        right, ids = drawn(groups, size, 0.85, 0.4, generator)
        low, high = clustered.share_interval(right, ids)
        covered += low <= 0.85 <= high
        low, high = wilson(int(right.sum()), len(right))
        naive += low <= 0.85 <= high
    assert 0.93 <= covered / 1000 <= 0.97
    # What an interval for independent pictures would claim to do in 95 of 100 cases.
    assert naive / 1000 < 0.8


def test_the_interval_of_a_mean_of_grouped_pictures_covers_the_truth():
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        losses = np.repeat(generator.exponential(size=25), 8) + generator.exponential(size=200)
        low, high = clustered.mean_interval(losses, np.repeat(np.arange(25), 8))
        covered += low <= 2 <= high
    # Few and skewed: Student's t falls short of 95 a little.
    assert 0.91 <= covered / 1000 <= 0.97


def test_the_bootstraps_draw_whole_groups():
    right, ids = drawn(60, 10, 0.8, 0.4, np.random.default_rng(4))
    together = table(right, ids)
    alone = replace(together, groups=None)
    found, naive = compute_metrics(together), compute_metrics(alone)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss", "brier"):
        assert found[name]["value"] == naive[name]["value"]
        widths = [entry[name]["high"] - entry[name]["low"] for entry in (found, naive)]
        # The square root of 1 + 9 · 0.4 is 2.1.
        assert 1.6 < widths[0] / widths[1] < 2.8, name
    assert found["accuracy"]["groups"] == 60
    assert found["accuracy"]["independent"] < 200 < naive["accuracy"]["pictures"]
    assert "independent" not in naive["accuracy"]
    for rows, naive_rows in zip(per_class(together), per_class(alone), strict=True):
        for name in ("recall_interval", "precision_interval"):
            assert rows[name][0] < naive_rows[name][0]


def test_four_groups_a_class_have_no_bootstrap_interval():
    right, ids = drawn(8, 30, 0.8, 0.1, np.random.default_rng(5))
    found = compute_metrics(table(right, ids))
    assert found["macro_f1"]["low"] is found["macro_auc"]["low"] is found["balanced_accuracy"]["low"] is None
    assert found["accuracy"]["low"] is not None


def test_a_class_that_is_drawn_by_chance_only_breaks_nothing():
    # Every picture of "b" lies in a group whose first picture is an "a".
    groups = np.repeat(np.arange(12), 2)
    true = np.tile(["a", "b"], 12)
    stated = np.random.default_rng(6).dirichlet([1, 1], size=24)
    found = compute_metrics(Predictions(tuple(map(str, range(24))), true, ("a", "b"), stated, groups=groups))
    assert 0 <= found["macro_f1"]["low"] <= found["macro_f1"]["high"] <= 1


def test_the_sign_flip_test_is_mcnemars_where_pictures_stand_alone():
    gains = np.repeat([1.0, -1.0, 0.0], [12, 3, 85])
    assert sign_flip_test(gains) == pytest.approx(stats.binomtest(3, 15).pvalue, abs=1e-12)
    assert sign_flip_test(np.zeros(9)) == 1.0


def test_the_sign_flip_test_counts_every_assignment_of_signs():
    gains = np.array([3.0, 1, -2, 2, 0, 4])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1)
    expected = (np.abs(gains @ signs) >= abs(gains.sum())).mean()
    assert sign_flip_test(gains) == pytest.approx(expected, abs=1e-12)


def test_a_difference_on_one_plant_is_no_difference():
    # Model a is right on 12 more pictures, all of one plant of twenty.
    ids = np.repeat(np.arange(20), 12)
    a, b = np.ones(240, bool), np.ones(240, bool)
    b[:12] = False
    alone = compare(replace(table(a, ids), groups=None), replace(table(b, ids), groups=None))
    together = compare(table(a, ids), table(b, ids))
    assert alone.decided
    assert not together.decided
    assert together.p_value == 1.0
    assert together.difference == alone.difference == 0.05
    assert together.independent < 21
    assert together.bootstrap_low <= 0 < alone.bootstrap_low


def test_equally_good_models_on_grouped_pictures_are_rarely_told_apart():
    generator = np.random.default_rng(7)
    decided = naive = 0
    for _ in range(300):
        right, ids = zip(*(drawn(40, 10, 0.8, 0.5, generator) for _ in range(2)), strict=True)
        a, b = (table(hits, ids[0]) for hits in right)
        decided += compare(a, b).decided
        naive += compare(replace(a, groups=None), replace(b, groups=None)).decided
    assert decided / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert naive / 300 > 0.2


def stated(groups, size, generator):
    """A table whose truths' probabilities are alike within a group: a plant that is hard in every picture."""
    ease = np.repeat(generator.normal(0.5, 1.5, size=groups), size) + generator.normal(size=groups * size) / 2
    own = 1 / (1 + np.exp(-ease))
    ids = np.repeat(np.arange(groups), size)
    return Predictions(
        tuple(map(str, range(len(own)))),
        np.full(len(own), "a"),
        ("a", "b", "c"),
        np.stack([own, *[(1 - own) / 2] * 2], axis=1),
        groups=ids,
    )


def test_sets_from_grouped_pictures_keep_their_guarantee():
    generator = np.random.default_rng(8)
    kept = naive = 0
    for _ in range(200):
        validation = stated(80, 10, generator)
        unseen = stated(2000, 1, generator)
        for groups in (validation.groups, None):
            sets = PredictionSets.fit(replace(validation, groups=groups), 0.9)
            share = sets.members(unseen.probabilities)[:, 0].mean()
            kept += share >= 0.9 and groups is not None
            naive += share >= 0.9 and groups is None
    # With 95 % confidence, as guaranteed; the judging pictures themselves add a little.
    assert kept / 200 >= 0.91
    assert naive / 200 < 0.85


def test_the_warning_of_broken_sets_allows_for_groups():
    generator = np.random.default_rng(9)
    warned = 0
    for _ in range(200):
        validation, test = stated(80, 10, generator), stated(60, 10, generator)
        warned += compute_metrics(test, validation=validation)["set_coverage"]["p_value"] < 0.025
    assert warned / 200 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 200)


def test_few_groups_can_guarantee_no_sets():
    own = np.repeat(np.linspace(0.1, 0.9, 12), 20)
    few = replace(
        stated(12, 20, np.random.default_rng(10)), probabilities=np.stack([own, 1 - own, 0 * own], 1)
    )
    said = too_few(few, 0.95)
    assert (said["pictures"], said["needed"]) == (240, 19)
    assert said["independent"] <= 12
    with pytest.raises(DataError) as refused:
        PredictionSets.fit(few, 0.95)
    assert "there are 240, which carry as much information as " in str(refused.value)
