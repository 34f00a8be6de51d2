"""Checkpoints: what a training continues from, exactly, after a crash at any moment.

    checkpoint/current                       the name of the newest whole one
    checkpoint/00000012/state.safetensors    the classifier's arrays
    checkpoint/00000012/state.json           its numbers, and what they belong to

A checkpoint counts only once `current` names it, and `current` is renamed into place last: whenever the power
goes, either the old one or the new one is whole. The one before stays beside it, for a disk that damages the
newest later.
"""

import hashlib
import json
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from linnaea import files, reading
from linnaea.errors import LinnaeaError, RunError
from linnaea.runs.checksums import MAX_FILE
from linnaea.runs.folder import MAX_HISTORY, RunFolder
from linnaea.runs.schema import check_state

# Format 1 had no checksum over state.json itself.
FORMAT_VERSION = 2
FOLDER = "checkpoint"
_CURE = "Start again: linnaea train, with --overwrite."
# A folder may hold anything: int() would take other scripts' digits, and longer numbers than a name may have.
_NAME = re.compile("[0-9]{8,18}")


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps.

    arrays, values: what Classifier.training_state returned
    facts: what it belongs to (history: lines of history.jsonl, split_hash, fingerprint, versions, …)
    name: that of its folder
    instead: why the newest one was not read, where this is an older one
    """

    arrays: dict[str, np.ndarray]
    values: dict[str, Any]
    facts: dict[str, Any]
    name: str = ""
    instead: str = ""

    @property
    def place(self) -> str:
        """Where the training is, in words."""
        step = int(self.values.get("step") or 0)
        return f"epoch {self.values.get('epoch')}" + (f" and {step:,} steps" if step else "")


class Checkpoints:
    """The checkpoints of one run: the newest, and the last at the end of an epoch or else the one before."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.path = run.path / FOLDER

    def write(self, arrays: dict[str, np.ndarray], values: dict[str, Any], facts: dict[str, Any]) -> bool:
        """Write a checkpoint, then remove those before it, but for one.

        Returns False, and leaves the one before, where an array holds NaN or infinity: going on from there
        would be of no use to anybody.

        Raises LinnaeaError, naming the path, where the disk refuses; the one before is still whole then.
        """
        from safetensors.numpy import save

        if not all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f"):
            return False
        self.run.check_there()
        # safetensors takes the memory as it lies: a transposed array would come back another.
        content = save({name: a if a.flags.c_contiguous else a.copy() for name, a in arrays.items()})
        state = {
            "format_version": FORMAT_VERSION,
            "sha256": hashlib.sha256(content).hexdigest(),
            "values": values,
            "facts": facts,
        }
        newest, there = self._newest(), self._numbered()
        folder = self.path / f"{int(there[-1]) + 1 if there else 1:08}"
        try:
            files.write_bytes(folder / "state.safetensors", content)
            files.write_text(folder / "state.json", json.dumps({**state, "checksum": checksum(state)}))
            # The run's own names too: a history, or a run.json, that this one counts on.
            for place in (folder, self.path, self.run.path):
                files.sync_folder(place)
            self._point_to(folder.name)
        except BaseException:
            if self._newest() != folder.name:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        # A training that is turned back goes back to the end of an epoch.
        epoch_end = self._epoch_end(self._up_to(newest)) if values.get("step") else None
        self._keep({folder.name, epoch_end or newest})
        return True

    def read(self) -> Checkpoint | None:
        """Return the newest checkpoint, or where it was damaged since the one before; None without any.

        Raises RunError, naming each, where none is whole.
        """
        reasons: list[RunError] = []
        try:
            newest = self._current()
            if newest is None:
                return None
        except RunError as error:
            newest = None
            reasons.append(error)
        older = self._numbered() if newest is None else [n for n in self._up_to(newest) if n != newest]
        for name in [*([] if newest is None else [newest]), *reversed(older)]:
            try:
                checkpoint = self._read(name)
            except RunError as error:
                reasons.append(error)
            else:
                return replace(checkpoint, instead=reasons[0].message) if reasons else checkpoint
        if len(reasons) == 1:
            raise reasons[0]
        faults = "; ".join(reason.message.rstrip(".") for reason in reasons[:3])
        raise RunError(f"No checkpoint is whole: {faults}.", _CURE)

    def settle(self, checkpoint: Checkpoint) -> None:
        """Make one that was read the newest: what is damaged is not to be read again."""
        if checkpoint.instead:
            self._point_to(checkpoint.name)
            self._keep(set(self._up_to(checkpoint.name)))

    def rewind(self) -> Checkpoint | None:
        """Make the last whole one at the end of an epoch the newest, and return it; None without any."""
        names = self._up_to(self._newest())
        while name := self._epoch_end(names):
            with suppress(RunError):
                checkpoint = self._read(name)
                self._point_to(name)
                self._keep({name})
                return checkpoint
            names = names[: names.index(name)]
        return None

    def remove(self) -> None:
        """Remove all checkpoints: the run is finished."""
        # What the run came to must outlast a power cut before that which it could be made from again goes.
        self.run.sync()
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
        """Return the name in the pointer; None where there is none. Raises RunError where it has no name."""
        try:
            name = reading.read_bytes(self.path / "current", 100).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except (LinnaeaError, OSError) as error:
            raise RunError(f"{self.path / 'current'} cannot be read ({error}).", _CURE) from error
        # A run may come from elsewhere: no path may lead out of it.
        if not _NAME.fullmatch(name):
            raise RunError(f"{self.path / 'current'} does not name a checkpoint.", _CURE)
        return name

    def _newest(self) -> str | None:
        with suppress(RunError):
            return self._current()
        return None

    def _numbered(self) -> list[str]:
        """Return the names of what may be a checkpoint, the oldest first."""
        names = (path.name for path in self.path.glob("[0-9]*") if not path.is_symlink())
        return sorted((name for name in names if _NAME.fullmatch(name)), key=int)

    def _up_to(self, newest: str | None) -> list[str]:
        """Return the newest and those before it; what is newer was never finished."""
        return [name for name in self._numbered() if newest is not None and int(name) <= int(newest)]

    def _epoch_end(self, names: list[str]) -> str | None:
        """Return the newest of these whose epoch was over."""
        for name in reversed(names):
            with suppress(RunError):
                if not self._state(name)["values"].get("step"):
                    return name
        return None

    def _keep(self, names: set[str | None]) -> None:
        for name in self._numbered():
            if name not in names:
                shutil.rmtree(self.path / name, ignore_errors=True)

    def _state(self, name: str) -> dict[str, Any]:
        path = self.path / name / "state.json"
        if (self.path / name).is_symlink():
            raise RunError(f"{self.path / name} is a link; a run has a folder of its own there.", _CURE)
        try:
            state = reading.read_json(path)
        except (ValueError, OSError) as error:
            raise RunError(f"{path} cannot be read ({_reason(error)}).", _CURE) from error
        version = state.get("format_version") if isinstance(state, dict) else None
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise RunError(
                f"{path} is a checkpoint of format {version!r}; this version reads up to {FORMAT_VERSION}.",
                "Continue with the version of linnaea that wrote it.",
            )
        if version > 1 and state.pop("checksum", None) != checksum(state):
            raise RunError(f"{path} cannot be read (its content is not what was written).", _CURE)
        check_state(path, state, _CURE)
        return state

    def _read(self, name: str) -> Checkpoint:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        state, path = self._state(name), self.path / name / "state.safetensors"
        try:
            content = reading.read_bytes(path, MAX_FILE)
            if hashlib.sha256(content).hexdigest() != state.get("sha256"):
                raise ValueError("its content is not what was written")
            return Checkpoint(load(content), state["values"], state["facts"], name)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise RunError(f"{path} cannot be read ({_reason(error)}).", _CURE) from error


