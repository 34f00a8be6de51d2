"""Facts: the same network as ours by hand, bitwise repeatable, and nothing lost when training goes wrong."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from linnaea.classifiers.keras.classifier import KerasMLPClassifier
from linnaea.classifiers.perceptron.classifier import MLPClassifier
from linnaea.errors import DataError, DivergenceError, LinnaeaError, MissingExtraError, SettingError

keras = pytest.importorskip("keras", reason="the extra 'keras' is not installed")

# Keras reads torch's tensors in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# 8 x 8 digits in 0..1; names sort differently from the numbers.
PIXELS, DIGITS = load_digits(return_X_y=True)
NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[DIGITS]
PIXELS = (PIXELS / 16).astype(np.float32)
X, y = PIXELS[:330], NAMES[:330]
X_OTHER, y_OTHER = PIXELS[330:500], NAMES[330:500]
ALL_ON = {"dropout": 0.3, "input_dropout": 0.1, "schedule": "cosine", "warmup_epochs": 1, "l2": 1e-3}


def small(**settings):
    return KerasMLPClassifier(**{"hidden_layer_sizes": (16,), "epochs": 3, "random_state": 7, **settings})


def weights(classifier):
    return [keras.ops.convert_to_numpy(w) for w in classifier.network_.weights]


def assert_same_weights(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def fitted():
    return small(epochs=15, learning_rate=5e-3).fit(X, y, validation_data=(X_OTHER, y_OTHER))


# The same network as ours


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "sgd", "learning_rate": 1.0, "activation": "sigmoid", "loss": "squared_error"},
        {"solver": "nesterov", "learning_rate": 0.05, "activation": "tanh", "momentum": 0.8, "l2": 0.01},
        {"solver": "adam", "learning_rate": 3e-3, "hidden_layer_sizes": (16, 12), "init": "normal"},
        {"solver": "sgd", "learning_rate": 0.3, "schedule": "cosine", "warmup_epochs": 1.5},
        {"solver": "sgd", "learning_rate": 0.1, "warmup_epochs": 2, "class_weight": "balanced"},
    ],
    ids=lambda settings: "-".join(str(value) for value in settings.values()),
)
def test_it_tells_the_same_story_as_the_perceptron_by_hand(settings):
    # Two implementations of one network from one start, 7 steps an epoch: they may part by rounding only.
    settings = {"hidden_layer_sizes": (16,), "batch_size": 50, "epochs": 4, "random_state": 3, **settings}
    weight = np.linspace(0.5, 2, len(X))
    by_hand = MLPClassifier(**settings).fit(X, y, validation_data=(X_OTHER, y_OTHER), sample_weight=weight)
    in_keras = KerasMLPClassifier(**settings).fit(
        X, y, validation_data=(X_OTHER, y_OTHER), sample_weight=weight
    )
    assert len(in_keras.history_) == len(by_hand.history_) == 5
    for ours, theirs in zip(by_hand.history_, in_keras.history_, strict=True):
        assert (theirs.epoch, theirs.learning_rate) == (ours.epoch, pytest.approx(ours.learning_rate))
        assert theirs.train_loss == pytest.approx(ours.train_loss, rel=2e-4)
        assert theirs.val_loss == pytest.approx(ours.val_loss, rel=2e-4)
        assert theirs.train_accuracy == pytest.approx(ours.train_accuracy, abs=0.01)
    np.testing.assert_allclose(in_keras.predict_proba(X), by_hand.predict_proba(X), atol=2e-3)


def test_its_losses_are_those_that_keras_itself_computes(fitted):
    numbers = np.searchsorted(fitted.classes_, y_OTHER)
    loss, accuracy = fitted.evaluate(X_OTHER, y_OTHER)
    assert loss == pytest.approx(fitted.network_.evaluate(X_OTHER, numbers, verbose=0), rel=1e-5)
    assert (loss, accuracy) == (fitted.history_[-1].val_loss, fitted.history_[-1].val_accuracy)
    assert accuracy == fitted.score(X_OTHER, y_OTHER) > 0.7


def test_raw_outputs_and_probabilities(fitted):
    raw = fitted.decision_function(X_OTHER)
    np.testing.assert_allclose(raw, fitted.network_.predict(X_OTHER, verbose=0), atol=1e-5)
    np.testing.assert_allclose(
        fitted.predict_proba(X_OTHER), keras.ops.convert_to_numpy(keras.ops.softmax(raw)), atol=1e-6
    )
    np.testing.assert_allclose(fitted.predict_proba(X_OTHER).sum(axis=1), 1, atol=1e-6)


def test_two_classes_have_one_raw_output_as_in_scikit_learn():
    two = np.isin(y, ["zero", "one"])
    classifier = small(epochs=5, learning_rate=0.01).fit(X[two], y[two])
    raw = classifier.decision_function(X[two])
    assert raw.shape == (two.sum(),)
    np.testing.assert_array_equal(classifier.predict(X[two]), classifier.classes_[(raw > 0).astype(int)])


def test_what_it_says_of_itself(fitted):
    assert fitted.describe() == {"summary": "64-16-10, relu", "parameters": 64 * 16 + 16 + 16 * 10 + 10}


# The same result again


def test_one_seed_gives_bitwise_the_same_weights_whatever_else_draws_random_numbers():
    first = small(**ALL_ON).fit(X, y)
    keras.utils.set_random_seed(123)
    keras.random.normal((10,))
    second = small(**ALL_ON).fit(X, y)
    assert_same_weights(first, second)
    assert [r.train_loss for r in first.history_] == [r.train_loss for r in second.history_]
    other = small(**{**ALL_ON, "random_state": 8}).fit(X, y)
    assert not np.array_equal(weights(first)[0], weights(other)[0])


def test_the_callers_generators_are_left_as_they_were():
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.random.get_rng_state(), np.random.get_state()[1]
    small(epochs=1, dropout=0.5).fit(X, y)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_a_resumed_training_ends_bitwise_where_an_unbroken_one_does():
    settings = {**ALL_ON, "epochs": 5, "patience": 5}
    states = {}

    def keep(record, classifier):
        arrays, values = classifier.training_state()
        states[record.epoch] = (arrays, json.loads(json.dumps(values)))

    unbroken = small(**settings).fit(X, y, on_epoch=keep)
    resumed = small(**settings)
    resumed.load_training_state(*states[2])
    seen = []
    resumed.fit(X, y, on_epoch=lambda record, _: seen.append(record.epoch))
    assert seen == [3, 4, 5]
    assert_same_weights(unbroken, resumed)
    assert [{**r.as_dict(), "seconds": 0} for r in resumed.history_] == [
        {**r.as_dict(), "seconds": 0} for r in unbroken.history_
    ]


def test_a_state_of_another_network_is_refused():
    donor = small(epochs=1).fit(X, y)
    other = small(epochs=2, hidden_layer_sizes=(8,))
    other.load_training_state(*donor.training_state())
    with pytest.raises(DataError, match="The training state does not fit this network"):
        other.fit(X, y)


def test_it_can_be_pickled_cloned_and_searched(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.history_ == fitted.history_
    assert clone(fitted).get_params() == fitted.get_params()
    search = GridSearchCV(small(epochs=2), {"learning_rate": [1e-6, 0.02]}, cv=2).fit(X, y)
    assert search.best_params_ == {"learning_rate": 0.02}


# On disk


def test_what_is_saved_comes_back(fitted, tmp_path):
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "weights.safetensors"]
    tensors = load_file(tmp_path / "weights.safetensors")
    assert {name: (array.shape, str(array.dtype)) for name, array in tensors.items()} == {
        "hidden_1.kernel": ((64, 16), "float32"),
        "hidden_1.bias": ((16,), "float32"),
        "output.kernel": ((16, 10), "float32"),
        "output.bias": ((10,), "float32"),
    }
    again = KerasMLPClassifier.load(tmp_path)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.get_params() == fitted.get_params()
    assert (list(again.classes_), again.describe()) == (list(fitted.classes_), fitted.describe())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors, model: tensors.pop("output.bias"),
            "weights.safetensors: output.bias should be float32 (10,); received nothing.",
        ),
        (
            lambda tensors, model: tensors.update(extra=np.zeros(1)),
            "weights.safetensors holds extra, which this network has not.",
        ),
        (
            lambda tensors, model: tensors.update({"output.bias": np.zeros(11, np.float32)}),
            "weights.safetensors: output.bias should be float32 (10,); received float32 (11,).",
        ),
        (
            lambda tensors, model: model.update(model="mlp"),
            "model.json is not a Keras network of format 1; received model 'mlp', format 1.",
        ),
        (lambda tensors, model: model.pop("classes"), "model.json is damaged (KeyError: 'classes')."),
        (
            lambda tensors, model: model["parameters"].update(hidden_layer_sizes=[0]),
            "model.json is damaged (hidden_layer_sizes must be integers of 1 or more; received (0,)).",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(fitted, tmp_path, change, message):
    fitted.save(tmp_path)
    tensors = load_file(tmp_path / "weights.safetensors")
    model = json.loads((tmp_path / "model.json").read_text())
    change(tensors, model)
    save_file(tensors, tmp_path / "weights.safetensors")
    (tmp_path / "model.json").write_text(json.dumps(model))
    with pytest.raises(LinnaeaError) as refused:
        KerasMLPClassifier.load(tmp_path)
    assert message in str(refused.value)


def test_what_is_saved_is_what_was_fitted(tmp_path):
    classifier = small(epochs=1).fit(X, y)
    probabilities = classifier.predict_proba(X)
    classifier.set_params(hidden_layer_sizes=(9,))
    assert classifier.describe()["parameters"] == classifier.network_.count_params()
    classifier.save(tmp_path)
    np.testing.assert_array_equal(KerasMLPClassifier.load(tmp_path).predict_proba(X), probabilities)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_missing_or_torn_file_is_named(fitted, tmp_path, name):
    fitted.save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{name} could not be read .*Restore the file, or train again"):
        KerasMLPClassifier.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"{name} could not be read"):
        KerasMLPClassifier.load(tmp_path)


# When training goes wrong, or well enough


def test_a_diverging_run_keeps_its_best_weights():
    # An overflow of float32 within a few steps: squares of weights and outputs grow with the rate.
    classifier = small(epochs=10, solver="sgd", learning_rate=1e30, hidden_layer_sizes=(16, 16))
    with pytest.raises(DivergenceError) as stopped:
        classifier.fit(X, y)
    assert str(stopped.value) == (
        "Training diverged in epoch 1: loss or weights are no longer finite. "
        "Lower the learning rate (now 1e+30), or scale the features to 0..1."
    )
    assert (len(classifier.history_), classifier.chosen_epoch_) == (1, 0)
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_after_an_interruption_it_holds_the_last_whole_epoch(tmp_path):
    def interrupt(record, _):
        if record.epoch == 2:
            raise KeyboardInterrupt

    classifier = small(epochs=5)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(X, y, on_epoch=interrupt)
    assert [record.epoch for record in classifier.history_] == [0, 1, 2]
    assert classifier.chosen_epoch_ == 2
    assert_same_weights(classifier, small(epochs=2).fit(X, y))
    classifier.save(tmp_path)


def test_patience_goes_back_to_the_best_epoch_and_leaves_out_the_rest():
    classifier = small(epochs=60, learning_rate=0.05, patience=3).fit(
        X, y, validation_data=(X_OTHER, y_OTHER)
    )
    history = classifier.history_
    best = max(history, key=lambda record: (record.val_accuracy, -record.val_loss))
    assert classifier.chosen_epoch_ == best.epoch == history[-1].epoch - 3 < 57
    assert classifier.evaluate(X_OTHER, y_OTHER) == (best.val_loss, best.val_accuracy)


def test_without_validation_data_patience_carves_a_part_out_of_training():
    classifier = small(patience=2, validation_fraction=0.2).fit(X, y)
    assert all(record.val_accuracy is not None for record in classifier.history_)
    # 20 % of 330 pictures: accuracies are multiples of 1/66.
    assert (66 * classifier.history_[-1].val_accuracy) % 1 == pytest.approx(0, abs=1e-9)


def test_the_data_is_not_changed():
    before = X.copy()
    small(epochs=1, dropout=0.5, input_dropout=0.5).fit(X, y)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (np.where(np.eye(330, 64), np.nan, X), y),
            "X contains NaN or infinity: 64 values, the first in row 0",
        ),
        ((X, y[:-1]), "X has 330 rows and y has 329 labels. Give one label for each row."),
        ((X, np.full(330, "one")), "y holds one class only"),
    ],
)
def test_data_that_cannot_be_learned_from(arguments, message):
    with pytest.raises(DataError) as refused:
        small().fit(*arguments)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": (16, -1)}, "hidden_layer_sizes must be integers of 1 or more"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0; received 0."),
        ({"solver": "adm"}, "solver 'adm' is not known. Did you mean 'adam'?"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(SettingError) as refused:
        small(**settings).fit(X, y)
    assert message in str(refused.value)


def test_other_shapes_and_labels_after_fit_are_refused(fitted):
    with pytest.raises(
        ValueError, match="X has 63 features, but KerasMLPClassifier is expecting 64 features"
    ):
        fitted.predict(X[:, :63])
    with pytest.raises(DataError, match="validation y holds classes that training does not know: ten"):
        small().fit(X, y, validation_data=(X[:2], ["one", "ten"]))


# Keras is an extra


def test_without_keras_the_extra_is_named(monkeypatch):
    import linnaea.classifiers

    # None in sys.modules is how Python itself marks a module that must not be found.
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(sys.modules, "linnaea.classifiers.keras.network", raising=False)
    monkeypatch.delattr(linnaea.classifiers.keras, "network", raising=False)
    with pytest.raises(MissingExtraError) as missing:
        small().fit(X, y)
    assert str(missing.value) == "Keras is not installed. Install it: pip install 'linnaea[keras]'."


def test_another_backend_tells_the_same_story():
    pytest.importorskip("jax", reason="jax, the other backend, is not installed")
    code = (
        "import keras, sys; sys.path.insert(0, sys.argv[1]);"
        "from test_keras_mlp import X, y, small;"
        "losses = [record.train_loss for record in small(epochs=1).fit(X, y).history_];"
        "print(keras.backend.backend(), *losses)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    backend, *losses = shown.stdout.split()
    assert backend == "jax"
    here = [record.train_loss for record in small(epochs=1).fit(X, y).history_]
    assert [float(loss) for loss in losses] == pytest.approx(here, rel=2e-4)


def test_importing_the_classifier_imports_neither_keras_nor_torch():
    code = (
        "import sys, linnaea.classifiers.keras.classifier;"
        "print(sorted({'keras', 'torch', 'tensorflow', 'jax'} & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
