"""What many pictures and many classes may take of memory, and that blocks change no number."""

import tracemalloc

import numpy as np
import pytest

from linnaea.evaluation import clustered
from linnaea.evaluation.macro_average import class_means
from linnaea.evaluation.metrics import compute_metrics
from linnaea.evaluation.predictions import Predictions
from linnaea.evaluation.ranking import macro_auc

MEGABYTE = 1_000_000


def table(n, k, groups=None):
    generator = np.random.default_rng(0)
    true = generator.integers(0, k, n)
    probabilities = generator.random((n, k)) ** 8
    probabilities[np.arange(n), true] += 0.5
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    classes = tuple(f"class {number:04}" for number in range(k))
    ids = None if groups is None else generator.integers(0, groups, n)
    paths = tuple(f"{number}.png" for number in range(n))
    return Predictions(paths, np.array(classes)[true], classes, probabilities, groups=ids)


def peak(action) -> float:
    """Megabytes that an action takes beyond what is there already."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1] / MEGABYTE
    finally:
        tracemalloc.stop()


def test_class_means_of_100000_pictures_in_groups_stay_below_200_megabytes():
    predictions = table(100_000, 2, groups=50_000)
    # All weights at once would be 400 MB, and were held twice.
    assert peak(lambda: class_means(predictions, resamples=1000, seed=0)) < 200


def test_metrics_of_100000_pictures_and_of_1000_classes_stay_below_150_megabytes(monkeypatch):
    # A resample more takes time and no memory.
    monkeypatch.setattr("linnaea.evaluation.metrics.RESAMPLES", 20)
    for n, k in ((100_000, 10), (1_000, 1_000)):
        predictions = table(n, k)
        assert peak(lambda: compute_metrics(predictions)) < 150  # noqa: B023


def test_a_table_of_1000_classes_is_read_in_a_few_times_its_numbers(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(table(1_000, 1_000).to_csv())
    # Eight megabytes of numbers; their text, all in pieces, would take ninety.
    assert peak(lambda: Predictions.read_csv(path)) < 60


@pytest.mark.parametrize("groups", [None, 300])
def test_blocks_change_no_number(groups, monkeypatch):
    predictions = table(1_000, 4, groups)

    def numbers():
        arguments = predictions.true_index, predictions.probabilities
        auc = macro_auc(*arguments, groups=predictions.groups, resamples=300, seed=3)
        return class_means(predictions, resamples=300, seed=3), auc

    whole = numbers()
    monkeypatch.setattr(clustered, "CELLS", 7_000)
    monkeypatch.setattr(clustered, "_DRAWS", 1_000)
    assert numbers() == whole
