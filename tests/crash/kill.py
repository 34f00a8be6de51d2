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
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tests.crash import runs
from tests.crash.runs import FINE_TUNED, KERAS, PERCEPTRON, PROBED, Kind

# Ten runs in a row, and so on.
ORDER = (PERCEPTRON, FINE_TUNED, PERCEPTRON, PROBED, FINE_TUNED) * 2
ORDER = (*ORDER[:-1], KERAS)
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
    outcome = Outcome(number, kind.name)
    run = place / f"killed {number}"
    _remove(run)
    every = float(draw.choice(RHYTHMS))
    process = runs.begin(kind, place, run, every)
    for _ in range(kills(number)):
        # A process that was faster than its moment is followed by another, with less time.
        for share in (1.0, 0.6, 0.3, 0.1, 0.0):
            if _killed(process, run, draw, share * seconds):
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


def _killed(process: subprocess.Popen[bytes], run: Path, draw: np.random.Generator, seconds: float) -> bool:
    """Send SIGKILL at a random moment; return False for a process that ended by itself before.

    A quarter of the moments lie anywhere, loading included; half within training and what comes after it;
    for a quarter the harness waits for a file that is being written, and kills at the sight of it.
    """
    aim = draw.choice(["anywhere", "learning", "learning", "writing"])
    wait = float(draw.random())
    if aim == "anywhere":
        _wait(process, seconds * wait)
    else:
        # Loading the libraries is most of the time of so small a run, and the same each time.
        known = _mark(run)
        while process.poll() is None and _mark(run) == known:
            time.sleep(0.001)
        _wait(process, 0.6 * seconds * wait)
        while aim == "writing" and process.poll() is None and not _is_writing(run):
            pass
    if process.poll() is not None:
        return False
    process.kill()
    process.communicate()
    return True


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _mark(run: Path) -> tuple[int, int]:
    """Return what changes once a process has begun to learn: the length of the history and when it grew."""
    try:
        status = (run / "history.jsonl").stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


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


def attempts(numbers: Iterable[int], place: Path, jobs: int) -> Iterator[Outcome]:
    """Yield the outcome of each number, in order; the uninterrupted runs are made first, alone."""
    numbers = list(numbers)
    for kind in dict.fromkeys(ORDER[number % len(ORDER)] for number in numbers):
        runs.reference(kind, place)
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda number: attempt(number, place), numbers)


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
    """Print what became of each run, and a table of all that the folder knows; return 1 for any fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("count", type=int, help="how many kills, at least")
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at a time")
    parser.add_argument("--place", type=Path, help="a folder that keeps what was made here for the next time")
    chosen = parser.parse_args()
    numbers, planned = [], 0
    while planned < chosen.count:
        numbers.append(chosen.first + len(numbers))
        planned += kills(numbers[-1])
    with prepared(chosen.place) as place:
        log = place / "outcomes.jsonl"
        for outcome in attempts(numbers, place, chosen.jobs):
            with open(log, "a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
            told = "; ".join(outcome.faults) or "the same to the bit"
            print(
                f"{outcome.number:4}  {outcome.kind}, killed {', then '.join(outcome.kills)}: {told}",
                flush=True,
            )
        outcomes = [Outcome(**json.loads(line)) for line in log.read_text().splitlines()]
    print(table(outcomes))
    return int(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
