import pytest

from linnaea.errors import SettingError, UsageError
from linnaea.runs.recipes import load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_is_checked_and_told(name):
    file = load_recipe(name)
    assert file.title
    assert file.about
    assert file.settings["model"]


def test_part1_holds_the_numbers_of_the_original_report():
    assert load_recipe("part1-one-hidden").reported == {"accuracy": 0.9454}
    assert load_recipe("part1-two-hidden").reported == {"accuracy": 0.9650, "macro_auc": 0.99527}
    assert load_recipe("part1-keras").reported == {"accuracy": 0.9199}


@pytest.mark.parametrize("name", ["part1-one-hidden", "part1-two-hidden"])
def test_part1_trains_as_the_original_report_did_and_chooses_nothing_on_the_test_part(name):
    reported = {
        "activation": "sigmoid",
        "loss": "squared_error",
        "solver": "sgd",
        "batch_size": 100,
        "epochs": 50,
    }
    settings = load_recipe(name).settings
    assert settings.items() >= reported.items()
    assert settings["validation"] == 0


def test_the_plain_perceptron_differs_from_the_best_by_its_want_of_distortions():
    assert load_recipe("part1-best").settings["augment"] == "digits"
    assert "augment" not in load_recipe("part1-best-plain").settings


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(
        UsageError, match=r"There is no recipe 'part1-two-hiden'. Did you mean 'part1-two-hidden'"
    ):
        load_recipe("part1-two-hiden")


def test_a_file_may_be_a_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('title = "Mine"\n[settings]\nhidden = [30]\n')
    assert load_recipe(str(path)).settings == {"hidden": [30]}
    assert load_recipe(str(path)).name == "mine"


def test_a_recipe_is_refused_with_its_fault(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("hidden = [30]\n")
    with pytest.raises(
        UsageError,
        match=r"contains hidden\. A recipe may contain title, about, \[settings\] and \[reported\]",
    ):
        load_recipe(str(path))
    path.write_text("hidden = [30\n")
    with pytest.raises(UsageError, match="is not TOML"):
        load_recipe(str(path))
    path.write_text("[settings]\nepochs = -1\n")
    with pytest.raises(SettingError, match=r"epochs must be an integer of 0 or more; received -1\."):
        load_recipe(str(path))
