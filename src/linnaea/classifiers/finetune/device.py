"""The device that computes: which one, what it is called, what it can do, and what happens when it is full.

"auto" takes a GPU only after it has trained a tiny network and reached the processor's numbers: a card that
this build of torch has no kernels for, and a backend that errs, are found before any picture is read.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linnaea import machine
from linnaea.errors import LinnaeaError, SettingError

_CPU = torch.device("cpu")
# The largest error of a device, relative to the largest number: TF32 keeps 10 bits of a product (1e-3).
_TOLERANCE = 0.02


@dataclass(frozen=True)
class Device:
    """One device of torch, and what the rest of this room needs to know of it."""

    where: torch.device

    @property
    def name(self) -> str:
        """The GPU's name, or the processor's model with its widest instructions and its threads."""
        return machine.accelerator(str(self.where)) or _processor()

    @property
    def supports_bfloat16(self) -> bool:
        """Whether it computes in bfloat16 itself: emulated, it is slow, and convolutions may be missing."""
        if self.where.type == "cpu":
            return processor_has_bfloat16(machine.cpuinfo())
        if self.where.type == "mps":
            return False
        with torch.cuda.device(self.where):
            return torch.cuda.is_bf16_supported(including_emulation=False)

    def free_memory(self) -> int | None:
        """Return the bytes of a GPU that nobody uses; None for the processor."""
        if self.where.type == "cuda":
            # What torch has freed and keeps for itself is free for us.
            kept = torch.cuda.memory_reserved(self.where) - torch.cuda.memory_allocated(self.where)
            return torch.cuda.mem_get_info(self.where)[0] + kept
        if self.where.type == "mps":
            return max(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory(), 0)
        return None

    def synchronize(self) -> None:
        """Wait until everything that was given to the device is computed."""
        if self.where.type == "cuda":
            torch.cuda.synchronize(self.where)
        elif self.where.type == "mps":
            torch.mps.synchronize()

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Lend the generators of the processor and of this device a state from a seed, and put theirs back.

        They are global to the process: dropout, torchvision's policies and the first weights of a network
        have no way to draw from another. Other devices' generators are not touched.
        """
        cuda, mps = self.where.type == "cuda", self.where.type == "mps"
        with torch.random.fork_rng(devices=[self.where] if cuda else []):
            before = torch.mps.get_rng_state() if mps else None
            torch.default_generator.manual_seed(seed)
            if cuda:
                with torch.cuda.device(self.where):
                    torch.cuda.manual_seed(seed)
            if mps:
                torch.mps.manual_seed(seed)
            try:
                yield
            finally:
                if before is not None:
                    torch.mps.set_rng_state(before)


def _processor() -> str:
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{machine.processor()} ({instructions}, {torch.get_num_threads()} threads)"


def processor_has_bfloat16(cpuinfo: dict[str, str]) -> bool:
    """Return whether a processor computes in bfloat16 itself; True where its features are not known.

    cpuinfo: the fields of Linux's /proc/cpuinfo ("flags" of an x86, "Features" of an ARM processor).
    """
    features = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    return not features or not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(features)


def present() -> list[torch.device]:
    """Return every device that torch finds here, those that "auto" prefers first; the processor is last."""
    cards = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    apple = [torch.device("mps")] if torch.backends.mps.is_available() else []
    return [*(torch.device("cuda", number) for number in cards), *apple, _CPU]


@cache
def choose_device(setting: str = "auto") -> Device:
    """Return the device of a setting: "auto", "cpu", "cuda", "cuda:1" … or "mps".

    "auto": the first GPU that computes correctly, else the processor; a GPU that is passed over is reported
    once, as a RuntimeWarning.

    Raises SettingError for a named device that is not here or does not compute correctly.
    """
    found = present()
    if setting == "auto":
        return Device(first_working(found))
    chosen = next((where for where in found if setting in (where.type, str(where))), None)
    if chosen is None:
        raise SettingError(
            f"There is no device {setting[:100]!r} here.",
            f"Choose one of {', '.join(map(str, found))}, or auto.",
        )
    if fault := fault_of(chosen):
        raise SettingError(f"The device {setting} cannot be used: {fault}.", "Choose cpu or auto.")
    return Device(chosen)


