"""Every classifier of vectors goes on from any step of any epoch as if it had never stopped."""

import json

import numpy as np
import pytest

from linnaea.classifiers.keras.classifier import KerasMLPClassifier
from linnaea.classifiers.perceptron.classifier import MLPClassifier

ROWS, CLASSES = 90, 3
rng = np.random.default_rng(0)
X = rng.random((ROWS, 12), dtype=np.float32)
y = np.array([f"class {number}" for number in rng.integers(CLASSES, size=ROWS)])
VALIDATION = X[:30], y[:30]
SETTINGS = {"epochs": 3, "batch_size": 16, "dropout": 0.2, "patience": 3, "random_state": 0}


class Stop(Exception):
    pass


def train(classifier, stop_after=None):
    """Fit; stop after so many steps and epochs' ends, and return the training's state there."""
    left, held = stop_after, None

    def count(*_):
        nonlocal left, held
        if left is not None:
            left -= 1
            if left == 0:
                held = classifier.training_state()
                raise Stop

    try:
        classifier.fit(X, y, validation_data=VALIDATION, on_epoch=count, on_step=count)
    except Stop:
        return held
    return None


def story(classifier):
    return [{**record.as_dict(), "seconds": 0} for record in classifier.history_]


# Events: the end of epoch 0, then 6 steps and an epoch's end, again and again. 7 is the last step of an epoch
# that is not closed yet.
@pytest.mark.parametrize("stop_after", [1, 2, 5, 7, 8, 12, 21])
@pytest.mark.parametrize(
    "kind",
    [
        (MLPClassifier, {"solver": "adam", "schedule": "cosine"}),
        (MLPClassifier, {"solver": "nesterov", "input_dropout": 0.1, "class_weight": "balanced"}),
        (KerasMLPClassifier, {"solver": "adam", "schedule": "cosine", "warmup_epochs": 1}),
    ],
    ids=["adam", "nesterov", "keras"],
)
def test_it_goes_on_from_any_step_bit_for_bit(kind, stop_after):
    model, settings = kind
    whole = model((8,), **SETTINGS, **settings)
    train(whole)
    arrays, values = train(model((8,), **SETTINGS, **settings), stop_after)
    resumed = model((8,), **SETTINGS, **settings)
    resumed.load_training_state(arrays, json.loads(json.dumps(values)))
    train(resumed)
    assert story(resumed) == story(whole)
    assert resumed.chosen_epoch_ == whole.chosen_epoch_
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


def test_steps_are_told_in_rows():
    told = []
    MLPClassifier((4,), epochs=1, batch_size=40).fit(
        X, y, on_step=lambda stage, done, total, seconds: told.append((stage, done, total))
    )
    assert told == [("", 40, 90), ("", 80, 90), ("", 90, 90)]


def test_a_rate_that_was_halved_is_the_one_that_keras_goes_on_with():
    arrays, values = train(KerasMLPClassifier((8,), **SETTINGS, learning_rate=0.1), 8)
    slower = KerasMLPClassifier((8,), **SETTINGS, learning_rate=0.05)
    slower.load_training_state(arrays, values)
    train(slower)
    assert float(slower.network_.optimizer.learning_rate) == pytest.approx(0.05)
