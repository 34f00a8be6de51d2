"""Linnaea trains picture classifiers on your own labelled pictures and says how far they can be believed."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Public names and where they live; imported on first use, so that `linnaea --help` answers at once.
_PUBLIC = {
    "MLPClassifier": "linnaea.classifiers.perceptron.classifier",
    "KerasMLPClassifier": "linnaea.classifiers.keras.classifier",
    "FineTuneClassifier": "linnaea.classifiers.finetune.classifier",
    "check_gradients": "linnaea.classifiers.perceptron.gradients",
    "open_dataset": "linnaea.data.sources",
    "load": "linnaea.commands.predict",
    "train": "linnaea.commands.train",
    "evaluate": "linnaea.commands.evaluate",
    "predict": "linnaea.commands.predict",
    "compare": "linnaea.commands.compare",
    "reproduce": "linnaea.commands.reproduce",
    "Recipe": "linnaea.runs.settings",
    "RunFolder": "linnaea.runs.folder",
    "LinnaeaError": "linnaea.errors",
}

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604 (built from the table above)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'linnaea' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
