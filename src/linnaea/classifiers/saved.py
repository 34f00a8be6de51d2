"""A model from a stranger, checked before anything is allocated for it: JSON, names, sizes, shapes."""

import math
from pathlib import Path
from typing import Any

import psutil
from safetensors import safe_open

from linnaea import reading
from linnaea.errors import DataError, LinnaeaError

MAX_CLASSES = 100_000
MAX_NUMBER = 16_384
"""The largest number that a network may be built with: no width or depth of timm's comes near it."""
_MAX_TEXT = 10_000  # characters of a class name
# What timm.create_model takes beside a network's own arguments: files to open, and where to look for them.
_RESERVED = (
    "pretrained",
    "checkpoint",
    "cache",
    "scriptable",
    "exportable",
    "no_jit",
    "features_only",
    "out_",
)


def read_description(path: Path) -> Any:
    """Return the value in a model.json. Raises OSError or ValueError for one that cannot be read."""
    try:
        return reading.read_json(path)
    except LinnaeaError as error:
        raise ValueError(error.message.rstrip(".")) from error


def read_content(path: Path) -> bytes:
    """Return a weights file's bytes, after a look at its header and at the memory that is left.

    Raises OSError, ValueError or SafetensorError for one that cannot be read, is damaged or too large.
    """
    try:
        limit = psutil.virtual_memory().available
        reading.check_plain(path, limit)
        # The header's own lengths are compared with the file's before the whole of it is read.
        with safe_open(path, framework="numpy"):
            pass
        return reading.read_bytes(path, limit)
    except LinnaeaError as error:
        raise ValueError(error.message.rstrip(".")) from error


def check_classes(values: Any) -> None:
    """Raise ValueError for what is no list of different class names (text or numbers)."""
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_CLASSES:
        raise ValueError(f"classes must be a list of 1 to {MAX_CLASSES:,} names")
    if not all(isinstance(value, (str, bool, int, float)) for value in values):
        raise ValueError("classes must be text or numbers")
    if any(isinstance(value, str) and len(value) > _MAX_TEXT for value in values):
        raise ValueError(f"a class name has more than {_MAX_TEXT:,} characters")
    if len(set(values)) != len(values):
        raise ValueError("a class stands in classes twice")


def count_of(value: Any) -> int:
    """Return how many of something there are. Raises ValueError for anything but a number of 1 or more."""
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no number of 1 or more")
    return value


def refusal(error: Exception, folder: Path, cure: str = "Save it again.") -> DataError:
    """Return what error says of a file in folder, or of a field of its model.json, with that file named."""
    if isinstance(error, LinnaeaError):
        if str(folder) in error.message:
            return DataError(error.message, error.cure)
        told = brief(error.message)
    else:
        told = f"{type(error).__name__}: {brief(error)}"
    return DataError(f"{folder / 'model.json'} is damaged ({told.rstrip('.')}).", cure)


def brief(told: object) -> str:
    """Return it in one line of 300 characters at most: what a file holds may have no end."""
    line = " ".join(line.strip() for line in str(told).splitlines())
    return line if len(line) <= 300 else f"{line[:300]}…"


def checked_model_args(values: Any) -> dict[str, Any]:
    """Return the arguments that a network of timm's is to be built with, if none opens a file or is absurd.

    Raises ValueError, naming the argument, for any other.
    """
    if not isinstance(values or {}, dict):
        raise ValueError(f"model_args must be an object, not a {type(values).__name__}")
    for name, value in (values or {}).items():
        if str(name).startswith(_RESERVED) or not str(name).isidentifier():
            raise ValueError(f"model_args must not hold {name!r}")
        if not _is_plain(value):
            raise ValueError(f"model_args holds {name!r} with a value that no network is built with")
    return dict(values or {})


def _is_plain(value: Any, depth: int = 0) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, (int, float)):
        return math.isfinite(value) and abs(value) <= MAX_NUMBER
    if isinstance(value, str):
        return len(value) <= 100 and not set(value) & set("/\\:\0")
    if isinstance(value, (list, tuple)):
        return depth < 4 and len(value) <= 64 and all(_is_plain(item, depth + 1) for item in value)
    return False
