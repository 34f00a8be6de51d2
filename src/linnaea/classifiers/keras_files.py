"""A Keras network on disk: its weights by name, checked before they are believed; never pickle."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors

from linnaea.classifiers.perceptron.network import shapes_of
from linnaea.classifiers.perceptron.solvers import views
from linnaea.classifiers.perceptron.state import FORMAT_VERSION
from linnaea.errors import DataError

CURE = "Restore the file, or train again."


def named(sizes: Sequence[int], flat: np.ndarray) -> dict[str, np.ndarray]:
    """Return views of the flat weights by name: hidden_1.kernel (inputs, units), hidden_1.bias (units,), …

    sizes: the widths, inputs and classes included; the last layer is called output.
    """
    pieces = iter(views(flat, shapes_of(sizes)))
    layers = [*(f"hidden_{number}" for number in range(1, len(sizes) - 1)), "output"]
    arrays = {}
    for layer in layers:
        arrays[f"{layer}.kernel"], arrays[f"{layer}.bias"] = next(pieces), next(pieces)[0]
    return arrays


def read_description(folder: Path) -> dict[str, Any]:
    """Return model.json. Raises DataError where it is missing, damaged or describes something else."""
    path = folder / "model.json"
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} could not be read ({error}).", CURE) from error
    found = (model.get("model"), model.get("format_version")) if isinstance(model, dict) else (None, None)
    if found != ("keras", FORMAT_VERSION):
        raise DataError(
            f"{path} is not a Keras network of format {FORMAT_VERSION}; "
            f"received model {found[0]!r}, format {found[1]!r}.",
            "Open it with the version of linnaea that made it.",
        )
    return model


def read_weights(folder: Path, sizes: Sequence[int]) -> np.ndarray:
    """Return the flat float32 weights of a network with these sizes.

    Raises DataError where weights.safetensors is missing, damaged, or holds other names or shapes.
    """
    path = folder / "weights.safetensors"
    try:
        arrays = read_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} could not be read ({error}).", CURE) from error
    flat = np.zeros(sum(rows * columns for rows, columns in shapes_of(sizes)), np.float32)
    wanted = named(sizes, flat)
    missing, foreign = sorted(wanted.keys() - arrays.keys()), sorted(arrays.keys() - wanted.keys())
    if missing or foreign:
        raise DataError(
            f"{path} does not hold this network's weights (missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(foreign) or 'none'}).",
            CURE,
        )
    for name, into in wanted.items():
        array = arrays[name]
        if array.shape != into.shape or array.dtype != into.dtype:
            raise DataError(
                f"{path}: {name} must be {into.dtype} {into.shape}; found {array.dtype} {array.shape}.", CURE
            )
        into[...] = array
    return flat
