"""A training that was broken off and resumed ends bit for bit where one without a break ends."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from linnaea import MLPClassifier
from linnaea.errors import DataError

SETTINGS = {
    "sgd": {"solver": "sgd", "learning_rate": 0.1},
    "nesterov, cosine": {
        "solver": "nesterov",
        "learning_rate": 0.05,
        "schedule": "cosine",
        "warmup_epochs": 1,
    },
    "adam": {},
    "dropout, max-norm": {"dropout": 0.5, "input_dropout": 0.2, "max_norm": 2.0},
    "distortions": {"augment": "digits"},
    "early stopping": {"patience": 2, "learning_rate": 0.03},
    "float64, weights": {"dtype": "float64", "class_weight": "balanced"},
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:500] / 16).astype(np.float32), y[:500]


def broken_at(epoch, settings, X, y):
    """The training state after this epoch, as it comes back from a disk."""
    states = {}
    MLPClassifier((16,), **settings).fit(
        X, y, on_epoch=lambda record, network: states.update({record.epoch: network.training_state()})
    )
    arrays, values = states[epoch]
    return arrays, json.loads(json.dumps(values))


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("epoch", [0, 2])
def test_resume_is_exact(digits, name, epoch):
    settings = {"epochs": 4, "random_state": 5} | SETTINGS[name]
    whole = MLPClassifier((16,), **settings).fit(*digits)
    resumed = MLPClassifier((16,), **settings)
    resumed.load_training_state(*broken_at(epoch, settings, *digits))
    resumed.fit(*digits)
    assert np.array_equal(whole.parameters_, resumed.parameters_)
    assert whole.chosen_epoch_ == resumed.chosen_epoch_
    plain = [[{**r.as_dict(), "seconds": 0} for r in network.history_] for network in (whole, resumed)]
    assert plain[0] == plain[1]


def test_resume_keeps_the_seed_that_was_drawn(digits):
    first = MLPClassifier((16,), epochs=1).fit(*digits)
    resumed = MLPClassifier((16,), epochs=1)
    resumed.load_training_state(*first.training_state())
    assert resumed.fit(*digits).seed_ == first.seed_


def test_the_state_is_used_once(digits):
    settings = {"epochs": 1, "random_state": 0}
    network = MLPClassifier((16,), **settings)
    network.load_training_state(*broken_at(1, settings, *digits))
    network.fit(*digits)
    assert len(network.fit(*digits).history_) == 2
    assert np.array_equal(network.parameters_, MLPClassifier((16,), **settings).fit(*digits).parameters_)


def test_a_state_of_another_network_is_refused(digits):
    network = MLPClassifier((17,), epochs=1)
    network.load_training_state(*broken_at(0, {"epochs": 0}, *digits))
    with pytest.raises(DataError) as caught:
        network.fit(*digits)
    assert str(caught.value) == (
        "The training state holds 1,210 float32 numbers as 'parameters'; "
        "this network has 1,285 float32 parameters. "
        "Go on with the settings and the classes the training began with."
    )


def test_a_state_with_a_piece_missing_is_refused(digits):
    arrays, values = broken_at(1, {"epochs": 1}, *digits)
    del values["epoch"]
    network = MLPClassifier((16,), epochs=1)
    network.load_training_state(arrays, values)
    with pytest.raises(DataError) as caught:
        network.fit(*digits)
    assert str(caught.value) == (
        "The training state is incomplete (KeyError: 'epoch'). Start the training again without it."
    )
