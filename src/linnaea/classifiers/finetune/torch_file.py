"""A file saved by torch, looked through before torch opens it: what it names, what memory it takes."""

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from linnaea.errors import LinnaeaError

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
    # No plain weights, and told as such by name once they are read.
    "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_meta_tensor_no_storage",
    "torch.serialization _get_layout",
}
# A file from before torch 1.6: magic number, version, system, the tensors' names and shapes, storages' names.
_PICKLES = 5


def load(path: Path) -> Any:
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
    """Raise as load does, from the zip's directory and its pickle; no tensor is read."""
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
