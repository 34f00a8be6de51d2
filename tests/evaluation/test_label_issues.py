"""Swapped labels stand first, a clean table has none, and tables of folds join without loss."""

from dataclasses import replace

import numpy as np
import pytest

from linnaea.errors import DataError
from linnaea.evaluation import label_issues
from linnaea.evaluation.label_issues import find_issues
from linnaea.evaluation.predictions import Predictions, joined

CLASSES = ("cat", "dog", "owl")


def table(labels, probabilities, first=0, classes=CLASSES):
    paths = tuple(f"{first + row:03}.png" for row in range(len(labels)))
    return Predictions(paths, np.array(labels), classes, np.asarray(probabilities, dtype=np.float64))


def judged(n, swapped, seed=0):
    """n pictures that a good network judges; those in swapped carry the next class's name."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    probabilities = rng.dirichlet([1, 1, 1], n) * 0.2
    probabilities[np.arange(n), truth] += 0.8
    given = truth.copy()
    given[swapped] = (given[swapped] + 1) % 3
    return table(np.array(CLASSES)[given], probabilities), np.array(CLASSES)[truth]


def test_swapped_labels_are_found_with_the_right_suggestion():
    swapped = [4, 17, 30, 41, 58]
    predictions, truth = judged(90, swapped)
    found = find_issues(predictions)
    assert {issue.path for issue in found} == {f"{row:03}.png" for row in swapped}
    for issue in found:
        row = int(issue.path[:3])
        assert (issue.given, issue.suggested) == (predictions.true[row], truth[row])
        assert issue.confidence == predictions.probabilities[row, predictions.true_index[row]]


def test_labels_that_every_network_confirms_are_not_doubted():
    assert find_issues(judged(90, [])[0]) == []


def test_the_table_comes_back_from_the_disk(tmp_path):
    found = find_issues(judged(60, [3, 9])[0])
    (tmp_path / "label_issues.csv").write_text(label_issues.to_csv(found))
    again = label_issues.read_csv(tmp_path / "label_issues.csv")
    assert [(s.path, s.given, s.suggested) for s in again] == [(s.path, s.given, s.suggested) for s in found]
    assert [s.confidence for s in again] == pytest.approx([s.confidence for s in found], rel=1e-5)


def test_folds_join_by_path_and_by_the_name_of_the_class():
    first = table(["cat"], [[0.7, 0.2, 0.1]], first=5)
    other = table(["owl"], [[0.6, 0.1, 0.3]], first=2, classes=("owl", "dog", "cat"))
    both = joined([first, other])
    assert both.paths == ("002.png", "005.png")
    assert both.true.tolist() == ["owl", "cat"]
    assert both.probabilities.tolist() == [[0.3, 0.1, 0.6], [0.7, 0.2, 0.1]]


def test_groups_of_two_folds_stay_apart_where_they_are_joined():
    first = replace(table(["cat"] * 3, [[0.7, 0.2, 0.1]] * 3, first=3), groups=np.array([0, 1, 1]))
    other = replace(table(["owl"] * 2, [[0.1, 0.2, 0.7]] * 2, first=1), groups=np.array([0, 0]))
    assert joined([first, other]).groups.tolist() == [2, 2, 0, 1, 1]
    alone = replace(other, groups=None)
    assert joined([first, alone]).groups.tolist() == [2, 3, 0, 1, 1]
    assert joined([alone]).groups is None


def test_a_picture_judged_twice_and_an_empty_table_are_refused():
    one = table(["cat"], [[0.7, 0.2, 0.1]])
    with pytest.raises(DataError, match="Two folds evaluate the same picture"):
        joined([one, one])
    with pytest.raises(DataError) as refused:
        find_issues(table(np.array([], dtype=str), np.empty((0, 3))))
    assert str(refused.value) == "The table holds no pictures. Label issues are found from folds: --folds 5."


def test_another_table_is_not_taken_for_label_issues(tmp_path):
    (tmp_path / "label_issues.csv").write_text("path,label\na.png,cat\n")
    with pytest.raises(DataError, match="does not have the columns path, given, suggested, confidence"):
        label_issues.read_csv(tmp_path / "label_issues.csv")
