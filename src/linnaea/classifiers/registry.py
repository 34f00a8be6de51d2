"""The registry of the models: a name → its class. The only place that knows every kind of classifier."""

import importlib
from typing import Any

from linnaea.errors import DataError, UsageError, did_you_mean

CLASSIFIERS = {
    "mlp": "linnaea.classifiers.perceptron.classifier:MLPClassifier",
    "keras": "linnaea.classifiers.keras.classifier:KerasMLPClassifier",
}
# Every other model is a backbone, by its name, or AUTO: whichever backbone suits the pictures. Until they are
# opened, and where settings are meant for one, DEFAULT_BACKBONE, whose weights are installed.
AUTO, DEFAULT_BACKBONE = "auto", "efficientnet_lite0"
FINETUNE = "linnaea.classifiers.finetune.classifier:FineTuneClassifier"


def classifier_class(model: str) -> Any:
    """Return the class behind a model's name; imported only now, because it may be heavy.

    Raises UsageError, with the nearest names, for a model that is not known.
    """
    if model not in (*CLASSIFIERS, AUTO):
        _check_backbone(model)
    return _class_at(CLASSIFIERS.get(model, FINETUNE))


def saved_class(kind: str) -> Any:
    """Return the class that wrote a model.json of this kind: mlp, keras or finetune.

    Raises DataError for any other.
    """
    known = {**CLASSIFIERS, "finetune": FINETUNE}
    if kind not in known:
        kind = kind[:100]
        raise DataError(f"There is no saved model of the kind '{kind}'.", did_you_mean(kind, known))
    return _class_at(known[kind])


def new_classifier(model: str, **settings: Any) -> Any:
    """Return an unfitted classifier of that model. Raises UsageError as classifier_class does."""
    cls = classifier_class(model)
    if model == AUTO:
        return cls(DEFAULT_BACKBONE, **settings)
    return cls(**settings) if model in CLASSIFIERS else cls(model, **settings)


def _class_at(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def _check_backbone(model: str) -> None:
    near = did_you_mean(model, CLASSIFIERS)
    if near.startswith("Did you"):
        raise UsageError(f"There is no model '{model}'.", near)
    from linnaea.classifiers.finetune.backbones import resolve

    try:
        resolve(model)
    except UsageError as error:
        raise UsageError(f"There is no model '{model}'.", error.cure) from error
