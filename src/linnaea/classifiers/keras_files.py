"""A Keras network on disk, and a training that can go on: arrays by name and plain JSON, never pickle."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors

from linnaea.classifiers import saved
from linnaea.classifiers.contract import EpochRecord
from linnaea.classifiers.perceptron.course import Course
from linnaea.classifiers.perceptron.state import FORMAT_VERSION
from linnaea.errors import DataError

CURE = "Restore the file, or train again."


def named(sizes: Sequence[int], flat: np.ndarray) -> dict[str, np.ndarray]:
    """Return views of the flat weights by name: hidden_1.kernel (inputs, units), hidden_1.bias (units,), …

    sizes: the widths, inputs and classes included; the last layer is called output.
    """
    arrays, end = {}, 0
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        layer = f"hidden_{number}" if number < len(sizes) - 1 else "output"
        for name, shape in ((f"{layer}.kernel", (inputs, outputs)), (f"{layer}.bias", (outputs,))):
            start, end = end, end + math.prod(shape)
            arrays[name] = flat[start:end].reshape(shape)
    return arrays


def read_description(folder: Path) -> dict[str, Any]:
    """Return model.json. Raises DataError where it is missing, damaged or describes something else."""
    path = folder / "model.json"
    try:
        model = saved.read_description(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} could not be read ({saved.brief(error)}).", CURE) from error
    found = (model.get("model"), model.get("format_version")) if isinstance(model, dict) else (None, None)
    told = saved.brief(f"model {found[0]!r}, format {found[1]!r}")
    if found != ("keras", FORMAT_VERSION):
        raise DataError(
            f"{path} is not a Keras network of format {FORMAT_VERSION}; received {told}.",
            "Open it with the version of linnaea that made it.",
        )
    return model


def read_weights(folder: Path, sizes: Sequence[int]) -> np.ndarray:
    """Return the flat float32 weights of a network with these sizes.

    Raises DataError where weights.safetensors is missing, damaged, or holds other names or shapes.
    """
    path = folder / "weights.safetensors"
    try:
        arrays = read_tensors(saved.read_content(path))
    # KeyError, TypeError, ImportError: numbers of a kind that NumPy lacks (bfloat16, 8 bits).
    except (OSError, ValueError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise DataError(f"{path} could not be read ({saved.brief(error)}).", CURE) from error
    total = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
    # model.json may say anything: no memory for sizes far beyond what the file holds.
    held = sum(array.size for array in arrays.values())
    if total > 2 * held + 1_000_000:
        raise DataError(f"{path} holds {held:,} numbers; its model.json asks for {total:,}.", CURE)
    flat = np.zeros(total, np.float32)
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
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds NaN or infinity.", CURE)
        into[...] = array
    return flat


def course_as_state(
    course: Course, parameters: np.ndarray, history: list[EpochRecord], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return copies of the arrays, and the numbers, that a training goes on from.

    course.memory holds every variable of network and optimizer; parameters are the weights after the last
    whole epoch, flat.
    """
    arrays = {"parameters": parameters.copy()}
    arrays |= {f"keras.{name}": array.copy() for name, array in course.memory.items()}
    if course.best is not None:
        arrays["best"] = course.best.copy()
    values = {
        "seed": seed,
        "epoch": course.epoch,
        "step": course.step,
        "seconds": course.seconds,
        "best_epoch": course.best_epoch,
        "history": [record.as_dict() for record in history],
    }
    return arrays, values


def course_from_state(
    arrays: dict[str, np.ndarray], values: dict[str, Any]
) -> tuple[Course, np.ndarray, list[EpochRecord], int]:
    """Undo course_as_state: the course, the parameters, the history, the seed.

    Raises DataError for a state with pieces missing.
    """
    try:
        history = [EpochRecord(**record) for record in values["history"]]
        memory = {name.removeprefix("keras."): a for name, a in arrays.items() if name.startswith("keras.")}
        course = Course(epoch=values["epoch"], step=values["step"], seconds=values["seconds"], memory=memory)
        if "best" in arrays:
            course.best, course.best_epoch = arrays["best"].copy(), values["best_epoch"]
            course.best_score = Course.score(history[course.best_epoch])
        return course, arrays["parameters"].copy(), history, int(values["seed"])
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"The training state is incomplete ({type(error).__name__}: {error}).",
            "Start the training again without it.",
        ) from error
