"""Facts: what resembles no class scores above the threshold; honest pictures do as often as was asked."""

import json
from dataclasses import replace
from math import comb

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neighbors import NearestCentroid

from linnaea.errors import DataError
from linnaea.evaluation import conformal, ood
from linnaea.evaluation.ood import OutlierScore, fit_outlier_score


def cloud(number, classes=4, width=12, seed=0):
    """Features around one axis a class, and what a careful network says of them."""
    rng = np.random.default_rng(seed)
    targets = np.arange(number) % classes
    features = (8 * np.eye(width)[targets] + rng.normal(size=(number, width))).astype(np.float32)
    return features, targets, softmax(0.7 * features[:, :classes], axis=1)


@pytest.fixture
def fitted():
    features, targets, _ = cloud(200)
    held, _, probabilities = cloud(300, seed=1)
    return fit_outlier_score(features, targets, validation=(held, probabilities))


def test_a_score_by_hand():
    # Two classes along the axes, one picture each; one of validation on the first, one halfway between.
    X, y = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([0, 1])
    held = np.array([[5.0, 0.0], [1.0, 1.0]])
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5]])
    score = fit_outlier_score(X, y, validation=(held, probabilities))
    # Doubts 0.1 and 0.5, deviation 0.2; squared distances 0 and 2 - √2 (a chord of 45°),
    # deviation half of it.
    np.testing.assert_allclose(score.scores(held, probabilities), [0.5, 2.5 + 0.25 * 2], rtol=1e-6)
    assert score.threshold == pytest.approx(3.0)
    assert (score.pictures, score.split, score.seen) == (2, "validation", 0.0)


def test_distances_are_those_of_nearest_centroids():
    features, targets, _ = cloud(60)
    rows = ood.unit_length(features)
    means = np.stack([rows[targets == k].mean(axis=0) for k in range(4)])
    nearest = ood.squared_distances(rows, means).argmin(axis=1)
    np.testing.assert_array_equal(nearest, NearestCentroid().fit(rows, targets).predict(rows))


def test_noise_and_what_lies_between_classes_are_both_told_apart(fitted):
    honest, _, _ = cloud(100, seed=2)
    rng = np.random.default_rng(3)
    # Far away, of which the network is certain: only the distance can tell.
    far = np.abs(rng.normal(size=(100, 12)))
    far[:, :4] = 0
    assert fitted.is_ood(fitted.scores(far, np.tile([1.0, 0, 0, 0], (100, 1)))).all()
    # As near as any picture, between two classes: only the doubt can.
    assert fitted.is_ood(fitted.scores(honest, np.tile([0.5, 0.5, 0, 0], (100, 1)))).all()


def test_false_alarms_come_no_more_often_than_asked(fitted):
    assert fitted.seen <= 0.05
    honest, _, probabilities = cloud(20_000, seed=4)
    rate = fitted.is_ood(fitted.scores(honest, probabilities)).mean()
    # 300 pictures set the threshold: 5 % lie 1.6 deviations of sqrt(0.05 · 0.95 / 300) = 0.013 above its
    # usual rate.
    assert 0.01 < rate <= 0.05


@pytest.mark.parametrize("number", [59, 99, 500])
def test_the_threshold_keeps_its_rate_with_95_percent_confidence_and_none_lower_does(number):
    # Of scores in 0..1, the share of new ones above a threshold is 1 less than it is.
    draws = np.random.default_rng(number).random((4000, number))
    rates = np.array([1 - ood.conformal_threshold(scores, 0.05) for scores in draws])
    kept, spread = (rates <= 0.05).mean(), (0.05 * 0.95 / 4000) ** 0.5
    assert kept > 0.95 - 3 * spread
    # One score lower, and it is not kept often enough.
    above = int((draws[0] > ood.conformal_threshold(draws[0], 0.05)).sum())
    assert conformal.confidence(number - above - 1, number, 0.95) < 0.95


def test_in_groups_the_threshold_rests_on_as_many_as_are_independent():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    kept, alone = [], []
    for _ in range(400):
        scores = np.repeat(generator.random(60), 10)  # pictures of one group are alike altogether
        independent = conformal.independent(scores, 0.95, groups)
        assert independent <= 62
        kept.append(1 - ood.conformal_threshold(scores, 0.05, independent) <= 0.05)
        alone.append(1 - ood.conformal_threshold(scores, 0.05) <= 0.05)
    assert np.mean(kept) > 0.95 - 3 * (0.05 * 0.95 / 400) ** 0.5
    assert np.mean(alone) < 0.9


def test_with_fewer_pictures_than_a_rate_needs_the_largest_score_is_the_threshold():
    assert ood.conformal_threshold(np.array([3.0, 1.0, 2.0]), 0.05) == 3.0


def test_no_less_is_guaranteed_than_so_many_pictures_can_keep():
    # Four exchangeable scores: the new one is the largest one time in four.
    assert ood.guaranteed_rate(0.05, 3) == 0.25
    for asked in (0.1, 0.05, 0.01):
        enough = conformal.fewest(1 - asked)
        assert ood.guaranteed_rate(asked, enough) == asked < ood.guaranteed_rate(asked, enough - 1)


def test_a_guarantee_that_is_not_the_one_asked_for_says_why(fitted):
    assert (fitted.guaranteed, fitted.is_sure) == (0.05, True)
    features, targets, _ = cloud(200)
    held, _, probabilities = cloud(3, seed=1)
    few = fit_outlier_score(features, targets, validation=(held, probabilities))
    # The largest of three keeps 37 % of new ones below it with 95 % confidence: 0.368³ = 0.05.
    assert (few.guaranteed, few.is_sure) == (0.25, False)
    assert few.surely_guaranteed == pytest.approx(1 - 0.05 ** (1 / 3))


