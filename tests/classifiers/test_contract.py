"""Facts: every classifier in the registry keeps the one contract that the rest of the road relies on."""

import inspect
import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from linnaea.classifiers.contract import Classifier, EpochRecord
from linnaea.classifiers.registry import classifier_class, new_classifier
from linnaea.errors import DataError, LinnaeaError, SettingError, UsageError

# Keras reads torch's tensors in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PERCEPTRONS = ["mlp", "keras"]
# A backbone of timm's for tests, of 100,000 random weights.
KINDS = [*PERCEPTRONS, "test_efficientnet"]

IRIS, NUMBERS = load_iris(return_X_y=True)
IRIS = ((IRIS - IRIS.min(axis=0)) / np.ptp(IRIS, axis=0)).astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])[NUMBERS]
X, y = IRIS, NAMES


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On a busy machine torch's threads wait for each other far longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def new(model, **settings):
    if model == "keras":
        pytest.importorskip("keras", reason="the extra 'keras' is not installed")
    defaults = {"epochs": 3, "random_state": 0}
    if model in PERCEPTRONS:
        defaults |= {"hidden_layer_sizes": (8,), "learning_rate": 0.05}
    else:
        defaults |= {"weights": "none", "size": 32, "views": 1, "precision": "float32", "learning_rate": 1e-3}
        defaults["patience"] = 0  # a probe without a mistake would end it at once
    return new_classifier(model, **{**defaults, **settings})


def data(model):
    """Return X and y of three classes: rows of numbers, or a few pictures whose colour is their class."""
    if model in PERCEPTRONS:
        return IRIS, NAMES
    rng, names = np.random.default_rng(0), np.resize(["setosa", "versicolor", "virginica"], 24)
    pictures = rng.integers(0, 120, (24, 32, 32, 3))
    pictures[np.arange(24), :, :, np.unique(names, return_inverse=True)[1]] += 120
    return pictures.astype(np.uint8), names


def story(classifier):
    return [{**record.as_dict(), "seconds": 0} for record in classifier.history_]


def test_an_unknown_model_is_refused_with_the_nearest_names():
    with pytest.raises(UsageError) as near:
        classifier_class("kerass")
    assert str(near.value) == "There is no model 'kerass'. Did you mean 'keras'?"
    with pytest.raises(UsageError) as far:
        classifier_class("x")
    assert str(far.value) == "There is no model 'x'. linnaea models --search WORD lists what there is."
    with pytest.raises(UsageError) as backbone:
        classifier_class("resnet5")
    assert str(backbone.value).startswith("There is no model 'resnet5'. Did you mean 'resnet50'")


@pytest.mark.parametrize("model", KINDS)
def test_the_public_face_is_the_protocols(model):
    cls = classifier_class(model)
    assert Classifier in cls.__mro__
    for name, promised in inspect.getmembers(Classifier, inspect.isfunction):
        if not name.startswith("_"):
            received = inspect.signature(getattr(cls, name)).parameters
            # sample_weight and the like must be keywords in both; a bound classmethod has lost its cls.
            expected = [p for p in inspect.signature(promised).parameters if p not in ("self", "cls")]
            assert [p for p in received if p not in ("self", "cls")] == expected, name


def test_both_perceptrons_have_the_same_settings_where_both_make_sense():
    by_hand, in_keras = (set(classifier_class(model)().get_params()) for model in PERCEPTRONS)
    assert in_keras < by_hand
    assert by_hand - in_keras == {"max_norm", "augment", "dtype"}


