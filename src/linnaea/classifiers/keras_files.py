"""A Keras network on disk: weights.safetensors and model.json, never pickle, never Keras' own archive."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_safetensors

from linnaea import files
from linnaea.errors import RunError

FORMAT_VERSION = 1
WEIGHTS, MODEL = "weights.safetensors", "model.json"


def write(folder: Path, arrays: dict[str, np.ndarray], description: dict[str, Any]) -> None:
    """Write the arrays and the description into folder."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    files.write_bytes(folder / WEIGHTS, to_safetensors(contiguous))
    files.write_json(folder / MODEL, {"format_version": FORMAT_VERSION, **description})


def read(folder: Path, model: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return (arrays, description) as write was given them.

    Raises RunError, naming the file, where one is missing, damaged, of a newer format or of another model.
    """
    return _arrays(folder / WEIGHTS), _description(folder / MODEL, model)


def plain(value: Any) -> Any:
    """Return settings as JSON has them: NumPy's numbers become Python's, tuples lists, keys text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    return value


def expected_shapes(sizes: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return name → shape of the weights of a network with these sizes, inputs and classes included."""
    names = [*(f"hidden_{number}" for number in range(1, len(sizes) - 1)), "output"]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inputs, outputs in zip(names, sizes[:-1], sizes[1:], strict=True):
        shapes |= {f"{name}.kernel": (inputs, outputs), f"{name}.bias": (outputs,)}
    return shapes


def unknown_settings(folder: Path, names: Sequence[str]) -> RunError:
    """Return the error for settings that this version does not know."""
    return RunError(f"{folder / MODEL} has settings unknown here ({', '.join(names)}).", "Update linnaea.")


def check_arrays(folder: Path, arrays: dict[str, np.ndarray], expected: dict[str, tuple[int, ...]]) -> None:
    """Raise RunError where the arrays' names or shapes are not those of the network."""
    path = folder / WEIGHTS
    missing, foreign = sorted(expected.keys() - arrays.keys()), sorted(arrays.keys() - expected.keys())
    if missing or foreign:
        raise RunError(
            f"{path} does not hold this network's weights (missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(foreign) or 'none'}).",
            f"Restore it together with {MODEL}, or train again.",
        )
    for name, shape in expected.items():
        if arrays[name].shape != shape or arrays[name].dtype != np.float32:
            raise RunError(
                f"{path}: {name} must be float32 {shape}; found {arrays[name].dtype} {arrays[name].shape}.",
                f"Restore it together with {MODEL}, or train again.",
            )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing.", "Restore it, or train again.") from error
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read ({error}).", "Restore it, or train again.") from error


def _description(path: Path, model: str) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing.", "Restore it, or train again.") from error
    except (ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read ({error}).", "Restore it, or train again.") from error
    missing = [key for key in ("classes", "n_features_in", "parameters") if key not in dict(description)]
    if missing:
        raise RunError(f"{path} lacks {', '.join(missing)}.", "Restore it, or train again.")
    if description.get("model") != model:
        raise RunError(
            f"{path} describes a model '{description.get('model')}', not '{model}'.",
            "Load it with linnaea.load, which looks first.",
        )
    version = description.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise RunError(
            f"{path} was written in format {version}; this version reads up to {FORMAT_VERSION}.",
            "Update linnaea.",
        )
    return description
