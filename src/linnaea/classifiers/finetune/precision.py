"""float32 or bfloat16: whichever trains faster on this processor, measured once and remembered."""

import copy
import json
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from linnaea.data.downloads import cache_folder
from linnaea.errors import LinnaeaError
from linnaea.files import write_json

PRECISIONS = ("auto", "float32", "bfloat16")
_STEPS = 3  # of which the fastest counts; one more goes before, for kernels to be chosen


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return the context that convolutions and products run in; sums and losses stay in float32."""
    if precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def device() -> torch.device:
    """Return the GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def processor() -> str:
    """Return the name of what computes: the GPU's, or the processor's model and its widest instructions."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model
        )
    return f"{model} ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"


def choose_precision(
    network: Any, size: int, *, batch_size: int = 16, name: str = "", remember: bool = True
) -> str:
    """Return "bfloat16" where a training step is faster in it on this machine, else "float32".

    network: Module
        Copied, so that its weights and statistics stay as they are.
    size: int
        Side of the pictures, in pixels.
    name: str
        Of the network; with processor, torch version and size, what the answer is remembered under.
    remember: bool
        Whether to look into, and write, precision.json in the cache folder.
    """
    path = cache_folder() / "precision.json"
    key = f"{processor()} | torch {torch.__version__} | {name} | {size} px, {batch_size} a batch"
    known = _read(path) if remember else {}
    if key in known:
        return str(known[key]["precision"])
    seconds = {precision: _step_seconds(network, size, batch_size, precision) for precision in PRECISIONS[1:]}
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


def _step_seconds(network: Any, size: int, batch_size: int, precision: str) -> float:
    """Return the seconds of the fastest of a few training steps, after one that does not count."""
    network = copy.deepcopy(network)
    where = next(network.parameters()).device
    pictures = torch.zeros((batch_size, 3, size, size), device=where)
    pictures = pictures.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with autocast(where, precision):
            loss = _mean_logit(network, pictures)
        loss.backward()
        network.zero_grad(set_to_none=True)
        if where.type == "cuda":
            torch.cuda.synchronize()

    step()
    return min(_timed(step) for _ in range(_STEPS))


def _mean_logit(network: nn.Module, pictures: Tensor) -> Tensor:
    return network(pictures).float().mean()


def _timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
