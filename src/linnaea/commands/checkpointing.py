"""Checkpoints during a training, so that `linnaea resume` can continue from there."""

import time
from typing import Any

from linnaea.classifiers.contract import EpochRecord
from linnaea.commands import terminal
from linnaea.errors import DivergenceError, RunError
from linnaea.runs import provenance, run_diff
from linnaea.runs.checkpoint import Checkpoint, CheckpointInterval, Checkpoints, keep_history, sync_history
from linnaea.runs.folder import RunFolder
from linnaea.runs.schema import Resumed, Rewind, RunInfo
from linnaea.runs.settings import Recipe
from linnaea.signals import Stops

MOST_REWINDS = 3
TOLERANCE = (
    "The result is therefore not bit for bit that of a run that was never stopped, because sums are rounded "
    "in another order. Expect losses equal to about 1 in 100, and accuracies well within their interval."
)


class Checkpointer:
    """Writes the checkpoints of one training, and stops it between two steps when a signal came.

    device: see Classifier.compute_device. lines: lines of history.jsonl so far.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, stops: Stops, device: str | None) -> None:
        self.run, self.stops = run, stops
        self.checkpoints = Checkpoints(run)
        self.began = False  # whether a step or an epoch has been over since the training was set up
        self.interval = CheckpointInterval(recipe.checkpoint_every)
        self.lines = len(run.history())
        self.may_rewind = recipe.on_nan == "rewind"
        self.rewinds = len(run.info.rewinds)
        self._facts = {
            "split_hash": run.info.data.split_hash,
            "fingerprint": run.info.data.fingerprint,
            **circumstances(device),
        }

    def append(self, line: dict[str, Any]) -> None:
        """Add an epoch to history.jsonl."""
        # Only where there were any: as every other line of a history that went straight on.
        if self.rewinds:
            line["rewinds"] = self.rewinds
        self.run.append_history(line)
        self.lines += 1

    def fit(self, classifier: Any, X: Any, y: Any, **listeners: Any) -> None:
        """Let the classifier learn, turned back where it diverges and the recipe asks for that."""
        going_on, self.stops.before_stopping = True, lambda: self._stop(classifier)
        while going_on:
            going_on = False
            try:
                classifier.fit(X, y, **listeners)
            except DivergenceError as error:
                going_on = self.may_rewind and self._rewind(classifier, error.message)
                if not going_on:
                    raise
            finally:
                self.stops.patient = False
                if not going_on:
                    self.stops.before_stopping = None
        # Asked after the last step, when nothing is left to be broken off but the evaluation.
        self.stops.poll()

    def forget_what_is_half(self, classifier: Any, stopped: BaseException | None) -> None:
        """Let nothing be saved or evaluated that was not learned: what the classifier has of a broken step.

        stopped: what ended the training; raised here where there was no time to end its step.
        """
        if stopped is not None and self.stops.hasty:
            raise stopped
        if isinstance(stopped, KeyboardInterrupt) and not self.began:
            # Gone on with, or turned back, and stopped while it was still being set up.
            classifier.history_ = []

    def epoch_over(self, classifier: Any) -> None:
        """Write a checkpoint if one is due, after the epoch's line in history.jsonl; stop if asked to."""
        self.stops.patient = self.began = True
        # What a training is turned back to must not depend on how fast the machine is.
        # Before a stop, poll writes one anyway.
        if self.stops.pending is None and (self.may_rewind or self.interval.is_due(epoch_over=True)):
            self._write(classifier)
        self.stops.poll()

    def step_over(self, classifier: Any) -> None:
        """Write a checkpoint if one is due within an epoch; stop if asked to."""
        self.stops.patient = self.began = True
        if self.stops.pending is None and self.interval.is_due(epoch_over=False):
            self._write(classifier)
        self.stops.poll()

    def _stop(self, classifier: Any) -> None:
        """Write a last checkpoint: between two steps, before the training is stopped."""
        self._write(classifier)
        terminal.print_line("Stopping", "the network is saved as it is; a second signal stops at once")

    def _write(self, classifier: Any) -> None:
        started = time.monotonic()
        sync_history(self.run)
        arrays, values = classifier.training_state()
        self.checkpoints.write(arrays, values, {**self._facts, "history": self.lines})
        self.interval.written(time.monotonic() - started)

    def _rewind(self, classifier: Any, reason: str) -> bool:
        """Turn the training back to the last good epoch, at half the learning rate; False after MOST_REWINDS.

        Written in run.json ("rewinds"), and in history.jsonl in the line of the first epoch after it.
        """
        good = self.checkpoints.rewind() if self.rewinds < MOST_REWINDS else None
        if good is None:
            return False
        settings = classifier.get_params(deep=False)
        # Where the learning rate is left to the backbone, learning_rate_ is what it came to.
        rate = (settings["learning_rate"] or classifier.learning_rate_) / 2
        epoch = int(good.values["epoch"])
        self.lines = int(good.facts["history"])
        keep_history(self.run, self.lines)
        rewind = Rewind(to_epoch=epoch, learning_rate=rate, reason=reason)
        self.run.info.rewinds = [*self.run.info.rewinds, rewind]
        self.run.flush()
        self.rewinds += 1
        self.began = False  # again: until it is set up, the classifier has nothing that was learned
        classifier.set_params(learning_rate=rate)
        classifier.load_training_state(good.arrays, good.values)
        terminal.print_line(
            "Rewind", f"{reason} Back to epoch {epoch}, continuing with learning rate {rate:g}"
        )
        return True


