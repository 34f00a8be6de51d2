"""linnaea settings: every setting of a training, its default, and which models have it."""

from typing import Any, Literal, get_args

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from linnaea.classifiers import contract
from linnaea.commands import choosing, terminal
from linnaea.commands.study import PICTURE_SIZE, VALIDATION
from linnaea.runs.durations import parse_duration
from linnaea.runs.settings import Recipe

# One name for each kind of model; every backbone has the settings of the default one.
PRETRAINED = "pretrained"
MODELS = {"mlp": "mlp", "keras": "keras", PRETRAINED: contract.DEFAULT_BACKBONE}
# What no classifier knows, because it is settled before there is one.
SETTLED_BEFORE: dict[str, dict[str, Any]] = {
    "validation": dict.fromkeys(MODELS, VALIDATION),
    "size": {"mlp": PICTURE_SIZE, "keras": PICTURE_SIZE, PRETRAINED: None},
    "model": dict.fromkeys(MODELS),
}
NARROW = 64  # columns; in fewer the meaning stands below its setting, not beside it


def settings(*, format: Literal["table", "json"] = "table") -> list[dict[str, Any]]:
    """List every setting of train: its option, its default, and which models have it.

    Each is an option of `linnaea train` by its name, an entry of a recipe file, and a key of settings={…} in
    Python.

    Parameters
    ----------
    format
        table for people; json for programs: a list of {"name", "option", "defaults", "choices", "meaning"},
        defaults by model.
    """
    rows = every_setting()
    if format == "json":
        terminal.print_json([{key: row[key] for key in row if key != "group"} for row in rows])
        return rows
    for group in dict.fromkeys(row["group"] for row in rows):
        _show(group, [row for row in rows if row["group"] == group], rows)
    terminal.say("Use", "linnaea train DATA --dropout 0.5, or --set dropout=0.5; in a recipe: dropout = 0.5")
    terminal.say("–", "off, or found for the data and the network at hand")
    return rows


def every_setting() -> list[dict[str, Any]]:
    """Return the fields of Recipe, those that belong together in a row.

    group: str
        Which models have the setting, as a heading.
    defaults: dict
        The model → its default; None where there is none, or where it depends on the data.
    choices: list of str or None
        The values that are allowed, where they are words.
    """
    own = {model: _parameters(name) for model, name in MODELS.items()}
    rows = []
    for name, field in Recipe.model_fields.items():
        having = [model for model in MODELS if name in choosing.DATA_SETTINGS or name in own[model]]
        defaults = SETTLED_BEFORE.get(name) or {
            model: own[model].get(name) if field.default is None else field.default for model in having
        }
        rows.append(
            {
                "group": _group(name, having),
                "name": name,
                "option": f"--{name.replace('_', '-')}",
                "defaults": {model: _plain(field, value) for model, value in defaults.items()},
                "choices": _choices(field.annotation) or None,
                "meaning": field.description,
            }
        )
    return sorted(rows, key=lambda row: _GROUPS.index(row["group"]))


_GROUPS = ["Pictures, parts and runs", "Every model", "Perceptrons (mlp, keras)", "mlp alone", "Pretrained"]


def _group(name: str, having: list[str]) -> str:
    if name in choosing.DATA_SETTINGS:
        return _GROUPS[0]
    known = {tuple(MODELS): _GROUPS[1], ("mlp", "keras"): _GROUPS[2], ("mlp",): _GROUPS[3]}
    return known.get(tuple(having), _GROUPS[4])


def _parameters(model: str) -> dict[str, Any]:
    """Return the settings of an unfitted classifier with their defaults, under the recipe's names."""
    return choosing.used_settings(contract.new_classifier(model))


def _plain(field: Any, value: Any) -> Any:
    """Return a default as a shell takes it: times with their unit, sizes joined by commas."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    timed = any(getattr(rule, "func", None) is parse_duration for rule in field.metadata)
    return f"{value:g}s" if timed and value is not None else value


def _choices(annotation: Any) -> list[str]:
    """Return the words that a type allows, from within an Optional too."""
    inner = get_args(annotation)
    if inner and all(isinstance(choice, str) for choice in inner):
        return list(inner)
    return [choice for part in inner for choice in _choices(part)]


def _show(group: str, rows: list[dict[str, Any]], every: list[dict[str, Any]]) -> None:
    """Print the settings of one group below its heading, aligned with those of the others."""
    terminal.results.print(Text(group, style="bold"))
    if terminal.results.width < NARROW:
        for row in rows:
            head = f"{row['option']}  {_default(row['defaults'])}".replace("\n", ", ")
            terminal.results.print(Padding(Text(head), (0, 0, 0, 2)), soft_wrap=False)
            terminal.results.print(Padding(Text(_meaning(row), style="dim"), (0, 0, 0, 4)), soft_wrap=False)
        return
    wide = [max(len(row["option"]) for row in every)]
    wide.append(max(len(line) for row in every for line in _default(row["defaults"]).split("\n")))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for width in wide:
        table.add_column(min_width=width, no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(row["option"], Text(_default(row["defaults"])), Text(_meaning(row)))
    terminal.results.print(Padding(table, (0, 0, 1, 2)))


def _meaning(row: dict[str, Any]) -> str:
    return row["meaning"] + (f" One of {', '.join(row['choices'])}." if len(row["choices"] or ()) > 1 else "")


def _default(defaults: dict[str, Any]) -> str:
    """Return the default in words; where models differ a line for each: "20 (mlp, keras)"."""
    models: dict[str, list[str]] = {}
    for model, value in defaults.items():
        models.setdefault(_written(value), []).append(model)
    if len(models) == 1:
        return next(iter(models))
    return "\n".join(f"{value} ({', '.join(names)})" for value, names in models.items())


def _written(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
