"""linnaea settings: whatever it lists, the models take; whatever Recipe has, it lists."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from linnaea.cli import main
from linnaea.commands import choosing, terminal
from linnaea.commands.settings import every_setting, settings
from linnaea.errors import SettingError
from linnaea.runs.settings import Recipe, make_recipe
from linnaea.settings import MODELS, SETTINGS

NAMES = {"pretrained": "efficientnet_lite0"}


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in every_setting()}


def test_every_setting_is_listed_once(rows):
    assert sorted(rows) == sorted(Recipe.model_fields)
    assert len(every_setting()) == len(rows)


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("batch_size", {"mlp": 100, "keras": 100, "pretrained": 16}),
        ("hidden", {"mlp": "50", "keras": "512"}),
        ("dropout", {"mlp": 0.0, "keras": 0.0, "pretrained": 0.2}),
        ("max_norm", {"mlp": None}),
        ("views", {"pretrained": 4}),
        ("size", {"mlp": 28, "keras": 28, "pretrained": None}),
        ("validation", {"mlp": 0.1, "keras": 0.1, "pretrained": 0.1}),
        ("checkpoint_every", {"mlp": "300s", "keras": "300s", "pretrained": "300s"}),
        ("seed", {"mlp": 0, "keras": 0, "pretrained": 0}),
    ],
)
def test_defaults_are_those_of_the_models(rows, name, defaults):
    assert rows[name]["defaults"] == defaults


@pytest.mark.parametrize("model", MODELS)
def test_a_model_takes_what_is_listed_for_it_and_refuses_the_rest(rows, model):
    for name, row in rows.items():
        value = next((value for value in row["defaults"].values() if value is not None), None)
        if value in (None, SETTINGS[name].off) or name == "model":
            continue
        recipe = make_recipe({"model": NAMES.get(model, model), name: row["defaults"].get(model, value)})
        if model in row["defaults"]:
            choosing.new_classifier(recipe)
        else:
            with pytest.raises(SettingError, match=f"has no setting {name}"):
                choosing.new_classifier(recipe)


def test_choices_are_those_that_a_recipe_allows(rows):
    assert rows["schedule"]["choices"] == ["constant", "cosine"]
    assert rows["epochs"]["choices"] is None


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_table_fits_the_terminal(columns, rows, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "results", Console(width=columns, highlight=False, soft_wrap=True))
    settings()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    told = " ".join(" ".join(lines).split())
    for row in rows.values():
        assert f"{row['option']} " in told
    assert "Whether a linear probe comes first:" in told


def test_json_is_for_programs(capsys):
    assert main(["settings", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {tuple(row) for row in told} == {("name", "option", "defaults", "choices", "allowed", "meaning")}
    assert [row["name"] for row in told if row["name"] == "on_nan"] == ["on_nan"]


def test_the_page_of_settings_is_the_one_that_the_command_writes(capsys):
    assert main(["settings", "--format", "markdown"]) == 0
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert capsys.readouterr().out == page.read_text(encoding="utf-8")


def test_the_help_of_train_names_settings_that_there_are(capsys):
    assert main(["train", "--help"]) == 0
    told = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    other = told.split("Any other setting, as key=value")[1].split("linnaea settings lists all.")[0]
    named = dict(re.findall(r"--([a-z][a-z-]+) ([^ ,;.]+)", other))
    assert {"repeats", "folds", "split-from", "group-column", "learning-curve", "dropout"} <= set(named)
    typed = {name.replace("-", "_"): value for name, value in named.items()}
    assert set(make_recipe(typed).model_dump()) >= set(typed)
