"""The settings: what is declared is what the classifiers have, and what they and recipes accept."""

import inspect

import pytest

from linnaea.classifiers import registry
from linnaea.classifiers.finetune import preprocessing
from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.perceptron.layers import ACTIVATIONS
from linnaea.classifiers.perceptron.losses import LOSSES
from linnaea.classifiers.perceptron.solvers import SOLVERS
from linnaea.errors import SettingError
from linnaea.runs.settings import make_recipe
from linnaea.settings import _OF_EPOCHS, EVERY, MODELS, PARAMETERS, SETTINGS, applied, parse_duration

CLASSES = {
    "mlp": registry.classifier_class("mlp"),
    "keras": registry.classifier_class("keras"),
    "pretrained": FineTuneClassifier,
}


@pytest.mark.parametrize("model", MODELS)
def test_a_classifier_has_the_parameters_and_defaults_that_are_declared(model):
    parameters = inspect.signature(CLASSES[model]).parameters
    has = {name: parameter.default for name, parameter in parameters.items()}
    declared = {
        s.parameter_name: s.default_of(model) for s in EVERY if model in s.models and s.scope != "run"
    }
    # The data and the run are settled before there is a classifier; some of their settings go on to it.
    on_the_way = {s.parameter_name: s.default_of(model) for s in EVERY if s.scope == "run"}
    declared |= {name: default for name, default in on_the_way.items() if name in has}
    # A command repeats itself unless it is told not to; scikit-learn's convention is the other way round.
    declared["random_state"] = None
    assert {name: default for name, default in has.items() if name != "backbone"} == declared


def test_no_name_is_declared_twice():
    assert len(PARAMETERS) == len({setting.name for setting in EVERY}) == len(EVERY)


@pytest.mark.parametrize(
    ("name", "model", "there"),
    [
        ("activation", "mlp", ACTIVATIONS),
        ("loss", "mlp", LOSSES),
        ("solver", "mlp", SOLVERS),
        ("preprocessing", "pretrained", preprocessing.VARIANTS),
    ],
)
def test_the_choices_are_those_that_the_code_has(name, model, there):
    assert set(PARAMETERS[name].choices_of(model)) == set(there)


@pytest.mark.parametrize("model", MODELS)
def test_every_default_is_allowed(model):
    for setting in EVERY:
        if model in setting.models:
            setting.check(setting.default_of(model), model)


@pytest.mark.parametrize(
    "name", [name for name in PARAMETERS if PARAMETERS[name].kind in ("integer", "number")]
)
def test_bounds_are_the_same_for_a_recipe_and_a_classifier(name):
    setting, tiny = PARAMETERS[name], 1 if PARAMETERS[name].kind == "integer" else 1e-9
    for model in setting.models:
        low = setting.low[model] if isinstance(setting.low, dict) else setting.low
        inside = [low, setting.high, *(x + tiny for x in [setting.above] if x is not None)]
        outside = [setting.above, setting.below, *(x - tiny for x in [low] if x is not None)]
        outside += [x + tiny for x in [setting.high] if x is not None]
        for value in [x for x in inside if x is not None]:
            setting.check(value, model)
            assert setting.read(str(value)) == setting.read(value) == value
        for value in [*(x for x in outside if x is not None), float("nan"), float("inf"), True, "many"]:
            with pytest.raises(SettingError, match=f"{setting.name} must be "):
                setting.check(value, model)
            if not isinstance(setting.low, dict):
                with pytest.raises(SettingError, match=f"{setting.name} must be "):
                    setting.read(value)


def test_what_was_once_declared_twice_has_one_range():
    assert SETTINGS["size"].allowed("mlp") == "an integer from 4 to 2,048"
    assert SETTINGS["size"].allowed("pretrained") == "an integer from 32 to 2,048"
    assert SETTINGS["first_size"].allowed() == "an integer from 32 to 2,048"
    assert SETTINGS["learning_rate"].allowed() == "a number above 0"
    assert SETTINGS["ema"].allowed() == "a number from 0 to below 1"


@pytest.mark.parametrize(("asked", "parameter"), [("0", None), (0, None), ("0.5", 0.5)])
def test_no_average_is_0_in_a_recipe_and_none_in_python(asked, parameter):
    ema = SETTINGS["ema"]
    assert ema.as_parameter(make_recipe({"ema": asked}).ema) == parameter
    assert ema.as_recorded(parameter) == float(asked)


def test_a_classifier_names_every_fault_at_once():
    with pytest.raises(SettingError) as refused:
        FineTuneClassifier(size=16, solver="sgd", views=0.5, device="gpu").check_settings()
    assert str(refused.value) == (
        "size must be None or an integer from 32 to 2,048; received 16. "
        "device must be auto, cpu, cuda, cuda:1 or mps; received 'gpu'. "
        "solver 'sgd' is not known. Known are: adamw, nesterov. "
        "views must be a number from 1 to 1,000; received 0.5."
    )


# Lengths of time, as people write them.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5m", 90),
        ("45", 45),
        (45, 45),
        ("1 H 5 s", 3605),
    ],
)
def test_a_duration_is_read_from_what_a_person_writes(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "soon", "-5s", "1h30", "m", "5d", "nan", "inf"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ValueError, match="is written as 90s, 10m, 2h or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("name", "recipe", "had_effect"),
    [
        ("momentum", {"solver": "adam"}, False),
        ("momentum", {"solver": "nesterov"}, True),
        ("momentum", {"solver": "nesterov", "epochs": 0}, False),
        ("layer_decay", {"epochs": 0}, False),
        ("layer_decay", {"epochs": 3}, True),
        ("keep", {"epochs": 0}, False),
        ("crop_scale", {"epochs": 0}, False),  # the probe's crops have a scale of their own
        ("layer_decay", {"epochs": 3, "train_from": "head"}, False),
        ("cutmix", {"epochs": 3, "train_from": "head"}, False),  # it learns from features made once
        ("cutmix", {"epochs": 3, "train_from": "blocks.4"}, True),
        ("weight_decay", {"epochs": 3, "train_from": "head"}, True),
        ("flip", {"epochs": 0}, True),  # the probe learns from mirrored pictures
        ("views", {"probe": False, "epochs": 3}, False),
        ("views", {"probe": True, "epochs": 0}, True),
    ],
)
def test_a_setting_that_had_no_effect_is_known_as_such(name, recipe, had_effect):
    assert applied(name, recipe) is had_effect


def test_what_only_epochs_use_is_a_setting():
    assert {name for name in SETTINGS if not applied(name, {"epochs": 0, "solver": "nesterov"})} == _OF_EPOCHS
