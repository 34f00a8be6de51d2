"""Recipe: the settings that somebody asked for, checked before any data is read."""

from dataclasses import field, make_dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic import ConfigDict, PlainValidator, ValidationError, create_model

from linnaea.errors import SettingError
from linnaea.settings import PERCEPTRONS, SECTIONS, SETTINGS, Setting, unknown_setting

# pydantic calls each setting on its own value, and collects what all of them refuse.
_fields: Any = {
    name: (Annotated[Any, PlainValidator(setting.read)], setting.unasked)
    for name, setting in SETTINGS.items()
}
_Checked: Any = create_model(
    "_Checked",
    __config__=ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True),
    **_fields,
)


class Recipe(_Checked):
    """How a network is trained: every setting of linnaea.settings by its name.

    None means that nobody asked: the default is then the model's own, or found with the data.

    Raises SettingError with every fault in one message: the setting, what was received, what is allowed.
    """

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**{name: value for name, value in settings.items() if value is not None})
        except ValidationError as error:
            sentences = [_sentence(fault) for fault in error.errors()]
            raise SettingError(" ".join(dict.fromkeys(sentences))) from error


def make_recipe(settings: dict[str, Any]) -> Recipe:
    """Return the checked recipe of settings by name. Raises SettingError as Recipe does."""
    return Recipe(**settings)


def _sentence(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return unknown_setting(str(fault["loc"][0]))
    return str(fault["ctx"]["error"])


def recorded_settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the settings in a run.json, of whatever format, as make_recipe takes them.

    Before there was `keep`, a perceptron kept the best epoch only where it had patience; patience=0 was how
    to ask for the last.
    """
    settings = {name: value for name, value in recipe.items() if name in SETTINGS}
    if settings.get("patience") == 0 and settings.get("model") in PERCEPTRONS:
        settings = {"keep": "last"} | settings
    return settings


def parse_assignments(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return {"dropout": "0.5"} for ("dropout=0.5",); the recipe turns the text into the setting's kind."""
    pairs = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise SettingError(
                f"--set takes key=value; received '{assignment}'.", "Write, for example, --set dropout=0.5."
            )
        pairs[key.strip()] = value.strip()
    return pairs


def _option(setting: Setting, group: Group) -> Parameter:
    """Return how the help shows an option; its value stays the word that was typed."""
    words = setting.choices_of(None) if setting.kind == "choice" else ()
    choices = f" [choices: {', '.join(words)}]" if words else ""
    kind = {"choice": "CHOICE", "integer": "INT", "number": "FLOAT"}.get(setting.kind)
    return Parameter(help=setting.help + choices, group=group, metavar=kind)


_GROUPS = {section: Group.create_ordered(section) for section in SECTIONS}  # panels of the help
# The options of `linnaea train`: the common settings, all optional, as text. Reading them is left to Recipe,
# which names every fault at once.
CommonSettings: Any = make_dataclass(
    "CommonSettings",
    [
        (setting.name, Annotated[str | None, _option(setting, _GROUPS[section])], field(default=None))
        for section, settings in SECTIONS.items()
        for setting in settings
        if setting.option
    ],
)
CommonSettings.__module__ = __name__  # cyclopts resolves the fields' types in the module of their class