@pytest.mark.parametrize("model", KINDS)
def test_one_walk_through_the_contract(model, tmp_path):
    (X, y), seen = data(model), []
    classifier = new(model)
    untouched = clone(classifier).get_params()
    classifier.check_settings()
    classifier.check_network()
    returned = classifier.fit(
        X, y, validation_data=(X[::5], y[::5]), on_epoch=lambda *told: seen.append(told)
    )
    assert returned is classifier
    assert classifier.get_params() == untouched
    assert list(classifier.classes_) == ["setosa", "versicolor", "virginica"]

    # One record an epoch, 0 included, told to the listener as it stands in the history.
    assert [record.epoch for record in classifier.history_] == [0, 1, 2, 3]
    assert seen == [(record, classifier) for record in classifier.history_]
    assert all(isinstance(record, EpochRecord) for record in classifier.history_)
    assert json.loads(json.dumps(classifier.history_[-1].as_dict(), allow_nan=False))["epoch"] == 3
    best = max(classifier.history_, key=lambda record: (record.val_accuracy, -record.val_loss))
    assert classifier.history_[classifier.chosen_epoch_].val_accuracy == best.val_accuracy

    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == (len(X), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(classifier.predict(X), classifier.classes_[probabilities.argmax(axis=1)])
    np.testing.assert_array_equal(
        classifier.decision_function(X).argmax(axis=1), probabilities.argmax(axis=1)
    )
    assert classifier.evaluate(X, y)[1] == classifier.score(X, y)
    features = classifier.features(X)
    assert features.dtype == np.float32
    assert len(features) == len(X)
    both = classifier.features_and_proba(X)
    np.testing.assert_array_equal(both[0], features)
    np.testing.assert_allclose(both[1], probabilities, atol=1e-6)
    assert classifier.describe()["parameters"] > 0

    classifier.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "weights.safetensors"]
    described = json.loads((tmp_path / "model.json").read_text())
    kind = model if model in PERCEPTRONS else "finetune"
    assert (described["format_version"], described["model"]) == (1, kind)
    assert described["classes"] == list(classifier.classes_)
    loaded = type(classifier).load(tmp_path)
    for same in (loaded, pickle.loads(pickle.dumps(classifier))):
        np.testing.assert_array_equal(same.predict_proba(X), probabilities)
        np.testing.assert_array_equal(same.features(X), features)
    assert list(loaded.history_) == []


@pytest.mark.parametrize("model", KINDS)
def test_what_a_kind_does_not_have_is_neutral(model):
    classifier = new(model)
    assert list(classifier.history_) == []
    assert (classifier.chosen_epoch_, classifier.kept_) == (None, None)
    assert (classifier.plan_, classifier.probe_) == (None, None)
    assert classifier.remembered("train") is None
    photographs = model not in PERCEPTRONS
    assert classifier.takes_photographs is photographs
    assert (classifier.kept_side() is None, classifier.suited() == {}) == (not photographs,) * 2
    if not photographs:
        classifier.fit(*data(model))
        assert (classifier.plan_, classifier.probe_, classifier.kept_) == (None, None, None)
        with pytest.raises(LinnaeaError, match=r"^This classifier has no probe\."):
            classifier.probe_proba(X)


@pytest.mark.parametrize("model", KINDS)
def test_it_can_be_cloned_set_anew_and_fitted_to_other_classes(model):
    X, y = data(model)
    classifier = new(model).fit(X, y)
    fresh = clone(classifier)
    assert fresh.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    two = y != "virginica"
    classifier.set_params(epochs=1).fit(X[two], np.char.upper(y[two]))
    assert list(classifier.classes_) == ["SETOSA", "VERSICOLOR"]
    assert [record.epoch for record in classifier.history_] == [0, 1]
    assert classifier.predict_proba(X).shape == (len(X), 2)
    assert classifier.decision_function(X).shape == (len(X),)
    # Nothing of the first fit is left in the second.
    alone = new(model, epochs=1).fit(X[two], np.char.upper(y[two]))
    np.testing.assert_array_equal(classifier.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("model", PERCEPTRONS)
def test_a_perceptron_says_how_large_it_is(model, tmp_path):
    classifier = new(model).fit(X, y)
    assert classifier.history_[-1].train_loss < classifier.history_[0].train_loss
    assert classifier.chosen_epoch_ == 3
    assert classifier.n_features_in_ == 4
    assert classifier.describe() == {"summary": "4-8-3, relu", "parameters": 4 * 8 + 8 + 8 * 3 + 3}
    features = classifier.features(X)
    assert features.shape == (150, 8)
    assert features.min() == 0  # after the ReLU
    classifier.save(tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["n_features_in"] == 4


def test_both_perceptrons_hold_their_parameters_in_one_order():
    pytest.importorskip("keras", reason="the extra 'keras' is not installed")
    by_hand, in_keras = (new(model, hidden_layer_sizes=(6, 5), epochs=0).fit(X, y) for model in PERCEPTRONS)
    assert by_hand.sizes_ == in_keras.sizes_ == (4, 6, 5, 3)
    np.testing.assert_array_equal(by_hand.parameters_, in_keras.parameters_)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        *((model, {"loss": loss}) for model in PERCEPTRONS for loss in ("cross_entropy", "squared_error")),
        (KINDS[-1], {}),
    ],
)
def test_a_temperature_changes_probabilities_and_nothing_else(model, settings, tmp_path):
    X, y = data(model)
    classifier = new(model, **settings).fit(X, y)
    assert classifier.temperature_ == 1.0
    plain, logits, named = classifier.predict_proba(X), classifier.decision_function(X), classifier.predict(X)
    judged = classifier.evaluate(X, y)

    classifier.temperature_ = 2.5
    softer = classifier.predict_proba(X)
    np.testing.assert_array_equal(classifier.decision_function(X), logits)
    np.testing.assert_array_equal(classifier.predict(X), named)
    assert classifier.evaluate(X, y) == judged
    # A temperature T takes every probability to the power 1/T and shares them out anew.
    powers = plain.astype(np.float64) ** (1 / 2.5)
    np.testing.assert_allclose(softer, powers / powers.sum(axis=1, keepdims=True), rtol=1e-4)

    classifier.save(tmp_path)
    loaded = type(classifier).load(tmp_path)
    assert loaded.temperature_ == 2.5
    np.testing.assert_array_equal(loaded.predict_proba(X), softer)
    assert classifier.fit(X, y).temperature_ == 1.0


