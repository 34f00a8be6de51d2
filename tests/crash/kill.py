"""Kill training at random moments, go on, and compare with the run that nobody stopped: make crash-test.

python -m tests.crash.kill 100 [--first 0] kills a hundred times: runs number 0, 1, …, each once or more. What
each number does (the kind of run, how often it is killed, when, and how often it writes checkpoints) is drawn
from the number alone; at which instruction SIGKILL finds the process is the machine's to choose.
"""

import argparse
import collections
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tests.crash import runs
from tests.crash.runs import FINE_TUNED, KERAS, PERCEPTRON, PROBED, TRANSFORMER, Kind

# Ten runs in a row, and so on.
ORDER = (PERCEPTRON, FINE_TUNED, PERCEPTRON, PROBED, FINE_TUNED) * 2
ORDER = (*ORDER[:4], TRANSFORMER, *ORDER[5:-1], KERAS)
# Seconds between two checkpoints: writing them nearly all the time, now and then, seldom.
RHYTHMS = (0.001, 0.05, 300.0)
MOST_KILLS = 4


@dataclass
class Outcome:
    """What became of one run: where each kill found it, and what differs in the end."""

    number: int
    kind: str
    kills: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def kills(number: int) -> int:
    """Return how often this run is killed: once in two thirds of the runs, twice in two ninths, …"""
    return min(MOST_KILLS, int(np.random.default_rng([0, number]).geometric(2 / 3)))


def attempt(number: int, place: Path, kind: Kind | None = None) -> Outcome:
    """Train, kill, go on, as often as the number says; compare the end with the uninterrupted run."""
    draw = np.random.default_rng([1, number])
    kind = kind or ORDER[number % len(ORDER)]
    untouched, seconds = runs.reference(kind, place)
    epochs = _lines(untouched)
    outcome = Outcome(number, kind.name)
    run = place / f"killed {number}"
    _remove(run)
    every = float(draw.choice(RHYTHMS))
    process = runs.begin(kind, place, run, every)
    for _ in range(kills(number)):
        # A process that was faster than its moment is followed by another, with less time.
        for share in (1.0, 0.6, 0.3, 0.0):
            if _killed(process, run, draw, epochs, share * seconds):
                outcome.kills.append(_stage(run))
                break
            _remove(run)
            process = runs.begin(kind, place, run, every)
        process = runs.go_on(kind, place, run, every)
    failure = runs.failure(process)
    outcome.faults += [failure] if failure else runs.differences(run, untouched)
    if not outcome.faults:
        _remove(run)
    return outcome


def _killed(
    process: subprocess.Popen[bytes], run: Path, draw: np.random.Generator, epochs: int, seconds: float
) -> bool:
    """Send SIGKILL at a random moment; return False for a process that ended by itself before.

    Loading the libraries is most of the time of so small a run, and the same each time. So one moment in five
    lies anywhere; three lie within training, two of these while a file is being written; one lies after it.

    epochs: of the run that nobody stopped, whose lines of history tell how far this one is.
    seconds: that it may take.
    """
    aim = draw.choice(["anywhere", "learning", "writing", "writing", "judging"])
    share, wait = draw.random(2)
    done = _lines(run)
    match aim:
        case "anywhere":
            _until(process, lambda: False, seconds * wait)
        case "judging":
            _until(process, lambda: (run / "predictions.csv").exists())
            _until(process, lambda: False, 0.2 * seconds * wait)
        case _:
            _until(process, lambda: _lines(run) > done + share * (epochs - done))
            # Less than an epoch takes where each step is followed by a checkpoint.
            _until(process, lambda: False, 0.05 * wait)
            if aim == "writing":
                _until(process, lambda: _is_writing(run))
    if process.poll() is not None:
        return False
    process.kill()
    process.communicate()
    return True


def _until(process: subprocess.Popen[bytes], is_so: Callable[[], bool], seconds: float = 1e9) -> None:
    """Wait until something is so, the process has ended, or the time is over."""
    end = time.monotonic() + seconds
    while process.poll() is None and not is_so() and time.monotonic() < end:
        time.sleep(0.0005)


def _lines(run: Path) -> int:
    try:
        return (run / "history.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def _is_writing(run: Path) -> bool:
    # Folders come and go meanwhile.
    with contextlib.suppress(OSError):
        return any(run.glob("**/.*.tmp"))
    return False


def _stage(run: Path) -> str:
    """Return where a kill found a run, by what it left."""
    if not (run / "run.json").exists():
        return "before there was a run"
    if '"state": "finished"' in (run / "run.json").read_text():
        return "after the result"
    if (run / "predictions.csv").exists() or (run / "weights.safetensors").exists():
        return "while judging"
    if not (run / "checkpoint" / "current").exists():
        return "before a checkpoint"
    return "while writing a file" if _is_writing(run) else "between two files"


def _remove(run: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)


def attempts(numbers: Iterable[int], place: Path, jobs: int, seconds: float) -> Iterator[Outcome]:
    """Yield the outcome of each number, in order, begun within so many seconds.

    The uninterrupted runs are made first, alone.
    """
    end = time.monotonic() + seconds
    numbers = list(numbers)
    for kind in dict.fromkeys(ORDER[number % len(ORDER)] for number in numbers):
        runs.reference(kind, place)

    def in_time(number: int) -> Outcome | None:
        return attempt(number, place) if time.monotonic() < end else None

    with ThreadPoolExecutor(jobs) as pool:
        yield from (outcome for outcome in pool.map(in_time, numbers) if outcome is not None)


def table(outcomes: list[Outcome]) -> str:
    """Return a table: kinds of runs, how often each was killed, where, and how many ended the same."""
    stages = list(dict.fromkeys(stage for outcome in outcomes for stage in outcome.kills))
    rows = [["kind", "runs", "kills", *stages, "same to the bit"]]
    for kind in [*dict.fromkeys(outcome.kind for outcome in outcomes), "together"]:
        own = [outcome for outcome in outcomes if kind in (outcome.kind, "together")]
        hits = collections.Counter(stage for outcome in own for stage in outcome.kills)
        same = sum(not outcome.faults for outcome in own)
        numbers = [len(own), sum(hits.values()), *(hits[stage] for stage in stages)]
        rows.append([kind, *map(str, numbers), f"{same} of {len(own)}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)


@contextlib.contextmanager
def prepared(place: Path | None) -> Iterator[Path]:
    """Yield a folder with the data sets: a temporary one, or place, which keeps what is made in it."""
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(temporary) if place is None else place.resolve()
        if not (where / "tiles").exists():
            runs.draw(where)
        yield where


def main() -> int:
    """Print what became of each run, and a table; return 1 where one did not end as the uninterrupted one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("count", type=int, help="how many kills, at least")
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at a time")
    parser.add_argument("--place", type=Path, help="a folder to keep the outcomes in, and to go on from")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no run after so many seconds")
    chosen = parser.parse_args()
    numbers, planned = [], 0
    while planned < chosen.count:
        numbers.append(chosen.first + len(numbers))
        planned += kills(numbers[-1])
    with prepared(chosen.place) as place:
        log = place / "outcomes.jsonl"
        outcomes = (
            [Outcome(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []
        )
        new = sorted({*numbers} - {outcome.number for outcome in outcomes})
        for outcome in attempts(new, place, chosen.jobs, chosen.seconds):
            outcomes.append(outcome)
            with open(log, "a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
            told = "; ".join(outcome.faults) or "the same to the bit"
            print(
                f"{outcome.number:4}  {outcome.kind}, killed {', '.join(outcome.kills)}: {told}", flush=True
            )
    print(table(outcomes))
    return int(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
