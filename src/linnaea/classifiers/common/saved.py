"""A classifier on disk, weights.safetensors and model.json: written, read, and checked as a stranger's file.

A model may come from anybody: nothing is allocated for what it says before that was compared with what it
holds, and nothing in it can run (no pickle).
"""

import importlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from linnaea import machine, reading
from linnaea.errors import DataError, LinnaeaError, MissingExtraError
from linnaea.files import write_bytes, write_json

FORMAT_VERSION = 1
CURE = "Restore the file, or train again."
# What a kind is called, and the library that its arrays are read for.
_KINDS = {
    "mlp": ("a perceptron", "numpy"),
    "keras": ("a Keras network", "numpy"),
    "finetune": ("a fine-tuned network", "torch"),
}
MAX_CLASSES = 100_000
MAX_NUMBER = 16_384
"""The largest number that a network may be built with: no width or depth of timm's comes near it."""
_MAX_TEXT = 10_000  # characters of a class name
# Far beyond what calibration finds (0.05 to 20), and near enough that no logits become infinite by it.
_TEMPERATURES = (0.001, 1000.0)
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


@dataclass(frozen=True, eq=False)
class SavedModel:
    """What save writes and load reads.

    kind: "mlp", "keras" or "finetune"
    header: dict
        model.json: classes, chosen_epoch, temperature, parameters, and what a kind has beside them.
    arrays: dict of ndarray, or of Tensor (finetune)
        weights.safetensors.
    folder: Path
        Where they lie, or will lie.
    """

    kind: str
    header: dict[str, Any]
    arrays: dict[str, Any]
    folder: Path

    @classmethod
    def of(
        cls,
        classifier: Any,
        kind: str,
        folder: str | Path,
        arrays: dict[str, Any],
        parameters: dict[str, Any],
        **own: Any,
    ) -> "SavedModel":
        """Return a fitted classifier as it is saved; own: what only its kind has in the header."""
        header = {
            "classes": classes_as_json(classifier.classes_),
            "chosen_epoch": classifier.chosen_epoch_,
            "temperature": classifier.temperature_,
            "parameters": parameters_as_json(parameters),
            **own,
        }
        return cls(kind, header, arrays, Path(folder))

    def write(self) -> None:
        """Write both files; the weights first, so that a model.json always has some."""
        save = importlib.import_module(f"safetensors.{_KINDS[self.kind][1]}").save
        write_bytes(self.folder / "weights.safetensors", save(self.arrays))
        header = {"format_version": FORMAT_VERSION, "model": self.kind, **self.header}
        write_json(self.folder / "model.json", header)

    @classmethod
    def read(cls, kind: str, folder: str | Path) -> "SavedModel":
        """Return what write wrote. Raises DataError, naming the file, for one that is missing or damaged."""
        folder, (name, library) = Path(folder), _KINDS[kind]
        path = folder / "model.json"
        with _unreadable(path):
            header = read_description(path)
        if not isinstance(header, dict):
            raise DataError(f"{path} is not a JSON object.", CURE)
        received = header.get("model"), header.get("format_version")
        if received != (kind, FORMAT_VERSION):
            shown = brief(f"model {received[0]!r}, format {received[1]!r}")
            raise DataError(
                f"{path} is not {name} of format {FORMAT_VERSION}; received {shown}.",
                "Open it with the version of linnaea that made it.",
            )
        path = folder / "weights.safetensors"
        with _unreadable(path):
            arrays = importlib.import_module(f"safetensors.{library}").load(read_content(path))
        return cls(kind, header, arrays, folder)

    @contextmanager
    def damage_named(self) -> Iterator[None]:
        """Let whatever fails inside be a DataError that names model.json: what it holds is impossible."""
        try:
            yield
        except MissingExtraError:
            raise
        except LinnaeaError as error:
            raise _refusal(error, self.folder) from error
        except Exception as error:
            # What is built from what the file says (timm's networks, say) fails in its own many ways.
            raise _refusal(error, self.folder) from error

    def unfitted(self, cls: Any) -> Any:
        """Return a classifier of class cls with what every kind has in its header, checked."""
        # With scikit-learn, which is there by now: who only asks for a temperature need not wait for it.
        from linnaea.classifiers.common.samples import classes_of

        classifier = cls(**parameters_from_json(self.header["parameters"]))
        classifier.check_settings()
        check_classes(self.header["classes"])
        classes = classifier.classes_ = np.array(self.header["classes"])
        if not np.array_equal(classes_of(classes), classes):
            raise ValueError("the classes are not in order")
        classifier.chosen_epoch_ = int(self.header["chosen_epoch"])
        classifier.temperature_ = saved_temperature(self.header)
        return classifier

    def check_arrays(self, shapes: Mapping[str, tuple[int, ...]], dtype: str) -> None:
        """Raise DataError unless the arrays have exactly these names and shapes, and are finite numbers."""
        path = self.folder / "weights.safetensors"
        for name, shape in shapes.items():
            array = self.arrays.get(name)
            if array is None or array.shape != shape or array.dtype != dtype:
                received = "nothing" if array is None else f"{array.dtype} {array.shape}"
                raise DataError(f"{path}: {name} should be {dtype} {shape}; received {received}.", CURE)
            if not np.isfinite(array).all():
                raise DataError(f"{path}: {name} holds NaN or infinity.", CURE)
        if unknown := sorted(self.arrays.keys() - shapes.keys()):
            raise DataError(f"{path} holds {brief(', '.join(unknown))}, which this network has not.", CURE)


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    # KeyError, TypeError, ImportError: numbers of a kind that the library lacks (bfloat16, 8 bits).
    except (OSError, ValueError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise DataError(f"{path} could not be read ({brief(error)}).", CURE) from error


def classes_as_json(classes: np.ndarray) -> list[Any]:
    """Return the classes as JSON values. Raises DataError for labels JSON has no word for."""
    values = classes.tolist()
    if not all(isinstance(value, (str, bool, int, float)) for value in values):
        raise DataError(
            f"Classes of type {type(values[0]).__name__} cannot be saved.",
            "Use strings or numbers as labels.",
        )
    return values


def parameters_as_json(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return get_params() as JSON values; a random_state that is not a number becomes None."""
    plain = {}
    for name, value in parameters.items():
        if name == "class_weight" and isinstance(value, dict):
            # JSON's keys are strings only: pairs keep a class that is a number a number.
            value = [[_as_plain(key), float(weight)] for key, weight in value.items()]
        elif isinstance(value, (tuple, list, np.ndarray)):
            value = [_as_plain(item) for item in value]
        plain[name] = _as_plain(value)
    return plain


def _as_plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, (str, bool, int, float, list)) else None


def parameters_from_json(plain: dict[str, Any]) -> dict[str, Any]:
    """Undo parameters_as_json."""
    parameters = dict(plain)
    for name, value in plain.items():
        if name == "class_weight" and isinstance(value, list):
            parameters[name] = dict(value)
        elif isinstance(value, list):
            parameters[name] = tuple(value)
    return parameters


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
        limit = machine.available_memory()
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


def saved_temperature(model: dict[str, Any]) -> float:
    """Return the temperature of a model.json; files older than calibration have none, which is 1.

    Raises TypeError for anything but a number from 0.001 to 1,000.
    """
    temperature = model.get("temperature", 1.0)
    lowest, highest = _TEMPERATURES
    # bool is a kind of int in Python.
    if type(temperature) not in (int, float) or not lowest <= temperature <= highest:
        raise TypeError(f"the temperature is {temperature!r} and must be a number from {lowest} to {highest}")
    return float(temperature)


def count_of(value: Any) -> int:
    """Return how many of something there are. Raises ValueError for anything but a number of 1 or more."""
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no number of 1 or more")
    return value


def _refusal(error: Exception, folder: Path) -> DataError:
    """Return what error says of a file in folder, or of a field of its model.json, with that file named."""
    if isinstance(error, LinnaeaError):
        if str(folder) in error.message:
            return DataError(error.message, error.cure)
        problem = brief(error.message)
    else:
        problem = f"{type(error).__name__}: {brief(error)}"
    return DataError(f"{folder / 'model.json'} is damaged ({problem.rstrip('.')}).", CURE)


def brief(text: object) -> str:
    """Return it in one line of 300 characters at most: what a file holds may have no end."""
    line = " ".join(line.strip() for line in str(text).splitlines())
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
