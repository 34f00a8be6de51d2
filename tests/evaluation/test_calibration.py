"""Facts: scikit-learn's temperature, hand-worked calibration errors, what a temperature leaves alone."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from linnaea.evaluation.calibration import (
    error_by_chance,
    expected_calibration_error,
    fit_temperature,
    reliability,
    tempered,
    untempered,
)
from linnaea.evaluation.metrics import compute_metrics, explained, mean_log_loss
from linnaea.evaluation.predictions import Predictions


def table(probabilities, true, classes=None):
    classes = classes or tuple(f"c{column}" for column in range(probabilities.shape[1]))
    paths = tuple(f"{row}.png" for row in range(len(true)))
    return Predictions(paths, np.asarray(classes)[true], classes, np.asarray(probabilities, dtype=float))


def overconfident(n=2000, k=5, factor=3.0, seed=0):
    """Truths drawn from softmax(logits); the table states softmax(factor · logits)."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (n, k))
    honest = softmax(logits, axis=1)
    true = (honest.cumsum(axis=1) > generator.random((n, 1))).argmax(axis=1)
    return table(softmax(factor * logits, axis=1), true), table(honest, true)


def test_the_temperature_is_the_factor_that_was_put_in():
    stated, honest = overconfident()
    temperature = fit_temperature(stated)
    assert temperature == pytest.approx(3, rel=0.06)
    mended = untempered(stated, 1 / temperature)
    assert mean_log_loss(mended) <= mean_log_loss(honest) < mean_log_loss(stated)
    assert expected_calibration_error(mended) < 0.03 < expected_calibration_error(stated)


def test_the_temperature_is_scikit_learns():
    generator = np.random.default_rng(1)
    X = generator.normal(size=(6000, 3))
    y = (X + generator.normal(size=(6000, 3))).argmax(axis=1)
    model = LogisticRegression(C=1e3).fit(X[:60], y[:60])
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(X[60:], y[60:])
    ours = fit_temperature(table(model.predict_proba(X[60:]), y[60:]))
    expected = 1 / theirs.calibrated_classifiers_[0].calibrators[0].beta_
    # Of thousands of pictures the prior weighs next to nothing.
    assert ours == pytest.approx(expected, rel=2e-3)


def test_a_temperature_is_undone_by_its_inverse_and_changes_no_answer():
    stated, _ = overconfident(n=200)
    there = tempered(stated.probabilities, 0.4)
    assert (there.argmax(axis=1) == stated.probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(tempered(there, 1 / 0.4), stated.probabilities, rtol=1e-9, atol=1e-12)
    # By hand: the square roots of 0.81 and 0.01 against 0.18's, shared out.
    np.testing.assert_allclose(
        tempered(np.array([[0.8, 0.2, 0.0]]), 2.0)[0], np.array([2, 1, 0]) / 3, atol=1e-12
    )


def test_the_temperature_is_that_worked_out_by_hand():
    # Four pictures, each right with log-odds g: 4 · x / (1 + exp(x)) = -ln(T) / 0.5², where x = g / T, is
    # where the derivative of loss and prior vanishes. For x = 2 the left side is 0.9536.
    log_temperature = -0.25 * 0.95362
    odds = np.exp(2 * np.exp(log_temperature))
    right = np.tile([[odds / (1 + odds), 1 / (1 + odds)]], (4, 1))
    assert fit_temperature(table(right, np.zeros(4, dtype=int))) == pytest.approx(0.78788, abs=1e-4)


def test_27_pictures_without_a_mistake_are_no_reason_for_doubt():
    # What a probe says of pictures that it knows well: each is right, 97 to 99.9 %.
    stated = np.linspace(0.97, 0.999, 27)
    sure = table(np.stack([stated, 1 - stated], 1), np.zeros(27, dtype=int))
    temperature = fit_temperature(sure)
    assert 0.7 < temperature < 1
    assert mean_log_loss(untempered(sure, 1 / temperature)) < mean_log_loss(sure)


@pytest.mark.parametrize("pictures", [20, 200, 2000])
def test_a_validation_set_without_mistakes_makes_nobody_certain(pictures):
    confident = np.tile([[0.9, 0.06, 0.04]], (pictures, 1))
    temperature = fit_temperature(table(confident, np.zeros(pictures, dtype=int)))
    # Laplace's rule of succession for n of n.
    assert 0.9 < tempered(confident, temperature)[0, 0] < 1 - 1 / (3 * pictures)


def test_probabilities_of_zero_and_one_do_not_stop_the_fit():
    certain = np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1, 2, 0] * 2]
    temperature = fit_temperature(table(certain, np.array([0, 1, 2, 0, 1, 2, 1, 2, 0, 1] * 2)))
    assert 1 < temperature <= 20


