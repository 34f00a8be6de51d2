"""When fine-tuning ends before its last epoch, because the probe cannot be beaten any more."""

import numpy as np
import pytest

from linnaea.classifiers.contract import EpochRecord
from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.trainer import cannot_pay


def history(*accuracies):
    return [EpochRecord(epoch, 1.0, 1e-3, 0.5, 0.9, 0.5, value) for epoch, value in enumerate(accuracies)]


@pytest.mark.parametrize(
    ("accuracies", "epochs", "over"),
    [
        ([1.0], 25, True),  # nothing is better than no mistake
        ([0.99], 25, False),
        ([None], 25, False),  # no validation set
        # Measured with EfficientNet-Lite0 on Flowers-102: it falls behind at first, and wins.
        ([0.909, 0.855, 0.897, 0.915, 0.928, 0.931, 0.928], 12, False),
        ([0.909, 0.855], 2, False),  # three epochs at least
        ([0.95, 0.80, 0.85, 0.90, 0.93, 0.93, 0.94], 12, True),  # one point behind after half of them
        ([0.95, 0.80, 0.85, 0.90, 0.93, 0.93], 12, False),  # before that
        ([0.95, 0.80, 0.85, 0.90, 0.93, 0.93, 0.945], 12, False),
    ],
)
def test_fine_tuning_ends_where_it_can_hardly_beat_the_probe(accuracies, epochs, over):
    assert cannot_pay(history(*accuracies), epochs) is over


def pictures():
    generator = np.random.default_rng(0)
    X = generator.integers(0, 100, (24, 32, 32, 3), dtype=np.uint8)
    X[::2] += 120
    return X, np.array(["bright", "dark"] * 12)


def test_a_probe_without_a_mistake_is_kept_at_once_unless_patience_asks_for_more():
    X, y = pictures()
    settings = {"size": 32, "views": 1, "epochs": 2, "precision": "float32", "random_state": 0}
    quick = FineTuneClassifier(**settings).fit(X, y, validation_data=(X, y))
    assert quick.history_[0].val_accuracy == 1
    assert (len(quick.history_), quick.kept_) == (1, "probe")
    whole = FineTuneClassifier(**settings, patience=0).fit(X, y, validation_data=(X, y))
    assert (len(whole.history_), whole.kept_) == (3, "probe")
    np.testing.assert_array_equal(quick.predict_proba(X), whole.predict_proba(X))
    # Without a validation set there is nothing that it has shown.
    assert len(FineTuneClassifier(**settings).fit(X, y).history_) == 3
