"""float32 or bfloat16: whichever trains faster on this device, measured once and remembered."""

import copy
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from linnaea.classifiers.finetune.device import Device, autocast, room_to_train
from linnaea.data.downloads import cache_folder
from linnaea.errors import LinnaeaError
from linnaea.files import write_json

_STEPS = 3  # of which the fastest counts; one more goes before, for kernels to be chosen


def choose_precision(
    network: Any, size: int, *, batch_size: int = 16, name: str = "", remember: bool = True
) -> str:
    """Return "bfloat16" where a training step is faster in it on the network's device, else "float32".

    network: Module
        Copied, so that its weights and statistics stay as they are.
    size: int
        Side of the pictures, in pixels.
    name: str
        Of the network; with device, torch version and size, what the answer is remembered under.
    remember: bool
        Whether to look into, and write, precision.json in the cache folder.
    """
    device = Device(next(network.parameters()).device)
    if not device.supports_bfloat16:
        return "float32"
    path = cache_folder() / "precision.json"
    key = f"{device.name} | torch {torch.__version__} | {name} | {size} px, {batch_size} a batch"
    known = _read(path) if remember else {}
    if key in known:
        return str(known[key]["precision"])
    with room_to_train(device.where, batch_size, size):
        seconds = {"float32": _step_seconds(network, size, batch_size, "float32", device)}
    # A network with a layer that has no bfloat16 kernel is trained in float32.
    with suppress(RuntimeError):
        seconds["bfloat16"] = _step_seconds(network, size, batch_size, "bfloat16", device)
    best = min(seconds, key=seconds.__getitem__)
    if remember:
        measured = {precision: round(batch_size / second, 1) for precision, second in seconds.items()}
        # A cache that cannot be written costs a measurement next time, no more.
        with suppress(LinnaeaError):
            write_json(path, {**known, key: {"precision": best, "pictures_per_second": measured}})
    return best


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _step_seconds(network: Any, size: int, batch_size: int, precision: str, device: Device) -> float:
    """Return the seconds of the fastest of a few training steps, after one that does not count."""
    network = copy.deepcopy(network)
    pictures = torch.zeros((batch_size, 3, size, size), device=device.where)
    pictures = pictures.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with autocast(device.where, precision):
            loss = _mean_logit(network, pictures)
        loss.backward()
        network.zero_grad(set_to_none=True)
        device.synchronize()

    step()
    return min(_timed(step) for _ in range(_STEPS))


def _mean_logit(network: nn.Module, pictures: Tensor) -> Tensor:
    return network(pictures).float().mean()


def _timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
