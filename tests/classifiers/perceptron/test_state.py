"""Saved and loaded again: the same classifier; anything damaged is refused by name."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_iris

from linnaea import MLPClassifier
from linnaea.errors import DataError

X, NUMBERS = load_iris(return_X_y=True)
NAMES = load_iris().target_names[NUMBERS]


@pytest.mark.parametrize(
    "y", [NAMES, NUMBERS, NUMBERS > 0, NUMBERS / 2], ids=["text", "int", "bool", "float"]
)
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_loaded_is_saved(tmp_path, y, loss):
    if y.dtype == float:
        y = np.where(y == 0.5, 3.0, y)  # scikit-learn takes floats with fractions for a regression
    network = MLPClassifier((7, 5), loss=loss, epochs=2, random_state=0).fit(X, y)
    network.save(tmp_path / "model")
    loaded = MLPClassifier.load(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(X), network.predict_proba(X))
    assert np.array_equal(loaded.predict(X), network.predict(X))
    assert loaded.predict(X).dtype.kind == network.predict(X).dtype.kind
    assert loaded.get_params() == network.get_params()
    assert loaded.chosen_epoch_ == 2
    assert loaded.describe() == network.describe()


def test_model_json_can_be_read_by_a_person(tmp_path):
    MLPClassifier((7,), epochs=1, class_weight={"setosa": 2.0}, random_state=3).fit(X, NAMES).save(tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    assert model["format_version"] == 1
    assert model["model"] == "mlp"
    assert model["classes"] == ["setosa", "versicolor", "virginica"]
    assert model["n_features_in"] == 4
    assert model["parameters"]["hidden_layer_sizes"] == [7]
    assert model["parameters"]["random_state"] == 3
    assert MLPClassifier.load(tmp_path).class_weight == {"setosa": 2.0}


def test_saved_weights_are_in_the_common_format(tmp_path):
    from safetensors.numpy import load_file

    network = MLPClassifier((7,), epochs=1, random_state=0).fit(X, NAMES)
    network.save(tmp_path)
    tensors = load_file(tmp_path / "weights.safetensors")
    assert {name: t.shape for name, t in tensors.items()} == {
        "coefs.0": (4, 7), "coefs.1": (7, 3), "intercepts.0": (7,), "intercepts.1": (3,),
    }  # fmt: skip
    hidden = np.maximum(X @ tensors["coefs.0"] + tensors["intercepts.0"], 0)
    assert network.decision_function(X) == pytest.approx(
        hidden @ tensors["coefs.1"] + tensors["intercepts.1"], abs=1e-4
    )


@pytest.fixture
def saved(tmp_path):
    MLPClassifier((7,), epochs=1, random_state=0).fit(X, NAMES).save(tmp_path)
    return tmp_path


def change(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_missing_model(tmp_path):
    with pytest.raises(DataError) as caught:
        MLPClassifier.load(tmp_path / "nowhere")
    path = tmp_path / "nowhere" / "model.json"
    assert str(caught.value) == (
        f"{path} could not be read ([Errno 2] No such file or directory: '{path}'). "
        "Restore the file, or train again."
    )


def test_newer_format(saved):
    change(saved, format_version=2)
    with pytest.raises(DataError) as caught:
        MLPClassifier.load(saved)
    assert str(caught.value) == (
        f"{saved / 'model.json'} is not a perceptron of format 1; received model 'mlp', format 2. "
        "Open it with the version of linnaea that made it."
    )


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_model_that_is_no_model(saved, text):
    (saved / "model.json").write_text(text)
    with pytest.raises(DataError, match=r"model\.json"):
        MLPClassifier.load(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"hidden": 3}},
        {"parameters": {"activation": "step"}},
        {"parameters": None},
        {"classes": None},
        {"n_features_in": "many"},
        {"n_features_in": -4},
        {"classes": []},
    ],
)
def test_damaged_model_is_named(saved, changes):
    change(saved, **changes)
    with pytest.raises(DataError, match=r"model\.json is damaged \("):
        MLPClassifier.load(saved)


def test_weights_of_another_shape(saved):
    change(saved, n_features_in=5)
    with pytest.raises(DataError) as caught:
        MLPClassifier.load(saved)
    assert str(caught.value) == (
        f"{saved / 'weights.safetensors'}: coefs.0 should be float32 (5, 7); received float32 (4, 7). "
        "Restore the file, or train again."
    )


def test_cut_weights(saved):
    path = saved / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"weights\.safetensors could not be read"):
        MLPClassifier.load(saved)


def test_weights_that_are_not_numbers(saved):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(saved / "weights.safetensors")
    tensors["coefs.1"][0, 0] = np.nan
    save_file(tensors, saved / "weights.safetensors")
    with pytest.raises(DataError) as caught:
        MLPClassifier.load(saved)
    assert str(caught.value) == (
        f"{saved / 'weights.safetensors'}: coefs.1 holds NaN or infinity. Restore the file, or train again."
    )
