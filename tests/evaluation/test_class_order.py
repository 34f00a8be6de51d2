"""Confused classes stand beside each other, in the same order every time."""

import numpy as np
import pytest

from linnaea.evaluation.class_order import by_confusion, most_confused


def blocks(k, size, seed):
    """A matrix of groups of classes that are confused among each other alone; and each class's group."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(k // size), size))
    matrix = np.where(group[:, None] == group[None, :], rng.integers(1, 5, (k, k)), 0)
    np.fill_diagonal(matrix, 20)
    return matrix, group


@pytest.mark.parametrize(("k", "size"), [(6, 2), (20, 4), (100, 5), (240, 6)])
def test_groups_of_confused_classes_are_not_torn_apart(k, size):
    matrix, group = blocks(k, size, seed=k)
    order = by_confusion(matrix)
    assert sorted(order) == list(range(k))
    assert (np.diff(group[order]) != 0).sum() == k // size - 1
    assert np.array_equal(order, by_confusion(matrix.copy()))


def test_classes_that_nobody_confuses_keep_their_order():
    assert by_confusion(np.diag([5, 0, 7, 8])).tolist() == [0, 1, 2, 3]
    assert by_confusion(np.array([[3, 2], [1, 4]])).tolist() == [0, 1]
    matrix = np.diag([9] * 8)
    matrix[6, 7] = 3
    order = by_confusion(matrix).tolist()
    assert [c for c in order if c < 6] == [0, 1, 2, 3, 4, 5]


def test_the_most_confused_are_of_pairs_that_are_confused_more_than_once():
    matrix = np.diag([9] * 6)
    matrix[0, 5], matrix[3, 1], matrix[1, 3], matrix[2, 4] = 7, 2, 1, 1
    assert most_confused(matrix, 6).tolist() == [0, 1, 3, 5]
    assert most_confused(matrix, 3).tolist() == [0, 5]
    assert most_confused(np.eye(4, dtype=int), 3).tolist() == []
