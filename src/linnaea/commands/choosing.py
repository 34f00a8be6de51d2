"""From what a person asks for to an unfitted classifier: recipe, options, defaults."""

from dataclasses import dataclass, field
from typing import Any

from linnaea.classifiers.contract import classifier_class
from linnaea.errors import SettingError
from linnaea.runs.recipes import load_recipe
from linnaea.runs.settings import Recipe, make_recipe

# Settings that say which pictures are learned from; all others belong to the network and its training.
DATA_SETTINGS = {"model", "split", "validation", "size", "colour", "test_curve"}
# Where the command line has a shorter name than scikit-learn's convention.
PARAMETERS = {"hidden": "hidden_layer_sizes", "seed": "random_state"}


@dataclass(frozen=True)
class Chosen:
    """A recipe with the name it came under, and what was reported for it."""

    recipe: Recipe
    name: str | None = None
    reported: dict[str, float] = field(default_factory=dict)


def resolve_recipe(name: str | None, asked: dict[str, Any]) -> Chosen:
    """Return the recipe of that name with the asked settings on top; without a name, the model's defaults."""
    if name is None:
        return Chosen(make_recipe(asked))
    file = load_recipe(name)
    return Chosen(make_recipe({**file.settings, **asked}), file.name, file.reported)


def new_classifier(recipe: Recipe) -> Any:
    """Return the unfitted classifier.

    Raises SettingError naming every setting that this model does not have.
    """
    cls = classifier_class(recipe.model)
    known = set(cls().get_params())
    asked = {
        name: value
        for name, value in recipe.model_dump(exclude_none=True).items()
        if name not in DATA_SETTINGS and (name, value) != ("augment", "none")
    }
    foreign = [name for name in asked if PARAMETERS.get(name, name) not in known]
    if foreign:
        raise SettingError(
            f"The model {recipe.model} has no setting {' and no setting '.join(foreign)}.",
            "Leave it out, or choose another --model.",
        )
    return cls(**{PARAMETERS.get(name, name): value for name, value in asked.items()})


def used_settings(classifier: Any) -> dict[str, Any]:
    """Return the settings that were really used, defaults resolved, under the recipe's names."""
    names = {parameter: name for name, parameter in PARAMETERS.items()}
    used = {names.get(name, name): value for name, value in classifier.get_params().items()}
    return {name: value for name, value in used.items() if name in Recipe.model_fields}