def first_working(candidates: Iterable[torch.device]) -> torch.device:
    """Return the first device that computes correctly; each one before it is reported as a RuntimeWarning."""
    for where in candidates:
        if not (fault := fault_of(where)):
            return where
        warnings.warn(f"The device {where} is not used: {fault}.", RuntimeWarning, stacklevel=2)
    return _CPU


def fault_of(where: torch.device) -> str:
    """Return why no network can be trained on a device: what it raises, or how far it is off; "" if it can.

    A small network of convolutions goes forward and backward there and on the processor.
    """
    if where == _CPU:
        return ""
    try:
        received = _small_training(where)
    except (RuntimeError, AssertionError) as error:
        # No kernels for this card, a driver that is too old, a torch built without the backend.
        return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    off = largest_error(received, _small_training(_CPU))
    # NaN is not within anything.
    return "" if off <= _TOLERANCE else f"its numbers differ from the processor's by {off:.1%}"


def largest_error(received: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference between tensors, each relative to the largest number expected of it."""
    errors = [
        (one - other).abs().max() / other.abs().max() for one, other in zip(received, expected, strict=True)
    ]
    return float(torch.stack(errors).max())


def _small_training(where: torch.device) -> list[Tensor]:
    """Return the logits and gradients of a small network, on the processor."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(where)

    # A convolution with its norm, a depthwise one of stride 2, a pool and a dense layer.
    pictures = numbers(2, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    shapes = (8, 3, 3, 3), (8,), (8,), (8, 1, 3, 3), (5, 8)
    weights = [numbers(*shape).requires_grad_() for shape in shapes]
    first, scale, shift, depthwise, dense = weights
    x = functional.conv2d(pictures, first, padding=1)
    x = functional.relu(functional.batch_norm(x, None, None, scale, shift, training=True))
    x = functional.conv2d(x, depthwise, stride=2, padding=1, groups=8)
    logits = functional.linear(x.mean((2, 3)), dense)
    functional.cross_entropy(logits, torch.tensor([1, 3], device=where)).backward()
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    return [tensor.detach().cpu() for tensor in (logits, *gradients)]


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether no tensor holds NaN or infinity; a GPU is waited for once, not once a tensor."""
    answers: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        answers.setdefault(tensor.device, []).append(tensor.isfinite().all())
    return all(bool(torch.stack(each).all()) for each in answers.values())


@contextmanager
def explaining_full_memory(where: torch.device, what: str, cure: str) -> Iterator[None]:
    """Turn torch's many ways to say that memory is full into one sentence with a cure.

    what: for which there is no room, such as pictures_at(16, 224).

    Raises LinnaeaError in their place.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_full_memory(error):
            raise
        name = "The processor's memory" if where.type == "cpu" else f"The GPU ({where})"
        raise LinnaeaError(f"{name} has no room for {what}.", cure) from error


def room_to_train(where: torch.device, batch_size: int, size: int) -> AbstractContextManager[None]:
    """Return explaining_full_memory for training steps of so many pictures, size x size pixels each."""
    halve = "Halve --batch-size, or set" if batch_size > 1 else "Set"
    return explaining_full_memory(where, pictures_at(batch_size, size), f"{halve} a smaller --size.")


def room_to_predict(where: torch.device, batch_size: int, size: int) -> AbstractContextManager[None]:
    """Return explaining_full_memory for what is computed without learning, of batches as in room_to_train."""
    cure = "Close other programs that use this memory, or train with a smaller --size."
    return explaining_full_memory(where, pictures_at(batch_size, size), cure)


def pictures_at(batch_size: int, size: int) -> str:
    """Return "batches of 16 pictures at 224 pixels"."""
    return f"batches of {batch_size:,} picture{'' if batch_size == 1 else 's'} at {size:,} pixels"


# Of what torch raises as a plain RuntimeError where an allocation fails.
_FULL = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def is_full_memory(error: BaseException) -> bool:
    """Tell an error that says that the memory of a device, or of the machine, does not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _FULL)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return the context that convolutions and products run in; sums and losses stay in float32."""
    if precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
