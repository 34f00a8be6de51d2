"""A fine-tuning that can go on: its session as arrays and plain JSON, never pickle."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from linnaea.classifiers.common.progress import TrainingProgress
from linnaea.classifiers.finetune.loop import Session
from linnaea.classifiers.finetune.probe import Probe
from linnaea.errors import DataError


def session_as_state(session: Session, probe: Probe | None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return copies of the arrays, and the numbers, that a training goes on from."""
    progress, average = session.progress, session.average
    tensors = {f"network.{name}": tensor for name, tensor in session.network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.shadow.items()}
    if progress.kept is not None:
        tensors |= {f"best.{name}": tensor for name, tensor in progress.kept.items()}
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
        **progress.as_json(),
        "average_steps": 0 if average is None else average.steps,
        "precision": session.settings.precision,
        "seed": session.seed,
        "probe": None if probe is None else [probe.strength, probe.train, probe.val],
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
        session.progress = TrainingProgress.from_json(values, _part(arrays, "best.") or None)
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


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