def circumstances(device: str | None) -> dict[str, Any]:
    """Return versions, hardware and threads: what must be the same for a training to go on bit for bit.

    Asked before the training begins: a head that learns alone does so on one thread.
    """
    return {
        "versions": provenance.versions(),
        "hardware": provenance.hardware(device),
        "threads": provenance.threads(),
    }


def prepare(run: RunFolder, checkpoint: Checkpoint | None, device: str | None) -> None:
    """Put a run that was stopped back to its last checkpoint, and print where that is.

    None: there is none yet, and the run begins anew. What differs from the circumstances in which it began
    is reported, and written in run.json ("resumed"). device: see Classifier.compute_device.
    """
    if checkpoint is not None and checkpoint.instead:
        terminal.print_line(
            "Damaged", f"{checkpoint.instead} The checkpoint before it is whole, and is used."
        )
        Checkpoints(run).settle(checkpoint)
    run.info.checksums = {}  # of what is written anew
    run.flush()
    run.clear_test_result()
    keep_history(run, 0 if checkpoint is None else int(checkpoint.facts["history"]))
    resumed = Resumed(at=provenance.now(), epoch=None, step=None, differences=[])
    if checkpoint is None:
        terminal.print_line("Resume", "from the beginning: no checkpoint was written yet")
    else:
        resumed.epoch = checkpoint.values.get("epoch") or 0
        resumed.step = checkpoint.values.get("step") or 0
        resumed.differences = run_diff.changes(checkpoint.facts, circumstances(device))
        terminal.print_line("Resume", f"from {checkpoint.place}")
    if resumed.differences:
        terminal.print_line("Differs", *resumed.differences, TOLERANCE)
    run.info.resumed = [*run.info.resumed, resumed]
    run.flush()


def go_on_from(checkpoint: Checkpoint, classifier: Any, info: RunInfo) -> list[EpochRecord]:
    """Give a new classifier its earlier state, at the learning rate that rewinds left; return its epochs.

    Raises RunError where a checkpoint from elsewhere does not contain what it should.
    """
    if info.rewinds:
        classifier.set_params(learning_rate=info.rewinds[-1].learning_rate)
    try:
        records = [EpochRecord(**record) for record in checkpoint.values["history"]]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RunError(
            f"The checkpoint is not valid ({type(error).__name__}: {error}).",
            "Start again: linnaea train, with --overwrite.",
        ) from error
    classifier.load_training_state(checkpoint.arrays, checkpoint.values)
    return records
