"""Are two runs the same bit for bit? If not: where they diverge, how far apart they are, and perhaps why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from linnaea.errors import RunError
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder

# Of the machine, what can change the last digits of a sum.
_HARDWARE = {"processor": "processor", "accelerator": "accelerator", "cores": "number of cores"}
_TABLES = {"predictions.csv": "predictions", "validation.csv": "predictions on validation"}


def differences(first: RunFolder, second: RunFolder) -> list[str]:
    """Return a sentence on each thing that differs; none: bit for bit the same.

    Compared are the weights, the history without its seconds, and the tables of predictions; what one of the
    runs lacks is named. Everything else in a run is computed from these, or is of time and place.

    Raises RunError or DataError, naming the file, for one that is damaged.
    """
    sentences = [*_history(first, second), *_weights(first, second)]
    for name, words in _TABLES.items():
        sentences += _tables(first.path / name, second.path / name, words)
    return sentences


def reasons(first: RunFolder, second: RunFolder, *, ignored: tuple[str, ...] = ()) -> list[str]:
    """Return a sentence on each circumstance in which the runs differ, and which may be why they do.

    ignored: settings that may differ.
    """
    one, other = first.info.as_json(), second.info.as_json()
    sentences = changes(one, other)
    settings = [(name, pair) for name, pair in _unequal(one, other, "recipe") if name not in ignored]
    sentences += [_changed(f"setting {name}", *pair) for name, pair in settings]
    data = dict(_unequal(one, other, "data"))
    sentences += [_changed(words, *data[key]) for key, words in _DATA.items() if key in data]
    code = dict(_unequal(one, other, "git"))
    sentences += [_changed("git commit", *code["commit"])] if "commit" in code else []
    if any(_on_accelerator(info) for info in (one, other)):
        sentences.append(
            "The network was trained on an accelerator, where sums have no fixed order: "
            "the same bits are only promised for the processor."
        )
    if any((info.get("git") or {}).get("dirty") for info in (one, other)):
        sentences.append("The git repository had uncommitted changes.")
    return sentences


def _on_accelerator(info: dict[str, Any]) -> bool:
    hardware = info.get("hardware") or {}
    if hardware.get("device") is not None:
        return bool(hardware["device"] != "cpu")
    # Older runs name the first accelerator of the machine. A network's line ends with what computed it.
    accelerator = hardware.get("accelerator")
    return bool(accelerator) and str(accelerator) in str((info.get("network") or {}).get("summary"))


def changes(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return a sentence on each version, piece of hardware and number of threads that differs.

    one, other: with run.json's keys "versions", "hardware" and "threads"; what one lacks is not compared.
    """
    sentences = [_changed(f"version of {name}", *pair) for name, pair in _unequal(one, other, "versions")]
    hardware = dict(_unequal(one, other, "hardware"))
    sentences += [_changed(words, *hardware[key]) for key, words in _HARDWARE.items() if key in hardware]
    threads = _unequal(one, other, "threads")
    return sentences + [_changed(f"number of {name} threads", *pair) for name, pair in threads]


_DATA = {
    "fingerprint": "fingerprint of the data set",
    "split_hash": "split",
    "pixels": "size of the pictures",
}


def _unequal(one: dict[str, Any], other: dict[str, Any], key: str) -> list[tuple[str, tuple[Any, Any]]]:
    """Return the entries of an object of run.json that differ; none where one run lacks the object."""
    left, right = one.get(key), other.get(key)
    if not isinstance(left, dict) or not isinstance(right, dict):
        return []
    names = [*left, *(name for name in right if name not in left)]
    return [(name, (left.get(name), right.get(name))) for name in names if left.get(name) != right.get(name)]


def _changed(what: str, before: Any, now: Any) -> str:
    was, is_now = ("none" if value is None else value for value in (before, now))
    return f"The {what} was {was} and is {is_now}."


def _history(first: RunFolder, second: RunFolder) -> Iterator[str]:
    """Name the first epoch whose record differs, and in what; and another number of epochs."""
    one, other = first.history(), second.history()
    for left, right in zip(one, other, strict=False):
        keys = [key for key in left | right if key != "seconds" and left.get(key) != right.get(key)]
        if keys:
            # A loss is named where it is among them: an accuracy moves later, and in steps.
            key = next((key for key in keys if key.endswith("loss")), keys[0])
            values = f"{key.replace('_', ' ')} {left.get(key)} and {right.get(key)}"
            yield f"History: the first epoch that differs is {left.get('epoch')}, {values}."
            break
    if len(one) != len(other):
        yield f"History: {_epochs(one)} and {_epochs(other)}."


def _epochs(history: list[dict[str, Any]]) -> str:
    number = max(len(history) - 1, 0)  # epoch 0 is the network before training
    return "1 epoch" if number == 1 else f"{number} epochs"


def _weights(first: RunFolder, second: RunFolder) -> Iterator[str]:
    one, other = _tensors(first), _tensors(second)
    strange = sorted(set(one) ^ set(other))
    shapes = [name for name in set(one) & set(other) if one[name].shape != other[name].shape]
    if strange or shapes:
        yield f"Weights: the networks are different ones ({(strange or sorted(shapes))[0]})."
        return
    unequal = [name for name in one if one[name].tobytes() != other[name].tobytes()]
    if not unequal:
        return
    # In float64, so that the difference of two float32 is exact; of two infinities there is none.
    gaps = {
        name: float(
            np.nanmax(np.abs(one[name].astype(np.float64) - other[name].astype(np.float64)), initial=0)
        )
        for name in unequal
    }
    worst = max(gaps, key=gaps.__getitem__)
    yield (
        f"Weights: {len(unequal)} of {len(one)} tensors differ, by up to {gaps[worst]:.3g} ({worst}, whose "
        f"largest weight is {float(np.abs(one[worst]).max()):.3g})."
    )


def _tensors(run: RunFolder) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = run.path / "weights.safetensors"
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing.", "Compare runs that are finished.") from error
    except (SafetensorError, OSError, KeyError) as error:
        raise RunError(f"{path} cannot be read ({error}).", "Restore it, or train again.") from error


def _tables(first: Path, second: Path, words: str) -> Iterator[str]:
    there = [path.exists() for path in (first, second)]
    if there == [True, False]:
        yield f"{words.capitalize()}: the repeated run made none."
    # What only the repeated run has, a newer version writes: nothing to compare it with.
    if not all(there) or first.read_bytes() == second.read_bytes():
        return
    one, other = Predictions.read_csv(first), Predictions.read_csv(second)
    if one.paths != other.paths or one.classes != other.classes:
        yield f"{words.capitalize()}: they are of other pictures or classes."
        return
    gaps = np.abs(one.probabilities - other.probabilities)
    row = int(gaps.max(axis=1).argmax()) if len(one) else 0
    changed = int((one.predicted != other.predicted).sum())
    answers = "1 answer changed" if changed == 1 else f"{changed:,} answers changed"
    yield (
        f"{words.capitalize()}: probabilities differ by up to {gaps.max(initial=0):.3g} ({one.paths[row]}); "
        f"{answers} of {len(one):,}."
    )
