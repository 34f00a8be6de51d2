"""Facts: a hand-worked table, and the promise of a threshold kept on pictures it has not seen."""

import numpy as np
import pytest

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


def test_a_threshold_allows_one_mistake_more_than_it_saw():
    # 19 right in a row: (0 + 1) / (19 + 1) is 5 %. With 18 the promise of 95 % cannot be made.
    right = np.ones(19, dtype=bool)
    chosen = threshold_for(binary(np.linspace(0.6, 0.99, 19), right), 0.95)
    assert chosen == {"wanted": 0.95, "threshold": 0.6, "answered": 1.0, "accuracy": 1.0}
    assert threshold_for(binary(np.linspace(0.6, 0.99, 18), right[:18]), 0.95) is None


def test_the_next_step_above_what_is_reached_unasked():
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 2000)
    chosen = next_threshold(binary(confidence, generator.random(2000) < confidence))
    assert chosen["wanted"] == 0.8  # of an accuracy of 0.75
    # Honest confidences uniform above t have the accuracy (1 + t) / 2.
    assert chosen["threshold"] == pytest.approx(0.6, abs=0.06)
    assert next_threshold(binary(np.full(9, 0.9), np.ones(9, dtype=bool))) is None


def test_the_wanted_accuracy_is_reached_on_other_pictures_half_of_the_time_or_more():
    generator = np.random.default_rng(1)
    kept = []
    for _ in range(200):
        confidence = generator.uniform(0.5, 1, 400)
        chosen = threshold_for(binary(confidence, generator.random(400) < confidence), 0.9)
        # Exactly: the accuracy above a threshold t is (1 + t) / 2.
        kept.append(None if chosen is None else (1 + chosen["threshold"]) / 2)
    reached = np.array([value for value in kept if value is not None])
    assert len(reached) > 190
    assert reached.mean() > 0.895


def test_why_no_threshold_is_chosen():
    all_right = binary(np.full(9, 0.9), np.ones(9, dtype=bool))
    assert why_none(all_right) == "9 of 9 validation pictures are named right without one"
    half_right = binary([0.9, 0.9], [True, False])
    assert next_threshold(half_right) is None
    assert why_none(half_right) == "validation is too small, or too hard, to promise 80 % right answers"
