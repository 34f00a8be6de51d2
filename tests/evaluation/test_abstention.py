"""Facts: a hand-worked table, and the guarantee of a threshold kept on pictures it has not seen."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from linnaea.evaluation.abstention import next_threshold, risk_coverage, threshold_for, why_none
from linnaea.evaluation.predictions import Predictions


def binary(confidence, right):
    confidence = np.asarray(confidence, dtype=float)
    paths = tuple(f"{row}.png" for row in range(len(confidence)))
    true = np.where(right, "a", "b")
    return Predictions(paths, true, ("a", "b"), np.stack([confidence, 1 - confidence], axis=1))


def test_a_hand_worked_curve_from_all_pictures_to_the_surest():
    # Equal confidences are answered together.
    points = risk_coverage(binary([0.9, 0.8, 0.8, 0.6], [True, True, False, False]))
    assert [(p["threshold"], p["coverage"], p["accuracy"]) for p in points] == [
        (0.6, 1.0, 0.5),
        (0.8, 0.75, pytest.approx(2 / 3)),
        (0.9, 0.25, 1.0),
    ]
    assert all(p["low"] <= p["accuracy"] <= p["high"] for p in points)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    confidence = np.linspace(0.5, 1, 5000)
    points = risk_coverage(binary(confidence, confidence > 0.7), most=50)
    assert len(points) == 50
    assert (points[0]["coverage"], points[-1]["pictures"]) == (1.0, 1)


def test_a_sure_threshold_needs_enough_right_answers_in_a_row():
    # With n of n right, Clopper and Pearson's lower bound is doubt^(1/n); each of five starts has a fifth of
    # 5 %: 0.01^(1/90) is 95.01 %, and for 89 pictures 94.96 %.
    right, confidence = np.ones(90, dtype=bool), np.linspace(0.6, 0.99, 90)
    chosen = threshold_for(binary(confidence, right), 0.95)
    assert chosen == {"wanted": 0.95, "threshold": 0.6, "answered": 1.0, "accuracy": 1.0}
    assert threshold_for(binary(confidence[:89], right[:89]), 0.95) is None
    # As many in groups of two that are alike altogether: 50 and not 100 right answers.
    pairs = binary(np.repeat(np.linspace(0.6, 0.99, 50), 2), np.ones(100, bool))
    assert threshold_for(pairs, 0.95) is not None
    assert threshold_for(replace(pairs, groups=np.arange(100) // 2), 0.95) is None


def test_the_lower_bound_is_scipys():
    bound = binomtest(190, 200).proportion_ci(0.98, method="exact").low  # one-sided 99 %
    table = binary(np.full(200, 0.9), np.repeat([True, False], [190, 10]))  # one threshold alone
    assert threshold_for(table, bound - 1e-9)["accuracy"] == 0.95
    assert threshold_for(table, bound + 1e-9) is None


def test_a_sure_mistake_does_not_end_the_search():
    # The surest fifth begins with 30 mistakes, which break the first row; the one from two fifths on goes to
    # the end.
    right = np.ones(1000, dtype=bool)
    right[-30:] = False
    chosen = threshold_for(binary(np.linspace(0.5, 0.99, 1000), right), 0.9)
    assert chosen["answered"] == 1.0


def test_the_next_step_above_what_is_reached_unasked():
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 2000)
    chosen = next_threshold(binary(confidence, generator.random(2000) < confidence))
    assert chosen["wanted"] == 0.8  # of an accuracy of 0.75
    # Honest confidences uniform above t have the accuracy (1 + t) / 2: 0.6 and, to be sure, a little more.
    assert 0.6 < chosen["threshold"] < 0.72
    assert next_threshold(binary(np.full(9, 0.9), np.ones(9, dtype=bool))) is None


def test_the_wanted_accuracy_is_reached_on_other_pictures_for_95_of_100_validation_parts():
    generator = np.random.default_rng(1)
    found = []
    for _ in range(200):
        confidence = generator.uniform(0.5, 1, 2000)
        chosen = threshold_for(binary(confidence, generator.random(2000) < confidence), 0.9)
        # Exactly: the accuracy above a threshold t is (1 + t) / 2.
        found += [] if chosen is None else [(1 + chosen["threshold"]) / 2]
    reached = np.array(found)
    assert (reached >= 0.9).mean() >= 0.95
    # And not by answering next to nothing.
    assert len(reached) > 150
    assert reached.mean() < 0.93


@pytest.mark.parametrize(
    ("n", "sure", "rest"), [(300, 0.949, 0.949), (300, 0.97, 0.88), (1500, 0.9795, 0.93)]
)
def test_a_level_that_validation_chooses_breaks_its_guarantee_less_than_once_in_twenty(n, sure, rest):
    # Accuracies at the edge between two levels, so that validation chooses now one and now the other; the
    # surer half of the pictures is right with one chance, the rest with another, just below a level.
    generator = np.random.default_rng(2)
    broken = 0
    for _ in range(400):
        confidence = generator.uniform(0.5, 1, n)
        chance = np.where(confidence > 0.75, sure, rest)
        chosen = next_threshold(binary(confidence, generator.random(n) < chance))
        if chosen is not None:
            share_sure = 0.25 / (1 - min(chosen["threshold"], 0.75))
            reached = share_sure * sure + (1 - share_sure) * rest
            broken += reached < chosen["wanted"]
    assert broken / 400 <= 0.05


def test_why_no_threshold_is_chosen():
    all_right = binary(np.full(9, 0.9), np.ones(9, dtype=bool))
    # Nine out of nine happen to whoever is right 71.7 % of the time once in twenty: 0.717⁹ = 0.05.
    guaranteed = pytest.approx(0.05 ** (1 / 9))
    assert why_none(all_right) == {"code": "too_good", "right": 9, "pictures": 9, "guaranteed": guaranteed}
    half_right = binary([0.9, 0.9], [True, False])
    assert next_threshold(half_right) is None
    assert why_none(half_right) == {"code": "too_hard", "wanted": 0.8}
