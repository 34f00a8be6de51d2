# ruff: noqa: E501 (whole messages, one a line)
"""Every refusal says what was wrong and what to do, in whole."""

import numpy as np
import pytest

from linnaea import MLPClassifier
from linnaea.errors import DataError, SettingError

X = np.random.default_rng(0).random((20, 3), dtype=np.float32)
y = np.array(["a", "b"] * 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes must be integers of 1 or more; received (5, 0). Give the units of each hidden layer, (500, 500) for two layers."),
        ({"hidden_layer_sizes": -3}, "hidden_layer_sizes must be integers of 1 or more; received -3. Give the units of each hidden layer, (500, 500) for two layers."),
        ({"hidden_layer_sizes": "50"}, "hidden_layer_sizes must be integers of 1 or more; received '50'. Give the units of each hidden layer, (500, 500) for two layers."),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes must be integers of 1 or more; received 2.5. Give the units of each hidden layer, (500, 500) for two layers."),
        ({"activation": "rleu"}, "activation 'rleu' is not known. Did you mean 'relu'?"),
        ({"activation": None}, "activation None is not known. Known are: relu, tanh, sigmoid."),
        ({"loss": "hinge"}, "loss 'hinge' is not known. Known are: cross_entropy, squared_error."),
        ({"solver": "adamw"}, "solver 'adamw' is not known. Did you mean 'adam'?"),
        ({"init": "kaiming"}, "init 'kaiming' is not known. Known are: auto, normal, xavier, he."),
        ({"schedule": "cosin"}, "schedule 'cosin' is not known. Did you mean 'cosine'?"),
        ({"augment": "digit"}, "augment 'digit' is not known. Did you mean 'digits'?"),
        ({"dtype": "float16"}, "dtype 'float16' is not known. Did you mean 'float64' or 'float32'?"),
        ({"learning_rate": -0.1}, "learning_rate must be a number above 0; received -0.1."),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0; received nan."),
        ({"learning_rate": float("inf")}, "learning_rate must be a number above 0; received inf."),
        ({"batch_size": 0}, "batch_size must be an integer of 1 or more; received 0."),
        ({"epochs": 1.5}, "epochs must be an integer of 0 or more; received 1.5."),
        ({"momentum": 1}, "momentum must be a number from 0 to below 1; received 1."),
        ({"dropout": 1.0}, "dropout must be a number from 0 to below 1; received 1.0."),
        ({"input_dropout": -0.1}, "input_dropout must be a number from 0 to below 1; received -0.1."),
        ({"l2": "much"}, "l2 must be a number of 0 or more; received 'much'."),
        ({"max_norm": 0}, "max_norm must be None or a number above 0; received 0."),
        ({"warmup_epochs": -1}, "warmup_epochs must be a number of 0 or more; received -1."),
        ({"patience": True}, "patience must be an integer of 0 or more; received True."),
        ({"keep": "lats"}, "keep 'lats' is not known. Did you mean 'last'?"),
        ({"validation_fraction": 1.0}, "validation_fraction must be a number above 0 and below 1; received 1.0."),
        ({"class_weight": "equal"}, "class_weight must be None, 'balanced' or a dict; received 'equal'."),
        ({"random_state": -1}, "random_state must be None, an integer of 0 or more, or a RandomState; received -1."),
    ],
)  # fmt: skip
def test_settings(settings, message):
    with pytest.raises(SettingError) as caught:
        MLPClassifier(**settings).fit(X, y)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


def holed(value):
    holes = X.copy()
    holes[3, 1] = holes[7, 2] = value
    return holes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((holed(np.nan), y), "X contains NaN or infinity: 2 values, the first in row 3, column 1. Leave those rows out, or fill in the values first."),
        ((holed(-np.inf), y), "X contains NaN or infinity: 2 values, the first in row 3, column 1. Leave those rows out, or fill in the values first."),
        ((X, y[:19]), "X has 20 rows and y has 19 labels. Give one label for each row."),
        ((X, ["a"] * 20), "y holds one class only, 'a'. Give at least two classes to tell apart."),
    ],
)  # fmt: skip
def test_data(arguments, message):
    with pytest.raises(DataError) as caught:
        MLPClassifier(epochs=1).fit(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"validation_data": (X, np.array(["a", "c"] * 10))}, "validation y holds classes that training does not know: c. Known are: a, b."),
        ({"validation_data": (X, y[:3])}, "X has 20 rows and validation y has 3 labels. Give one label for each row."),
        ({"sample_weight": np.zeros(20)}, "All sample weights are zero. Give each row a weight of 0 or more, and not 0 to all."),
    ],
)  # fmt: skip
def test_what_comes_beside_the_data(more, message):
    with pytest.raises(DataError) as caught:
        MLPClassifier(epochs=1).fit(X, y, **more)
    assert str(caught.value) == message


def test_class_weight_of_a_class_that_is_not_there():
    with pytest.raises(DataError) as caught:
        MLPClassifier(epochs=1, class_weight={"a": 1, "z": 2}).fit(X, y)
    assert str(caught.value) == "class_weight names classes that y does not have: z."


def test_another_number_of_features():
    network = MLPClassifier(epochs=1).fit(X, y)
    with pytest.raises(
        ValueError, match="X has 2 features, but MLPClassifier is expecting 3 features as input"
    ):
        network.predict(X[:, :2])


def test_too_few_rows_to_carve():
    with pytest.raises(DataError) as caught:
        MLPClassifier(patience=1).fit(X[:3], ["a", "b", "b"])
    assert str(caught.value) == (
        "No validation set can be carved out of 3 rows: the smallest class has 1. "
        "Pass validation_data, or set patience=0."
    )


def test_labels_partial_fit_was_not_told_of():
    network = MLPClassifier().partial_fit(X, y)
    with pytest.raises(DataError) as caught:
        network.partial_fit(X, np.array(["a", "z"] * 10))
    assert str(caught.value) == "y holds classes that training does not know: z. Known are: a, b."


def test_weights_that_memory_cannot_hold():
    with pytest.raises(SettingError) as caught:
        MLPClassifier((10**6, 10**6)).fit(X, y)
    assert str(caught.value).startswith(
        "hidden_layer_sizes (1000000, 1000000) with 3 features would take 16,000 GB of memory, and "
    )
    assert str(caught.value).endswith(" are free. Choose fewer units, or fewer features.")
