"""Facts: who has digits is told of perceptrons, who has photographs or asked for a network is not."""

import numpy as np
import pytest

from linnaea.classifiers.finetune.budget import Plan
from linnaea.cli import main
from linnaea.commands.choosing import hint, resolve_recipe
from linnaea.settings import names

DEFAULT = resolve_recipe(None, {}, "my pictures")
DIGITS = np.random.default_rng(0).integers(0, 256, (30, 28, 28, 1), np.uint8).repeat(3, axis=3)


def test_small_grey_pictures_suit_a_perceptron():
    assert hint(DEFAULT, DIGITS) == (
        "These pictures are grey and at most 28 pixels a side: they suit a perceptron, which learns "
        "from them in seconds. Try --hidden 100 --size 28."
    )


def test_others_do_not():
    colour = DIGITS.copy()
    colour[-1, :, :, 0] = 255 - colour[-1, :, :, 0]
    assert hint(DEFAULT, colour) == ""
    assert hint(DEFAULT, [*DIGITS, np.zeros((40, 28, 3), np.uint8)]) == ""


def test_nobody_is_told_who_named_the_model():
    assert hint(resolve_recipe(None, {"model": "efficientnet_lite0"}, "my pictures"), DIGITS) == ""
    assert hint(resolve_recipe(None, {"hidden": [10]}, "my pictures"), None) == ""


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ({"hidden": [10]}, "mlp"),
        ({"activation": "tanh"}, "mlp"),
        ({"loss": "squared_error"}, "mlp"),
        ({"dropout": 0.5, "epochs": 3}, "auto"),
        ({"train_from": "blocks.4"}, "efficientnet_lite0"),
        ({"weights": "none"}, "efficientnet_lite0"),
        ({"hidden": [10], "model": "keras"}, "keras"),
    ],
)
def test_a_common_setting_that_only_perceptrons_have_means_a_perceptron(asked, model):
    assert resolve_recipe(None, asked, "my pictures").recipe.model == model


def test_it_is_told_before_training(bars, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["train", str(bars), "--epochs", "0", "--views", "1", "--out", out]) == 0
    told = capsys.readouterr().err
    assert told.index("grey and at most 12 pixels a side") < told.index("Probe ")


def test_what_a_plan_decides_is_what_cannot_be_named_beside_a_budget():
    assert set(names(planned=True)) == set(Plan("all", 1, 1, None, 0.9, 1.0).settings)
