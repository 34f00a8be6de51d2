import dataclasses

import pytest

from linnaea.errors import SettingError
from linnaea.runs.settings import CommonSettings, Recipe, make_recipe, parse_assignments, recorded_settings


def test_every_fault_is_named_in_one_message():
    with pytest.raises(SettingError) as error:
        make_recipe({"hiden": "3", "epochs": -1, "activation": "tan", "hidden": "500,-3"})
    assert str(error.value) == (
        "The setting 'hidden' is refused: input should be greater than or equal to 1. Received: '-3'. "
        "The setting 'activation' is refused: input should be 'sigmoid', 'tanh' or 'relu'. Received: 'tan'. "
        "The setting 'epochs' is refused: input should be greater than or equal to 0. Received: -1. "
        "There is no setting 'hiden'. Did you mean 'hidden' or 'head_hidden'?"
    )


@pytest.mark.parametrize("hidden", ["500,300", [500, 300], (500, 300), " 500, 300 "])
def test_layer_sizes_come_as_text_or_numbers(hidden):
    assert make_recipe({"hidden": hidden}).hidden == (500, 300)


def test_one_layer_may_be_a_bare_number():
    assert make_recipe({"hidden": 50}).hidden == (50,)


def test_text_from_the_command_line_becomes_the_settings_type():
    assert make_recipe(parse_assignments(("dropout=0.5", "test_curve=true"))).model_dump(
        include={"dropout", "test_curve"}
    ) == {"dropout": 0.5, "test_curve": True}


def test_an_assignment_without_equals_is_refused():
    with pytest.raises(SettingError, match="--set wants key=value; received 'dropout'"):
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


def test_every_setting_has_its_line_of_help():
    assert all(field.description for field in Recipe.model_fields.values())
