"""Linnaea trains picture classifiers on your own labelled pictures and says how far they can be believed."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from linnaea.classifiers.finetune.classifier import FineTuneClassifier
    from linnaea.classifiers.keras.classifier import KerasMLPClassifier
    from linnaea.classifiers.perceptron.classifier import MLPClassifier
    from linnaea.classifiers.perceptron.gradients import check_gradients
    from linnaea.commands.compare import compare
    from linnaea.commands.evaluate import evaluate
    from linnaea.commands.predict import load, predict
    from linnaea.commands.reproduce import reproduce
    from linnaea.commands.train import train
    from linnaea.data.sources import open_dataset
    from linnaea.errors import LinnaeaError
    from linnaea.runs.folder import RunFolder
    from linnaea.runs.settings import Recipe

__version__ = "0.1.0"

# OpenMP's threads wait for each other at the end of every layer. As a rule they spin meanwhile, which on a
# busy computer takes the processor from the very thread that they wait for: a training was ten times as slow
# beside three other programs. Read once, when torch is loaded: so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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

__all__ = [
    "FineTuneClassifier",
    "KerasMLPClassifier",
    "LinnaeaError",
    "MLPClassifier",
    "Recipe",
    "RunFolder",
    "__version__",
    "check_gradients",
    "compare",
    "evaluate",
    "load",
    "open_dataset",
    "predict",
    "reproduce",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return globals().setdefault(name, getattr(importlib.import_module(_PUBLIC[name]), name))
    raise AttributeError(f"module 'linnaea' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
