"""Keras, imported at the last moment and on the right backend."""

import os
from types import ModuleType

from linnaea.errors import LinnaeaError, MissingExtraError


def keras_network() -> ModuleType:
    """Return the module keras_network, which imports Keras: it takes seconds, and Keras is an extra.

    Raises MissingExtraError without Keras, LinnaeaError without the backend that KERAS_BACKEND names.
    """
    # Keras looks for TensorFlow unless told otherwise, and it looks only once, when it is imported.
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        from linnaea.classifiers import keras_network
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise MissingExtraError("Keras", "keras") from error
        raise LinnaeaError(
            f"Keras' backend '{os.environ['KERAS_BACKEND']}' cannot be imported ({error}).",
            "Install it, or set KERAS_BACKEND=torch.",
        ) from error
    return keras_network