def test_a_threshold_that_held_on_average_is_told_as_one(fitted):
    # As it was chosen once: 285 of 300 below.
    before = replace(fitted, seen=0.05)
    assert (before.guaranteed, before.is_sure) == (0.05, False)
    assert before.surely_guaranteed == pytest.approx(0.0759, abs=5e-5)


def test_too_many_false_alarms_are_told_of():
    features, targets, _ = cloud(200)
    held, _, probabilities = cloud(11, seed=1)
    score = fit_outlier_score(features, targets, validation=(held, probabilities))
    # Each of 11 is as likely the largest of 12: P(31 or fewer of 53 below) = C(42, 11) / C(64, 11).
    chance = score.p_value(22, 53)
    assert chance == pytest.approx(comb(42, 11) / comb(64, 11), rel=1e-9)
    found = {"value": 22 / 53, "wanted": score.guaranteed, "p_value": chance, "split": "validation"}
    assert ood.too_many({"outliers": found})
    assert not ood.too_many({"outliers": found | {"p_value": score.p_value(9, 53)}})


def test_training_pictures_are_held_against_means_without_themselves():
    features, targets, _ = cloud(40)
    rows = ood.unit_length(features)
    means = np.stack([rows[targets == k].mean(axis=0) for k in range(4)])
    found = ood._leaving_itself_out(rows, targets, means, np.bincount(targets))
    for row in range(40):
        others = (targets == targets[row]) & (np.arange(40) != row)
        expected = ((rows[row] - rows[others].mean(axis=0)) ** 2).sum()
        assert found[row, targets[row]] == pytest.approx(expected)


def test_without_validation_training_sets_the_threshold_and_says_so():
    features, targets, _ = cloud(400)
    score = fit_outlier_score(features, targets, validation=None)
    assert (score.split, score.doubt, score.pictures) == ("training", "distances", 400)
    honest, _, probabilities = cloud(4000, seed=5)
    rate = score.is_ood(score.scores(honest, probabilities)).mean()
    assert 0.03 < rate < 0.08
    # The network's own certainty, right or wrong, is not asked.
    np.testing.assert_array_equal(
        score.scores(honest, probabilities), score.scores(honest, probabilities[::-1])
    )


def test_one_picture_a_class_is_enough_to_begin_with():
    score = fit_outlier_score(np.eye(3), np.arange(3), validation=None)
    assert np.isfinite(score.scores(np.ones((1, 3)), np.full((1, 3), 1 / 3))).all()


def written(score, folder):
    tensors, values = score.to_files()
    (folder / "outliers.safetensors").write_bytes(tensors)
    return json.loads(json.dumps(values))


def test_on_disk_and_back_it_scores_the_same(fitted, tmp_path):
    read = OutlierScore.read(tmp_path, written(fitted, tmp_path))
    features, _, probabilities = cloud(30, seed=6)
    np.testing.assert_array_equal(
        read.scores(features, probabilities), fitted.scores(features, probabilities)
    )
    assert read.threshold == fitted.threshold


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"threshold": None}, "threshold is None and must be a number, not below 0."),
        ({"threshold": float("nan")}, "threshold is nan and must be a number, not below 0."),
        ({"seen": True}, "seen is True and must be a number, not below 0."),
        ({"width": 0}, "width is 0 and must be a whole number above 0."),
        ({"doubt": "none"}, "doubt is 'none', neither network nor distances."),
        ({"doubt_scale": 0.0}, "a deviation is 0."),
        ({"format_version": 9}, "its format is 9, and this version reads 1."),
    ],
)
def test_damaged_values_are_named(change, sentence, fitted, tmp_path):
    values = written(fitted, tmp_path) | change
    with pytest.raises(DataError) as refused:
        OutlierScore.read(tmp_path, values)
    told = f"{tmp_path / 'outliers.json'} is damaged: {sentence} Restore the file, or train again."
    assert str(refused.value) == told


def test_a_missing_value_is_named(fitted, tmp_path):
    values = written(fitted, tmp_path)
    del values["spread"]
    with pytest.raises(DataError, match="is damaged: it has no spread"):
        OutlierScore.read(tmp_path, values)


def test_a_damaged_array_is_named(fitted, tmp_path):
    from safetensors.numpy import save

    values, path = written(fitted, tmp_path), tmp_path / "outliers.safetensors"
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"should hold means, float32 \(4, 13\); received float32 \(4, 12\)"):
        OutlierScore.read(tmp_path, values | {"width": 13})
    path.write_bytes(whole[:-4])
    with pytest.raises(DataError, match=r"outliers\.safetensors could not be read"):
        OutlierScore.read(tmp_path, values)
    path.write_bytes(save({"means": np.full((4, 12), np.nan, np.float32)}))
    with pytest.raises(DataError, match="holds values that are not finite"):
        OutlierScore.read(tmp_path, values)
    path.write_bytes(whole + bytes(10_000))
    with pytest.raises(DataError, match="is too large to read"):
        OutlierScore.read(tmp_path, values)


def test_another_networks_features_are_refused(fitted):
    with pytest.raises(DataError) as refused:
        fitted.scores(np.ones((2, 5)), np.ones((2, 4)))
    assert str(refused.value) == (
        "The outlier score was fitted to features of width 12 and 4 classes; received features (2, 5) and "
        "probabilities (2, 4). Use it with the network that it was fitted to."
    )


def test_features_that_are_no_numbers_are_refused():
    with pytest.raises(DataError) as refused:
        ood.unit_length(np.array([[1.0, np.nan], [1.0, 2.0]]))
    assert str(refused.value) == "The features of 1 of 2 pictures are not finite. Train the network again."
