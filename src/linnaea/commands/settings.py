"""linnaea settings: every setting of a training, its default, and the models that have it."""

from typing import Any, Literal

from rich.padding import Padding
from rich.text import Text

from linnaea.commands import terminal
from linnaea.settings import MODELS, SECTIONS, Setting

NARROW = 64  # columns; in fewer the meaning stands below its setting, not beside it
WIDE = 21  # columns of a default; the models go below what would be wider
_NOTES = {
    "Use": "linnaea train DATA --dropout 0.5, or --set dropout=0.5; in a recipe: dropout = 0.5",
    "( )": "the models that have the setting, or have this default; pretrained: all but mlp and keras",
    "–": "off, or found for the data and the network at hand",
}


def settings(*, format: Literal["table", "json", "markdown"] = "table") -> list[dict[str, Any]]:
    """List every setting of train: its option, its default, and the models that have it.

    Each is an option of `linnaea train` by its name, an entry of a recipe file, and a key of settings={…} in
    Python.

    Parameters
    ----------
    format
        Output format: table for people; json for programs, a list of {"name", "option", "defaults",
        "choices", "allowed", "meaning"} with the defaults by model; markdown, the page docs/settings.md.
    """
    rows = every_setting()
    if format == "json":
        terminal.print_json([{key: row[key] for key in row if key != "section"} for row in rows])
        return rows
    if format == "markdown":
        terminal.results.print(as_markdown(rows), markup=False, end="", soft_wrap=True)
        return rows
    for section in dict.fromkeys(row["section"] for row in rows):
        _show(section, [row for row in rows if row["section"] == section], rows)
    for word, note in _NOTES.items():
        terminal.print_line(word, note)
    return rows


def every_setting() -> list[dict[str, Any]]:
    """Return the settings of a recipe, those of a section in a row.

    defaults: dict
        The kind of model → its default as a shell takes it; None where there is none, or where it depends on
        the data or the network.
    choices: list of str or None
        The values that are allowed, where they are words.
    allowed: str
        The same, or the range, in words.
    """
    return [
        {
            "section": section,
            "name": setting.name,
            "option": f"--{setting.name.replace('_', '-')}",
            "defaults": {model: _plain(setting, setting.default_of(model)) for model in setting.models},
            "choices": list(setting.choices_of(None)) or None,
            "allowed": setting.allowed(),
            "meaning": setting.help,
        }
        for section, settings in SECTIONS.items()
        for setting in settings
        if setting.scope != "python"
    ]


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the whole of docs/settings.md."""
    lines = [
        "# Every setting",
        "",
        "Each is an option of `linnaea train` (`--batch-size 32`), an entry under `[settings]` of a recipe "
        "file (`batch_size = 32`) and a key of `settings={…}` in Python. `mlp` and `keras` are perceptrons, "
        "`pretrained` is every other network. A dash as default means: off, or found for the data and the "
        "network at hand.",
        "",
        "This page is written by `linnaea settings --format markdown`.",
    ]
    for section in dict.fromkeys(row["section"] for row in rows):
        lines += ["", f"## {section}", "", _HEAD, "|---|---|---|---|---|"]
        for row in rows:
            if row["section"] == section:
                cells = [
                    f"`{row['name']}`",
                    "all" if len(row["defaults"]) == len(MODELS) else ", ".join(row["defaults"]),
                    "<br>".join(_defaults(row["defaults"])),
                    row["allowed"],
                    row["meaning"],
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_HEAD = "| Setting | Models | Default | Allowed | Meaning |"


def _plain(setting: Setting, value: Any) -> Any:
    """Return a default as a shell takes it: times with their unit, sizes joined by commas."""
    if value is None or setting.kind not in ("units", "seconds"):
        return setting.as_recorded(value)
    return ",".join(map(str, value)) if setting.kind == "units" else f"{value:g}s"


def _show(section: str, rows: list[dict[str, Any]], every: list[dict[str, Any]]) -> None:
    """Print the settings of one section below its heading, aligned with those of the others."""
    terminal.results.print(Text(section, style="bold"))
    if terminal.results.width < NARROW:
        for row in rows:
            head = f"{row['option']}  {', '.join(_defaults_with_models(row['defaults']))}"
            terminal.results.print(Padding(Text(head), (0, 0, 0, 2)), soft_wrap=False)
            terminal.results.print(Padding(Text(_meaning(row), style="dim"), (0, 0, 0, 4)), soft_wrap=False)
        return
    wide = [max(len(row["option"]) for row in every), WIDE]
    table = terminal.new_table(show_header=False)
    for width in wide:
        table.add_column(min_width=width, no_wrap=True)
    table.add_column()
    for row in rows:
        defaults = [
            line if len(line) <= WIDE else line.replace(" (", "\n(")
            for line in _defaults_with_models(row["defaults"])
        ]
        table.add_row(row["option"], Text("\n".join(defaults)), Text(_meaning(row)))
    terminal.results.print(Padding(table, (0, 0, 1, 2)))


def _meaning(row: dict[str, Any]) -> str:
    """Return the help, and the allowed words that it does not name."""
    words, meaning = row["choices"] or [], row["meaning"]
    return meaning if all(word in meaning for word in words) else f"{meaning} One of {', '.join(words)}."


def _defaults(defaults: dict[str, Any]) -> list[str]:
    """Return the default in words; where models differ, each with its models: "20 (mlp, keras)"."""
    models: dict[str, list[str]] = {}
    for model, value in defaults.items():
        models.setdefault(_written(value), []).append(model)
    if len(models) == 1:
        return list(models)
    return [f"{value} ({', '.join(names)})" for value, names in models.items()]


def _defaults_with_models(defaults: dict[str, Any]) -> list[str]:
    """Return the same, with its models wherever not all have the setting."""
    lines = _defaults(defaults)
    if len(lines) > 1 or len(defaults) == len(MODELS):
        return lines
    return [f"{lines[0]} ({', '.join(defaults)})"]


def _written(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
