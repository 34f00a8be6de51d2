"""The titles of charts state what their numbers say, in every case that a run can be."""

import numpy as np
import pytest

from linnaea.report.findings import of_baselines, of_confusions, of_curve, of_reliability

NBSP = "\u00a0"


@pytest.mark.parametrize(
    ("values", "last", "title"),
    [
        ([0.1, 0.5, 0.9, 0.8], 3, "Validation accuracy stopped improving after epoch 2"),
        # The first of equals: no later epoch was better.
        ([0.1, 0.9, 0.9, 0.9], 3, "Validation accuracy stopped improving after epoch 1"),
        ([0.1, 0.5, 0.8, 0.9], 3, "Validation accuracy was highest in the last epoch, 3"),
        ([0.1, 0.5], 1, "One epoch took validation accuracy from 10.0 % to 50.0 %"),
        ([0.5, 0.5], 1, "One epoch left validation accuracy at 50.0 %"),
        ([0.9, 0.5, 0.8], 2, "No epoch improved validation accuracy over that before training"),
        ([0.5, 0.5, 0.5], 2, "No epoch improved validation accuracy over that before training"),
    ],
)
def test_a_curve_of_accuracy(values, last, title):
    points = list(enumerate(values))
    assert of_curve("validation accuracy", points, last=last, share=True).replace(NBSP, " ") == title


@pytest.mark.parametrize(
    ("values", "last", "title"),
    [
        ([2.3, 0.5, 0.2, 0.4], 3, "Validation cross-entropy stopped improving after epoch 2"),
        ([2.3, 0.5, 0.2, 0.1], 3, "Validation cross-entropy was lowest in the last epoch, 3"),
        ([0.3, 0.5, 0.4], 2, "No epoch improved validation cross-entropy over that of the linear probe"),
        ([2.3, 0.5], 4, "Validation cross-entropy became infinite or no number after epoch 1"),
        ([2.3], 1, "Validation cross-entropy became infinite or no number after epoch 0"),
    ],
)
def test_a_curve_of_loss(values, last, title):
    points = list(enumerate(values))
    before = "the linear probe"
    assert of_curve("validation cross-entropy", points, last=last, share=False, before=before) == title


def test_a_curve_without_a_beginning_or_out_of_order():
    assert (
        of_curve("training loss", [(1, 0.25)], last=1, share=False) == "Training loss was 0.250 after epoch 1"
    )
    shuffled = [(3, 0.8), (1, 0.5), (2, 0.9), (0, 0.1)]
    assert of_curve("x", shuffled, last=3, share=True) == "X stopped improving after epoch 2"


@pytest.mark.parametrize(
    ("accuracy", "title"),
    [
        (0.9, "40.0 points above a linear classifier"),
        (0.26, "24.0 points below a linear classifier"),
        (0.51, "1.0 point above a linear classifier"),
        (0.5002, "As accurate as a linear classifier"),
    ],
)
def test_baselines(accuracy, title):
    assert of_baselines(accuracy, {"always the largest class": 0.2, "a linear classifier": 0.5}) == title


@pytest.mark.parametrize(
    ("mistakes", "title"),
    [
        ({}, "No class was mistaken for another"),
        ({(0, 1): 1}, "The only mistake"),
        ({(0, 1): 1, (1, 2): 1}, "No two of the 2 mistakes are of the same classes"),
        # Both ways count, and the class that is mistaken more often comes first.
        ({(0, 1): 2, (1, 0): 5, (1, 2): 6}, "b and a are confused most: 7 of 13 mistakes"),
        ({(0, 1): 3, (2, 1): 3}, "a and b are confused most, as are c and b: 3 times each"),
        ({(0, 1): 3, (2, 1): 3, (0, 2): 3}, "3 pairs of classes are confused most, 3 times each"),
    ],
)
def test_confusions(mistakes, title):
    matrix = np.diag([9, 9, 9])
    for cell, pictures in mistakes.items():
        matrix[cell] = pictures
    assert of_confusions(matrix, "abc") == title


@pytest.mark.parametrize(
    ("error", "by_chance", "rows", "title"),
    [
        (
            0.02,
            0.03,
            [(0.8, 0.78)],
            "Stated probabilities are off by 2.0 points, no more than chance explains",
        ),
        (0.1, 0.03, [(0.9, 0.8)], "Stated probabilities are 10.0 points too high on average"),
        (0.1, 0.03, [(0.8, 0.9)], "Stated probabilities are 10.0 points too low on average"),
        (
            0.1,
            0.03,
            [(0.4, 0.5), (0.9, 0.8)],
            "Stated probabilities are off by 10.0 points, in both directions",
        ),
    ],
)
def test_reliability(error, by_chance, rows, title):
    class Facts:
        metrics = {"ece": {"value": error, "by_chance_high": by_chance}}  # noqa: RUF012

        @staticmethod
        def rows(name, key):
            return [{"confidence": stated, "accuracy": right, "pictures": 50} for stated, right in rows]

    assert of_reliability(Facts) == title


def test_a_difference_that_chance_explains_is_said_to_be_such():
    known = {"always the largest class": 0.4, "a linear classifier": 0.3}
    assert of_baselines(0.5, known, {"always the largest class"}) == (
        "10.0 points above always the largest class, perhaps by chance"
    )
    assert of_baselines(0.5, known, {"a linear classifier"}) == "10.0 points above always the largest class"
