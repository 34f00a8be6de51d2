"""A classifier on disk, and a training that can go on: arrays and plain JSON, never pickle."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as tensor_bytes

from linnaea.classifiers import saved
from linnaea.classifiers.contract import EpochRecord
from linnaea.classifiers.perceptron.course import Course
from linnaea.classifiers.perceptron.network import shapes_of
from linnaea.errors import DataError
from linnaea.files import write_bytes, write_json

FORMAT_VERSION = 1


def classes_as_json(classes: np.ndarray) -> list[Any]:
    """Return the classes as JSON values. Raises DataError for labels JSON has no word for."""
    values = classes.tolist()
    if not all(isinstance(value, (str, bool, int, float)) for value in values):
        raise DataError(
            f"Classes of type {type(values[0]).__name__} cannot be saved.",
            "Use strings or numbers as labels.",
        )
    return values


def parameters_as_json(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return get_params() as JSON values; a random_state that is not a number becomes None."""
    plain = {}
    for name, value in parameters.items():
        if name == "class_weight" and isinstance(value, dict):
            # JSON's keys are strings only: pairs keep a class that is a number a number.
            value = [[_plain(key), float(weight)] for key, weight in value.items()]
        elif isinstance(value, (tuple, list, np.ndarray)):
            value = [_plain(item) for item in value]
        plain[name] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, (str, bool, int, float, list)) else None


def parameters_from_json(plain: dict[str, Any]) -> dict[str, Any]:
    """Undo parameters_as_json."""
    parameters = dict(plain)
    for name, value in plain.items():
        if name == "class_weight" and isinstance(value, list):
            parameters[name] = dict(value)
        elif isinstance(value, list):
            parameters[name] = tuple(value)
    return parameters


def write(folder: Path, tensors: dict[str, np.ndarray], model: dict[str, Any]) -> None:
    """Write weights.safetensors and model.json; the weights first, so that a model.json always has some."""
    write_bytes(folder / "weights.safetensors", tensor_bytes(tensors))
    write_json(folder / "model.json", {"format_version": FORMAT_VERSION, "model": "mlp", **model})


def read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return what write wrote. Raises DataError, naming the file, for one that is missing or damaged."""
    path = folder / "model.json"
    try:
        model = saved.read_description(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} could not be read ({saved.brief(error)}).", "Save the model again."
        ) from error
    version = model.get("format_version") if isinstance(model, dict) else None
    if version != FORMAT_VERSION or model.get("model") != "mlp":
        told = f"model {model.get('model')!r}, format {version!r}" if isinstance(model, dict) else ""
        raise DataError(
            f"{path} is not a perceptron of format {FORMAT_VERSION}; received {saved.brief(told)}."
            if told
            else f"{path} is not a JSON object.",
            "Open it with the version of linnaea that made it.",
        )
    path = folder / "weights.safetensors"
    try:
        tensors = read_tensors(saved.read_content(path))
    # KeyError, TypeError, ImportError: numbers of a kind that NumPy lacks (bfloat16, 8 bits).
    except (OSError, ValueError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise DataError(
            f"{path} could not be read ({saved.brief(error)}).", "Save the model again."
        ) from error
    return tensors, model


def check_sizes(sizes: Sequence[int], dtype: str, tensors: dict[str, np.ndarray], folder: Path) -> None:
    """Raise DataError where a network of these sizes has other arrays than tensors: before it is made."""
    path = folder / "weights.safetensors"
    for i, (rows, columns) in enumerate(pairwise(sizes)):
        for name, shape in ((f"coefs.{i}", (rows, columns)), (f"intercepts.{i}", (columns,))):
            _check_array(path, name, shape, dtype, tensors)


def _check_array(
    path: Path, name: str, shape: tuple[int, ...], dtype: Any, tensors: dict[str, np.ndarray]
) -> None:
    tensor = tensors.get(name)
    if tensor is None or tensor.shape != shape or tensor.dtype != dtype:
        received = "nothing" if tensor is None else f"{tensor.dtype} {tensor.shape}"
        raise DataError(
            f"{path}: {name} should be {dtype} {shape}; received {received}.", "Save the model again."
        )


def fill(arrays: list[np.ndarray], kind: str, tensors: dict[str, np.ndarray], folder: Path) -> None:
    """Copy the tensors "kind.0", "kind.1" … into arrays.

    Raises DataError for one that is missing, has another shape or type, or is not finite.
    """
    path = folder / "weights.safetensors"
    for i, into in enumerate(arrays):
        name = f"{kind}.{i}"
        _check_array(path, name, into.shape, into.dtype, tensors)
        tensor = tensors[name]
        if not np.isfinite(tensor).all():
            raise DataError(f"{path}: {name} holds NaN or infinity.", "Save the model again.")
        into[...] = tensor


def course_as_state(
    course: Course, parameters: np.ndarray, history: list[EpochRecord], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return copies of the arrays, and the numbers, that a training goes on from."""
    arrays = {"parameters": parameters.copy()}
    arrays |= {f"solver.{name}": array.copy() for name, array in course.memory.items()}
    if course.best is not None:
        arrays["best"] = course.best.copy()
    values = {
        "seed": seed,
        "epoch": course.epoch,
        "step": course.step,
        "seconds": course.seconds,
        "solver_steps": course.solver_steps,
        "best_epoch": course.best_epoch,
        "history": [record.as_dict() for record in history],
    }
    return arrays, values


def course_from_state(
    arrays: dict[str, np.ndarray], values: dict[str, Any], sizes: Sequence[int], dtype: str
) -> tuple[Course, np.ndarray, list[EpochRecord], int]:
    """Undo course_as_state, with copies of the arrays: the course, the parameters, the history, the seed.

    Raises DataError for a state with pieces missing, or of a network that has not these sizes and dtype.
    """
    expected = sum(rows * columns for rows, columns in shapes_of(sizes))
    for name, array in arrays.items():
        if array.shape != (expected,) or array.dtype != dtype:
            raise DataError(
                f"The training state holds {array.size:,} {array.dtype} numbers as {name!r}; "
                f"this network has {expected:,} {dtype} parameters.",
                "Go on with the settings and the classes the training began with.",
            )
    try:
        history = [EpochRecord(**record) for record in values["history"]]
        course = Course(
            epoch=values["epoch"],
            step=values["step"],
            seconds=values["seconds"],
            solver_steps=values["solver_steps"],
            memory={
                n.removeprefix("solver."): a.copy() for n, a in arrays.items() if n.startswith("solver.")
            },
        )
        if "best" in arrays:
            course.best, course.best_epoch = arrays["best"].copy(), values["best_epoch"]
            course.best_score = Course.score(history[course.best_epoch])
        return course, arrays["parameters"].copy(), history, values["seed"]
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"The training state is incomplete ({type(error).__name__}: {error}).",
            "Start the training again without it.",
        ) from error
