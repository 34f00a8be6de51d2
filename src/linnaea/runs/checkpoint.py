"""Checkpoints: what a training goes on from, exactly, after a crash at any moment.

    checkpoint/current                       the name of the newest whole one
    checkpoint/00000012/state.safetensors    the classifier's arrays
    checkpoint/00000012/state.json           its numbers, and what they belong to

A checkpoint counts only once `current` names it, and `current` is renamed into place last: whenever the power
goes, either the old one or the new one is whole.
"""

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from linnaea import files, reading
from linnaea.errors import LinnaeaError, RunError
from linnaea.runs.folder import RunFolder, is_plain_name

FORMAT_VERSION = 1
FOLDER = "checkpoint"
MAX_ARRAYS = 64 << 30  # bytes; nothing that fits into a machine's memory is larger
_CURE = "Start again: linnaea train, with --overwrite."


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps.

    arrays, values: what Classifier.training_state returned
    facts: what it belongs to (history: lines of history.jsonl, split_hash, fingerprint, versions, …)
    """

    arrays: dict[str, np.ndarray]
    values: dict[str, Any]
    facts: dict[str, Any]

    @property
    def place(self) -> str:
        """Where the training is, in words."""
        step = int(self.values.get("step") or 0)
        return f"epoch {self.values.get('epoch')}" + (f" and {step:,} steps" if step else "")


class Checkpoints:
    """The checkpoints of one run: the newest, and beside it the newest at the end of an epoch."""

    def __init__(self, run: RunFolder) -> None:
        self.path = run.path / FOLDER

    def write(self, arrays: dict[str, np.ndarray], values: dict[str, Any], facts: dict[str, Any]) -> bool:
        """Write a checkpoint, then remove those before it, but for the last at the end of an epoch.

        Returns False, and leaves the one before, where an array holds NaN or infinity: going on from there
        would be of no use to anybody.

        Raises LinnaeaError, naming the path, where the disk refuses; the one before is still whole then.
        """
        from safetensors.numpy import save

        if not all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f"):
            return False
        # safetensors takes the memory as it lies: a transposed array would come back another.
        content = save({name: a if a.flags.c_contiguous else a.copy() for name, a in arrays.items()})
        state = {
            "format_version": FORMAT_VERSION,
            "sha256": hashlib.sha256(content).hexdigest(),
            "values": values,
            "facts": facts,
        }
        before = self._numbered()
        folder = self.path / f"{before[-1] + 1 if before else 1:08}"
        try:
            files.write_bytes(folder / "state.safetensors", content)
            files.write_text(folder / "state.json", json.dumps(state))
            files.sync_folder(folder)
            files.sync_folder(self.path)
            self._point_to(folder.name)
        except BaseException:
            if self._current() != folder.name:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self._keep({folder.name} if not values.get("step") else {folder.name, self._epoch_end(before)})
        return True

    def read(self) -> Checkpoint | None:
        """Return the newest checkpoint; None where none was written yet.

        Raises RunError for one that was damaged since.
        """
        name = self._current()
        return None if name is None else self._read(name)

    def rewind(self) -> Checkpoint | None:
        """Make the last one at the end of an epoch the newest, and return it; None where there is none."""
        name = self._epoch_end(self._numbered())
        if name is None:
            return None
        found = self._read(name)
        self._point_to(name)
        self._keep({name})
        return found

    def remove(self) -> None:
        """Remove all checkpoints: the run is finished."""
        # The pointer first: what is left after a crash in between is then no checkpoint.
        (self.path / "current").unlink(missing_ok=True)
        self._keep(set())
        for torn in self.path.glob(".current.*.tmp"):
            torn.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def _point_to(self, name: str) -> None:
        files.write_text(self.path / "current", f"{name}\n")
        files.sync_folder(self.path)

    def _current(self) -> str | None:
        try:
            name = reading.read_bytes(self.path / "current", 100).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except (LinnaeaError, OSError) as error:
            raise RunError(f"{self.path / 'current'} cannot be read ({error}).", _CURE) from error
        # A run may come from elsewhere: no path may lead out of it.
        if not is_plain_name(name) or not name.isdigit():
            raise RunError(f"{self.path / 'current'} does not name a checkpoint.", _CURE)
        return name

    def _numbered(self) -> list[int]:
        return sorted(int(found.name) for found in self.path.glob("[0-9]*") if found.name.isdigit())

    def _epoch_end(self, numbers: list[int]) -> str | None:
        """Return the newest of these whose epoch was over."""
        for number in reversed(numbers):
            name = f"{number:08}"
            with suppress(RunError):
                if not self._state(name)["values"].get("step"):
                    return name
        return None

    def _keep(self, names: set[str | None]) -> None:
        for folder in self.path.glob("[0-9]*"):
            if folder.name not in names and folder.name.isdigit() and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)

    def _state(self, name: str) -> dict[str, Any]:
        path = self.path / name / "state.json"
        try:
            state = reading.read_json(path)
        except (ValueError, OSError) as error:
            raise RunError(f"{path} cannot be read ({error}).", _CURE) from error
        if not isinstance(state, dict) or state.get("format_version") != FORMAT_VERSION:
            version = state.get("format_version") if isinstance(state, dict) else None
            raise RunError(
                f"{path} is a checkpoint of format {version!r}; this version goes on from {FORMAT_VERSION}.",
                "Go on with the version of linnaea that wrote it.",
            )
        values, facts = state.get("values"), state.get("facts")
        counts = (
            [values.get("epoch", 0), values.get("step") or 0, facts.get("history", 0)]
            if isinstance(values, dict) and isinstance(facts, dict)
            else [None]
        )
        if not all(type(count) is int and count >= 0 for count in counts):
            raise RunError(f"{path} cannot be believed: what it counts is no number.", _CURE)
        return state

    def _read(self, name: str) -> Checkpoint:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        state, path = self._state(name), self.path / name / "state.safetensors"
        try:
            content = reading.read_bytes(path, MAX_ARRAYS)
            if hashlib.sha256(content).hexdigest() != state.get("sha256"):
                raise ValueError("its content is not what was written")
            return Checkpoint(load(content), state["values"], state["facts"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise RunError(f"{path} cannot be read ({error}).", _CURE) from error


class Rhythm:
    """When a checkpoint is due: often enough to lose little, seldom enough to cost little.

    every: float
        The longest time between two, in seconds.
    SHARE: float
        Of the time, what epochs that are shorter than that may spend on them: an epoch of milliseconds is
        sooner trained again than written down.
    """

    SHARE = 0.02

    def __init__(self, every: float) -> None:
        self.every = every
        self._last = -np.inf
        self._cost = 0.0

    def is_due(self, *, epoch_over: bool) -> bool:
        """Tell whether one should be written now."""
        since = time.monotonic() - self._last
        return since >= (min(self.every, self._cost / self.SHARE) if epoch_over else self.every)

    def written(self, seconds: float) -> None:
        """Count the time from now; seconds: what the checkpoint took."""
        self._last, self._cost = time.monotonic(), seconds


def keep_history(run: RunFolder, lines: int) -> None:
    """Cut history.jsonl to its first lines: those that the checkpoint counts.

    Raises RunError where there are fewer.
    """
    path = run.path / "history.jsonl"
    there = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    if len(there) < lines:
        raise RunError(
            f"{path} has {len(there):,} lines, and its checkpoint counts {lines:,}.",
            "Restore it, or start again: linnaea train, with --overwrite.",
        )
    if len(there) > lines:
        files.write_bytes(path, b"".join(there[:lines]))


def sync_history(run: RunFolder) -> None:
    """Flush history.jsonl to the disk, so that it never has fewer lines than a checkpoint counts."""
    path = run.path / "history.jsonl"
    if path.exists():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
