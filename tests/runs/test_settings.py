import dataclasses
from pathlib import Path

import pytest

from linnaea.errors import SettingError
from linnaea.runs.settings import CommonSettings, Recipe, make_recipe, parse_assignments, recorded_settings
from linnaea.settings import EVERY


def test_every_fault_is_named_in_one_message():
    with pytest.raises(SettingError) as error:
        make_recipe({"hiden": "3", "epochs": -1, "activation": "tan", "hidden": "500,-3"})
    assert str(error.value) == (
        "hidden must be integers of 1 or more; received (500, -3). "
        "Give the units of each hidden layer, (500, 500) for two layers. "
        "activation 'tan' is not known. Did you mean 'tanh'? "
        "epochs must be an integer of 0 or more; received -1. "
        "There is no setting 'hiden'. Did you mean 'hidden' or 'head_hidden'?"
    )


@pytest.mark.parametrize("hidden", ["500,300", [500, 300], (500, 300), " 500, 300 "])
def test_layer_sizes_come_as_text_or_numbers(hidden):
    assert make_recipe({"hidden": hidden}).hidden == (500, 300)


def test_one_layer_may_be_a_bare_number():
    assert make_recipe({"hidden": 50}).hidden == (50,)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ({"dropout": "0"}, 0),
        ({"learning_rate": "1e-3"}, 0.001),
        ({"flip": "no"}, False),
        ({"flip": "True"}, True),
        ({"budget": "1h30m"}, 5400.0),
        ({"views": "2"}, 2),
        ({"weights": Path("here.safetensors")}, "here.safetensors"),
        ({"augment": "none"}, "none"),
        ({"epochs": None}, None),
        ({"colour": None}, False),
        ({}, 0),
    ],
)
def test_a_recipe_holds_what_was_written_as_a_value_of_its_kind(text, value):
    name = next(iter(text), "seed")
    received = getattr(make_recipe(text), name)
    assert (received, type(received)) == (value, type(value))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": "soon"}, "budget must be a length of time, such as 90s, 10m or 2h; received 'soon'."),
        ({"flip": "maybe"}, "flip must be true or false; received 'maybe'."),
        ({"split": 0.7}, "split must be text; received 0.7."),
        ({"class_weight": "equal"}, "class_weight must be balanced; received 'equal'."),
        ({"augment": "digts"}, "augment 'digts' is not known. Did you mean 'digits'?"),
        ({"device": "gpu"}, "device must be auto, cpu, cuda, cuda:1 or mps; received 'gpu'."),
        ({"epochs": 10**400}, None),
        ({"learning_rate": 10**400}, f"learning_rate must be a number above 0; received 1{'0' * 199}…."),
        ({"hidden": {"a": 1}}, "hidden must be integers of 1 or more; received {'a': 1}. Give the units of "
                               "each hidden layer, (500, 500) for two layers."),
    ],
)  # fmt: skip
def test_what_a_recipe_refuses(settings, message):
    if message is None:
        assert make_recipe(settings).epochs == 10**400
        return
    with pytest.raises(SettingError) as error:
        make_recipe(settings)
    assert str(error.value) == message


def test_text_from_the_command_line_becomes_the_settings_type():
    assert make_recipe(parse_assignments(("dropout=0.5", "test_curve=true"))).model_dump(
        include={"dropout", "test_curve"}
    ) == {"dropout": 0.5, "test_curve": True}


def test_an_assignment_without_equals_is_refused():
    with pytest.raises(SettingError, match="--set takes key=value; received 'dropout'"):
        parse_assignments(("dropout",))


@pytest.mark.parametrize(
    ("recorded", "keep"),
    [
        ({"model": "mlp", "patience": 60}, None),
        ({"model": "mlp", "patience": None}, None),
        ({"model": "mlp", "patience": 0}, "last"),
        ({"model": "keras", "patience": 0}, "last"),
        ({"model": "resnet50", "patience": 0}, None),
        ({"model": "mlp", "patience": 0, "keep": "best"}, "best"),
        ({"model": "mlp", "patience": 0, "keep": None}, None),
    ],
)
def test_patience_of_older_runs_tells_which_epoch_they_kept(recorded, keep):
    assert make_recipe(recorded_settings(recorded | {"of another day": 1})).keep == keep


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().epochs = 3


def test_the_command_line_shows_a_part_of_the_recipe():
    shown = {field.name for field in dataclasses.fields(CommonSettings)}
    assert shown < set(Recipe.model_fields)
    assert set(vars(CommonSettings()).values()) == {None}


def test_every_setting_has_its_help():
    assert all(setting.help.endswith(".") for setting in EVERY)


def test_a_recipe_made_in_python_names_every_fault_in_our_words():
    with pytest.raises(SettingError) as error:
        Recipe(epochs="x", dropout=1, batchsize=3)
    assert str(error.value) == (
        "epochs must be an integer of 0 or more; received 'x'. dropout must be a number from 0 to below 1; "
        "received 1. There is no setting 'batchsize'. Did you mean 'batch_size' or 'size' or 'first_size'?"
    )
    assert Recipe(copies=None, epochs=None) == Recipe()