def checksum(state: dict[str, Any]) -> str:
    """Return the SHA-256 of a state.json without its key "checksum".

    Of its values and not of its bytes: keys in their order, as Python writes them, numbers to the last bit.
    """
    # Through JSON first: a key that is a number comes back as text.
    plain = json.loads(json.dumps(state))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _reason(error: Exception) -> str:
    """Return the message of an error without its full stop and its cure, as part of a sentence."""
    return error.message.rstrip(".") if isinstance(error, LinnaeaError) else str(error)


class CheckpointInterval:
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
        """Return whether one should be written now."""
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
    try:
        there = reading.read_bytes(path, MAX_HISTORY, links=False).splitlines(keepends=True)
    except FileNotFoundError:
        there = []
    except (LinnaeaError, OSError) as error:
        raise RunError(f"{path} cannot be read ({_reason(error)}).", "Restore it, or train again.") from error
    if len(there) < lines:
        raise RunError(
            f"{path} has {len(there):,} lines, and its checkpoint counts {lines:,}.",
            "Restore it, or start again: linnaea train, with --overwrite.",
        )
    if len(there) > lines:
        files.write_bytes(path, b"".join(there[:lines]))


def sync_history(run: RunFolder) -> None:
    """Flush history.jsonl to the disk, so that it never has fewer lines than a checkpoint counts."""
    with (
        suppress(FileNotFoundError),
        reading.opened(run.path / "history.jsonl", MAX_FILE, links=False) as file,
    ):
        files.sync(file.fileno())
