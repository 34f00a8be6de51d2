"""linnaea recipes: the recipes that come with the package."""

from linnaea.commands import terminal
from linnaea.runs.recipes import load_recipe, recipe_names


def recipes() -> list[str]:
    """List the recipes that come with the package: linnaea train DATA --recipe NAME."""
    rows = []
    for name in recipe_names():
        file = load_recipe(name)
        settings = " ".join(f"{key}={_short(value)}" for key, value in file.settings.items())
        rows.append({"name": name, "title": file.title, "settings": settings})
    table = terminal.comparison_table(rows, {"name": "Recipe", "title": "Description"}, long=("title",))
    terminal.results.print(table)
    return recipe_names()


def _short(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