@pytest.mark.parametrize("pictures", [5, 20, 60])
def test_few_pictures_make_probabilities_no_worse_on_average(pictures):
    before, after = [], []
    for factor in (0.5, 1.0, 2.0):  # too timid, honest, too bold
        everyone, _ = overconfident(factor=factor)
        for seed in range(30):
            temperature = fit_temperature(overconfident(n=pictures, factor=factor, seed=1 + seed)[0])
            before.append(mean_log_loss(everyone))
            after.append(mean_log_loss(untempered(everyone, 1 / temperature)))
    assert np.mean(after) < np.mean(before)


def test_a_hand_worked_calibration_error():
    # Bins of a fifteenth: 0.9 and 0.92 share the fourteenth, 1.0 is in the last, 0.6 on a closed upper edge.
    p = np.array([[0.9, 0.1], [0.92, 0.08], [1.0, 0.0], [0.6, 0.4]])
    predictions = table(p, np.array([0, 1, 0, 1]))
    points = reliability(predictions)
    assert [point["pictures"] for point in points] == [1, 2, 1]
    assert [point["accuracy"] for point in points] == [0, 0.5, 1]
    assert [point["to"] for point in points] == pytest.approx([9 / 15, 14 / 15, 1])
    assert all(point["from"] < point["confidence"] <= point["to"] + 1e-12 for point in points)
    # (1 · 0.6 + 2 · |0.5 - 0.91| + 0) / 4
    assert expected_calibration_error(predictions) == pytest.approx((0.6 + 0.82) / 4)
    # Two bins of equal pictures: {0.6, 0.9} with one right, {0.92, 1.0} with one right.
    expected = (2 * abs(0.5 - 0.75) + 2 * abs(0.5 - 0.96)) / 4
    assert expected_calibration_error(predictions, bins=2, adaptive=True) == pytest.approx(expected)
    halves = reliability(predictions, bins=2, adaptive=True)
    assert [(point["from"], point["to"]) for point in halves] == [(0.6, 0.9), (0.92, 1.0)]


def test_an_honest_model_shows_the_error_that_chance_explains():
    _, honest = overconfident(n=500)
    mean, high = error_by_chance(honest)
    errors = [expected_calibration_error(overconfident(n=500, seed=seed)[1]) for seed in range(60)]
    assert mean == pytest.approx(np.mean(errors), rel=0.15)
    assert np.mean(np.array(errors) <= high) >= 0.85


def test_metrics_have_the_numbers_of_before_and_after():
    stated, _ = overconfident()
    temperature = fit_temperature(stated)
    mended = untempered(stated, 1 / temperature)
    metrics = explained(compute_metrics(mended, temperature=temperature), mended, temperature=temperature)
    assert metrics["ece_before"]["value"] == pytest.approx(expected_calibration_error(stated), abs=1e-9)
    assert metrics["ece"]["value"] < metrics["ece"]["by_chance_high"]
    assert metrics["log_loss"]["value"] < metrics["log_loss"]["before"]
    assert metrics["accuracy"]["by_confidence"] == reliability(mended)
    assert len(metrics["accuracy"]["by_confidence_before"]) == len(reliability(stated))
