"""What a run folder holds, read once: whatever exists, and nothing else."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from linnaea.errors import RunError
from linnaea.evaluation.metrics import explained
from linnaea.evaluation.predictions import Predictions
from linnaea.runs import tables
from linnaea.runs.folder import RunFolder
from linnaea.runs.schema import RunInfo

# The quantities of a line of history.jsonl that are drawn, by split.
SPLITS = ("train", "val", "test")

LOSS_NAMES = {"cross_entropy": "cross-entropy", "squared_error": "squared error"}


@dataclass(frozen=True)
class RunFacts:
    """One run as the report sees it. A file that is not there yet is None or empty.

    history: list of dict
        One record an epoch, in order.
    metrics: dict of dict
        metrics.json: name → {"value", "low", "high"}, and what explains it: see evaluation.metrics.explained.
    mistakes, doubtful, cells: dict of int → Path
        The thumbnails that exist, by row of predictions.csv: the most confident mistakes, the least certain
        right answers, and small ones of any picture for the cells of the confusion matrix.
    heats: dict of int → Path
        Heat maps over mistakes and doubtful ones.
    calibration, outliers: dict
        calibration.json and outliers.json.
    folds: int
        How many folds these are the results of, each picture tested once; 0 of a single run.
    problems: list of dict, or None
        What check.json found; None where nothing was looked for.
    """

    path: Path
    info: RunInfo
    history: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    predictions: Predictions | None
    mistakes: dict[int, Path] = field(default_factory=dict)
    doubtful: dict[int, Path] = field(default_factory=dict)
    cells: dict[int, Path] = field(default_factory=dict)
    heats: dict[int, Path] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    outliers: dict[str, Any] = field(default_factory=dict)
    folds: int = 0
    problems: list[dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        """The folder's own name; '.' and '..' are resolved first."""
        return self.path.resolve().name or str(self.path)

    @property
    def data_name(self) -> str:
        """What the data set is called, or where it came from; "" where the run did not come so far."""
        return self.info.data.name or self.info.data.source or ""

    @property
    def state(self) -> str:
        """One of running, finished, interrupted, failed."""
        return self.info.state or "running"

    @property
    def tested(self) -> int | None:
        """The number of test pictures the metrics are about."""
        if self.predictions is not None:
            return len(self.predictions)
        return self.info.data.splits.get("test") or None

    @property
    def loss_name(self) -> str:
        """What was trained on, in words: 'cross-entropy' or 'squared error'."""
        loss = str(self.info.recipe.get("loss") or "cross_entropy")
        return LOSS_NAMES.get(loss, loss.replace("_", " "))

    def metric(self, name: str) -> float | None:
        """Return the value of one metric, or None where it is not there or not finite."""
        value = self.metrics.get(name, {}).get("value")
        return None if value is None else float(value)

    def interval(self, name: str) -> tuple[float, float] | None:
        """Return (low, high) of one metric, or None where it has no interval."""
        entry = self.metrics.get(name, {})
        low, high = entry.get("low"), entry.get("high")
        return None if low is None or high is None else (float(low), float(high))

    def rows(self, name: str, key: str) -> list[dict[str, Any]]:
        """Return the rows that explain a metric, as evaluation.metrics.explained lists them."""
        return list(self.metrics.get(name, {}).get(key) or [])

    def series(self, split: str, quantity: str) -> list[tuple[int, float]]:
        """Return (epoch, value) of e.g. ('val', 'loss'), without the epochs that have none.

        A loss that left the finite numbers was written as null, and is a gap here.
        """
        key = f"{split}_{quantity}"
        return [
            (int(record["epoch"]), float(record[key]))
            for record in self.history
            if record.get(key) is not None
        ]

    @property
    def epochs(self) -> int:
        """How many epochs were trained; of a probe alone, or of an early end, none."""
        return max((record["epoch"] for record in self.history), default=0)

    @property
    def training_seconds(self) -> float | None:
        """Seconds of all epochs, evaluation apart; None where there is none."""
        seconds = [record.get("seconds") or 0.0 for record in self.history]
        return float(sum(seconds)) if seconds else None


def read_numbers(run: RunFolder) -> RunFacts:
    """Return the facts of a run that was evaluated a moment ago, without its tables and pictures."""
    return RunFacts(run.path, run.info, run.history(), run.metrics(), None, calibration=run.calibration())


def read_run(run: RunFolder) -> RunFacts:
    """Read what a run has left so far.

    Raises RunError or DataError, naming the file, for one that is damaged; a missing one is no error, but for
    numbers that were there.
    """
    run.refuse_lost_numbers()
    predictions, validation = _tables(run)
    history = run.history()
    metrics, calibration = run.metrics(), run.calibration()
    if metrics and predictions is not None and "by_confidence" not in metrics.get("accuracy", {}):
        # Of an earlier version: what it left to the page is computed as evaluation does it now.
        temperature = calibration.get("temperature")
        metrics = explained(metrics, predictions, validation=validation, temperature=temperature)
    wrong = frozenset[int]()
    rows = 0
    if predictions is not None:
        wrong = frozenset(np.flatnonzero(predictions.predicted != predictions.true).tolist())
        rows = len(predictions)
    right = frozenset(range(rows)) - wrong
    return RunFacts(
        path=run.path,
        info=run.info,
        history=history,
        metrics=metrics,
        predictions=predictions,
        mistakes=_pictures(run, "mistakes", wrong),
        doubtful=_pictures(run, "doubtful", right),
        cells=_pictures(run, "cells", wrong | right),
        heats=_heats(run, wrong, right),
        calibration=calibration,
        outliers=run.outliers(),
        problems=_problems(run),
    )


def _tables(run: RunFolder) -> list[Predictions | None]:
    """Return the tables of the test and the validation set, held against the run's split."""
    there = [name for name in tables.FILES if tables.is_there(run, name)]
    split = tables.split_of(run) if there else None
    return [tables.read_table(run, name, split) if name in there else None for name in ("test", "val")]


def _problems(run: RunFolder) -> list[dict[str, Any]] | None:
    if not (run.path / "check.json").exists():
        run.refuse_changed("check.json")
        return None
    found = run.read_json("check.json").get("problems")
    if not isinstance(found, list) or not all(isinstance(problem, dict) for problem in found):
        raise RunError(
            f"{run.path / 'check.json'} holds no list of problems.", "Make it again: linnaea check."
        )
    run.refuse_changed("check.json")
    return found


def _heats(run: RunFolder, wrong: frozenset[int], right: frozenset[int]) -> dict[int, Path]:
    """Heat maps by row; none where each is a single cell (runs of earlier versions kept such)."""
    if run.info.heat_maps is not None and run.info.heat_maps.places == [1, 1]:
        return {}
    return _pictures(run, "mistakes", wrong, ".heat") | _pictures(run, "doubtful", right, ".heat")


def _pictures(run: RunFolder, folder: str, rows: frozenset[int], end: str = "") -> dict[int, Path]:
    """Thumbnails by row; a file of another row (an older run's, left behind) is no picture of this table."""
    found = {}
    for picture in sorted((run.path / folder).glob(f"*{end}.*")):
        number = picture.name.partition(".")[0]
        whole = picture.suffix in (".png", ".jpg") and picture.stem == number + end
        if whole and number.isdecimal() and int(number) in rows:
            found[int(number)] = picture
    return found