@pytest.mark.parametrize("model", KINDS)
def test_a_model_saved_before_there_was_a_temperature_has_the_temperature_one(model, tmp_path):
    classifier = new(model).fit(*data(model))
    classifier.save(tmp_path)
    described = json.loads((tmp_path / "model.json").read_text())
    assert described.pop("temperature") == 1.0
    (tmp_path / "model.json").write_text(json.dumps(described))
    assert type(classifier).load(tmp_path).temperature_ == 1.0
    (tmp_path / "model.json").write_text(json.dumps({**described, "temperature": -1}))
    with pytest.raises(DataError, match=r"the temperature is -1 and must be a number from 0\.001 to 1000\.0"):
        type(classifier).load(tmp_path)


@pytest.mark.parametrize("model", PERCEPTRONS)
@pytest.mark.parametrize("hidden", [(), (8,), (6, 5)])
def test_features_are_what_the_last_layer_turns_into_logits(model, hidden):
    classifier = new(model, hidden_layer_sizes=hidden, dropout=0.5, input_dropout=0.2).fit(X, y)
    features = classifier.features(X)
    assert features.shape == (150, hidden[-1] if hidden else 4)
    # Logits are linear in them: least squares leaves no rest.
    design = np.column_stack([features, np.ones(150)])
    logits = classifier.decision_function(X)
    solved = design @ np.linalg.lstsq(design.astype(np.float64), logits, rcond=None)[0]
    np.testing.assert_allclose(solved, logits, atol=1e-4)


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("ask", ["predict", "predict_proba", "decision_function", "features"])
def test_before_fit_it_says_so(model, ask):
    with pytest.raises(NotFittedError):
        getattr(new(model), ask)(data(model)[0])


@pytest.mark.parametrize("model", KINDS)
def test_training_goes_on_exactly_from_its_state(model):
    (X, y), states = data(model), []
    unbroken = new(model, dropout=0.2).fit(
        X, y, on_epoch=lambda record, classifier: states.append(classifier.training_state())
    )
    arrays, values = states[1]
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    resumed = new(model, dropout=0.2)
    resumed.load_training_state(arrays, json.loads(json.dumps(values)))
    resumed.fit(X, y)
    assert story(resumed) == story(unbroken)
    np.testing.assert_array_equal(resumed.predict_proba(X), unbroken.predict_proba(X))


@pytest.mark.parametrize("model", KINDS)
def test_a_fit_that_fails_leaves_no_state_for_the_next(model):
    (X, y), states = data(model), []
    new(model).fit(X, y, on_epoch=lambda record, classifier: states.append(classifier.training_state()))
    classifier = new(model, epochs=-1)
    classifier.load_training_state(*states[-1])
    with pytest.raises(SettingError):
        classifier.fit(X, y)
    # Other data, another length: a state that was still there would be gone on from.
    classifier.set_params(epochs=1).fit(X[::2], y[::2])
    assert [record.epoch for record in classifier.history_] == [0, 1]
    np.testing.assert_array_equal(
        classifier.predict_proba(X), new(model, epochs=1).fit(X[::2], y[::2]).predict_proba(X)
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_two_classes_have_the_same_log_odds_in_both_perceptrons(loss):
    pytest.importorskip("keras", reason="the extra 'keras' is not installed")
    two = NUMBERS < 2
    by_hand, in_keras = (
        new(model, loss=loss, epochs=20).fit(X[two], y[two]).decision_function(X[two])
        for model in PERCEPTRONS
    )
    np.testing.assert_allclose(in_keras, by_hand, atol=2e-2)
    assert np.ptp(by_hand) > 1
