"""From the user's options to an unfitted classifier: recipe, options, defaults."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from linnaea.classifiers import registry
from linnaea.errors import SettingError
from linnaea.runs.recipes import load_recipe
from linnaea.runs.settings import Recipe, make_recipe
from linnaea.settings import PERCEPTRONS, SETTINGS, names
from linnaea.text import option, plural

# For small pictures that live in memory a perceptron, for photographs a pretrained network.
IN_MEMORY = ("digits", "mnist")
# Pictures no larger than this on either side, and grey, are digits and letters, no photographs: pixels.
TINY = 32
# Mean difference between the strongest and the weakest of R, G and B, of 255: what a JPEG adds to grey.
GREY = 2.0
# Pictures that this is estimated on.
SAMPLE = 20


@dataclass(frozen=True)
class Chosen:
    """A recipe with the name it came under, and what was reported for it.

    opened: dict
        How the pictures were asked for, so that they can be opened again: data, data_dir, strict, and
        the folder that relative paths start from.
    by_default: bool
        Whether nobody named the model.
    """

    recipe: Recipe
    name: str | None = None
    reported: dict[str, float] = field(default_factory=dict)
    opened: dict[str, Any] = field(default_factory=dict)
    by_default: bool = False


def resolve_recipe(name: str | None, asked: dict[str, Any], data: str) -> Chosen:
    """Return the recipe of that name with the asked settings on top; without a name, the model's defaults."""
    if name is None:
        recipe = make_recipe({"model": _default_model(asked, data), **asked})
        return Chosen(recipe, by_default="model" not in asked)
    file = load_recipe(name)
    settings = {**file.settings, **asked}
    recipe = make_recipe({"model": _default_model(settings, data), **settings})
    return Chosen(recipe, file.name, file.reported, by_default="model" not in settings)


def _default_model(settings: dict[str, Any], data: str) -> str:
    # Who names hidden units, or what becomes of them, means a perceptron, whatever the pictures are.
    if data in IN_MEMORY or settings.keys() & names(models=PERCEPTRONS, option=True):
        return "mlp"
    return registry.DEFAULT_BACKBONE if _of_one_network(settings) else registry.AUTO


def _of_one_network(settings: dict[str, Any]) -> list[str]:
    """Return the settings that make sense for one network only: its weights, one of its stages."""
    common = {"weights": ("hub",), "train_from": ("all", "head")}
    return [name for name, usual in common.items() if settings.get(name) not in (None, *usual)]


def hint(chosen: Chosen, photographs: Sequence[np.ndarray] | None) -> str:
    """Return a sentence for a user whose pictures a perceptron would suit; "" for all others.

    photographs: uint8 (height, width, 3), as a pretrained network takes them; None for a perceptron's. Only
    where nobody named the model: it stays the one that was chosen.
    """
    if photographs is None or not chosen.by_default:
        return ""
    rows = np.unique(np.linspace(0, len(photographs) - 1, SAMPLE).round().astype(int))
    side = 0
    for row in rows.tolist():
        picture = photographs[row]
        side = max(side, *picture.shape[:2])
        if side > TINY or np.ptp(picture.astype(np.int16), axis=2).mean() > GREY:
            return ""
    return (
        f"These pictures are grey and at most {side} pixels a side: they suit a perceptron, which learns "
        f"from them in seconds. Try --hidden 100 --size {side}."
    )


def new_classifier(recipe: Recipe) -> Any:
    """Return the unfitted classifier.

    Raises SettingError naming every setting that this model does not have, or one whose value it refuses.
    """
    if recipe.model == registry.AUTO and (meant := _of_one_network(recipe.model_dump())):
        raise SettingError(
            f"{' and '.join(map(option, meant))} {plural(len(meant), 'goes', 'go')} with one network, and "
            f"{option('model', registry.AUTO)} chooses among several; received both.",
            f"Name the network that is meant with {option('model')}.",
        )
    unset = registry.new_classifier(recipe.model)
    parameters = unset.get_params()
    asked = {SETTINGS[name]: value for name, value in recipe.model_dump(exclude_none=True).items()}
    foreign = [
        setting.name
        for setting, value in asked.items()
        if setting.scope != "run" and setting.parameter_name not in parameters and value != setting.off
    ]
    if foreign:
        raise SettingError(
            f"The model {recipe.model} has no setting {' and no setting '.join(foreign)}.",
            f"Leave it out, or choose another {option('model')}.",
        )
    chosen = unset.set_params(
        **{
            setting.parameter_name: setting.as_parameter(value)
            for setting, value in asked.items()
            if setting.parameter_name in parameters
        }
    )
    chosen.check_settings()
    if chosen.takes_photographs and recipe.model != registry.AUTO:
        # So that the run says what was done, and a later version with other defaults repeats it.
        chosen.set_params(**chosen.suited())
    return chosen


def refuse_beside_folds(recipe: Recipe) -> None:
    """Raise SettingError for what no number of runs can do, before any data is read."""
    if recipe.repeats and recipe.folds:
        raise SettingError(
            f"repeats is {recipe.repeats} and folds is {recipe.folds}; runs are either repeats or folds.",
            "Leave one of them out.",
        )
    if recipe.folds and recipe.split_from:
        raise SettingError(
            f"folds is {recipe.folds} and split_from is {recipe.split_from}; folds are drawn anew.",
            "Leave one of them out.",
        )


def refuse_beside_budget(recipe: Recipe) -> None:
    """Raise SettingError naming what the plan of a budget would override, or has no time for."""
    if recipe.budget is not None and recipe.learning_curve:
        raise SettingError(
            f"A learning curve takes time that a {option('budget')} does not plan for; received both.",
            f"Leave out {option('budget')}, or {option('learning_curve')}.",
        )
    decided = [option(name) for name in names(planned=True) if getattr(recipe, name) is not None]
    if recipe.budget is not None and decided:
        raise SettingError(
            f"With {option('budget')} the plan decides {' and '.join(decided)}; received both.",
            f"Leave out {option('budget')}, or {' and '.join(decided)}.",
        )


def used_settings(classifier: Any) -> dict[str, Any]:
    """Return the settings that were really used, defaults resolved, under the recipe's names.

    Of a classifier that was fitted to a budget: with what its plan came to.
    """
    plan = classifier.plan_
    used = classifier.get_params() | ({} if plan is None else plan.settings)
    return {
        name: setting.as_recorded(used[setting.parameter_name])
        for name, setting in SETTINGS.items()
        if setting.parameter_name in used
    }
