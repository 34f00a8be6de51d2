"""Recipes are data files: settings with a title, a reason, and the numbers reported for them."""

import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from linnaea.errors import UsageError, did_you_mean
from linnaea.runs.settings import make_recipe


@dataclass(frozen=True)
class RecipeFile:
    """One recipe as it stands on disk.

    name: str
        The file's name without .toml.
    title, about: str
        For people.
    settings: dict
        Checked against Recipe.
    reported: dict of float
        Metric → what the source reported, such as {"accuracy": 0.9454}.
    """

    name: str
    title: str
    about: str
    settings: dict[str, Any]
    reported: dict[str, float] = field(default_factory=dict)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("linnaea.runs") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_recipe(name: str) -> RecipeFile:
    """Return the recipe of that name, or from the TOML file of that path.

    Raises UsageError for an unknown name, a file that is not TOML, or unknown tables; SettingError for
    settings.
    """
    if name in recipe_names():
        text = (resources.files("linnaea.runs") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The recipe {name} cannot be read ({error}).") from error
    else:
        raise UsageError(f"There is no recipe '{name}'.", did_you_mean(name, recipe_names()))
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"The recipe {name} is not TOML ({error}).") from error
    unknown = set(content) - {"title", "about", "settings", "reported"}
    if unknown or not isinstance(content.get("settings", {}), dict):
        raise UsageError(
            f"The recipe {name} contains {', '.join(sorted(unknown)) or 'no table [settings]'}.",
            "A recipe may contain title, about, [settings] and [reported].",
        )
    settings = content.get("settings", {})
    make_recipe(settings)
    return RecipeFile(
        name=Path(name).stem if name.endswith(".toml") else name,
        title=content.get("title", name),
        about=content.get("about", ""),
        settings=settings,
        reported=content.get("reported", {}),
    )
