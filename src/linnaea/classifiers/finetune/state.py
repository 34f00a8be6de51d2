"""A fine-tuned classifier on disk, and a training that can go on: tensors and plain JSON, never pickle."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from linnaea.classifiers import saved
from linnaea.classifiers.contract import EpochRecord
from linnaea.classifiers.finetune.course import Course, Sums
from linnaea.classifiers.finetune.loop import Session
from linnaea.classifiers.finetune.probe import Probe
from linnaea.errors import DataError
from linnaea.files import write_bytes, write_json

FORMAT_VERSION = 1
MODEL = "finetune"


def write(folder: Path, tensors: dict[str, Tensor], model: dict[str, Any]) -> None:
    """Write weights.safetensors and model.json; the weights first, so that a model.json always has some."""
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(folder / "weights.safetensors", tensor_bytes(own))
    write_json(folder / "model.json", {"format_version": FORMAT_VERSION, "model": MODEL, **model})


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what write wrote. Raises DataError, naming the file, for one that is missing or damaged."""
    path = folder / "model.json"
    try:
        model = saved.read_description(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} could not be read ({saved.brief(error)}).", "Save the model again."
        ) from error
    found = (model.get("model"), model.get("format_version")) if isinstance(model, dict) else (None, None)
    told = saved.brief(f"model {found[0]!r}, format {found[1]!r}")
    if found != (MODEL, FORMAT_VERSION):
        raise DataError(
            f"{path} is not a fine-tuned network of format {FORMAT_VERSION}; received {told}.",
            "Open it with the version of linnaea that made it.",
        )
    path = folder / "weights.safetensors"
    try:
        return read_tensors(saved.read_content(path)), model
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(
            f"{path} could not be read ({saved.brief(error)}).", "Save the model again."
        ) from error


def session_as_state(
    session: Session, history: list[EpochRecord], probe: Probe | None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return copies of the arrays, and the numbers, that a training goes on from."""
    course, average = session.course, session.average
    tensors = {f"network.{name}": tensor for name, tensor in session.network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.shadow.items()}
    if course.best is not None:
        tensors |= {f"best.{name}": tensor for name, tensor in course.best.items()}
    if probe is not None:
        tensors |= {"probe.weight": probe.weight, "probe.bias": probe.bias}
    memory = session.optimizer.state_dict()["state"]
    for index, slots in memory.items():
        tensors |= {
            f"optimizer.{index}.{slot}": torch.as_tensor(value)
            for slot, value in slots.items()
            if value is not None
        }
    values = {
        "epoch": course.epoch,
        "step": course.step,
        "seconds": course.seconds,
        "sums": [course.sums.loss, course.sums.correct, course.sums.weight],
        "best_epoch": course.best_epoch,
        "best_score": [float(part) for part in course.best_score],
        "improved": course.improved,
        "average_steps": 0 if average is None else average.steps,
        "precision": session.settings.precision,
        "seed": session.seed,
        "probe": None if probe is None else [probe.strength, probe.train, probe.val],
        "history": [record.as_dict() for record in history],
    }
    # bfloat16 has no NumPy type, but only autocast uses it: every stored tensor is float32 or an integer.
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}, values


def resume_session(session: Session, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> Probe | None:
    """Put what session_as_state returned into a session that was built with the same settings.

    Returns the probe that the training began with.

    Raises DataError for a state that is incomplete or belongs to another network.
    """
    try:
        session.network.load_state_dict(_part(arrays, "network."))
        if session.average is not None:
            session.average.resume(_part(arrays, "average."), values["average_steps"])
        memory = _optimizer_memory(session.optimizer, _part(arrays, "optimizer."))
        plain = session.optimizer.state_dict()
        session.optimizer.load_state_dict({**plain, "state": memory})
        session.course = course_from_state(arrays, values)
        return _probe_from_state(arrays, values)
    except (KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"The training state does not fit this training ({type(error).__name__}: {error}).",
            "Go on with the settings and classes the training began with, or start again without it.",
        ) from error


def _optimizer_memory(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> dict[int, dict[str, Tensor]]:
    """Return the optimizer's memory, parameter by parameter in the order of its groups."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    memory: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split(".")
        parameter = parameters[int(index)].detach()
        if tensor.shape == parameter.shape:
            # In the parameter's own order in memory (channels last): the fused kernels go through both
            # side by side and do not look.
            tensor = torch.empty_like(parameter).copy_(tensor)
        memory.setdefault(int(index), {})[slot] = tensor
    return memory


def _probe_from_state(arrays: dict[str, np.ndarray], values: dict[str, Any]) -> Probe | None:
    if values["probe"] is None:
        return None
    tensors, (strength, train, val) = _part(arrays, "probe."), values["probe"]
    return Probe(
        tensors["weight"], tensors["bias"], strength, tuple(train), None if val is None else tuple(val)
    )


def course_from_state(arrays: dict[str, np.ndarray], values: dict[str, Any]) -> Course:
    """Return the course in a training state."""
    return Course(
        epoch=values["epoch"],
        step=values["step"],
        seconds=values["seconds"],
        sums=Sums(*values["sums"]),
        best=_part(arrays, "best.") or None,
        best_epoch=values["best_epoch"],
        best_score=(values["best_score"][0], values["best_score"][1]),
        # Older states always kept the best.
        improved=values.get("improved", values["best_epoch"]),
    )


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
