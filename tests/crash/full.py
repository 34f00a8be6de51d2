"""Let the disk fill up while a run is trained, make room again, go on: make crash-test.

python -m tests.crash.full 30 tries 30 amounts of room. Half of the runs are on a file system of their own
(where mounting one is permitted) that is filled, but for so many bytes, once there is a checkpoint; for the
others no file may grow beyond so many bytes from then on (RLIMIT_FSIZE).
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import runs
from tests.crash.kill import prepared
from tests.crash.runs import FINE_TUNED, PERCEPTRON, Kind

from linnaea.runs.checkpoint import Checkpoints
from linnaea.runs.folder import RESERVE, RunFolder

DISK = {PERCEPTRON: 9 << 20, FINE_TUNED: 56 << 20}  # bytes of a file system of its own
# Seconds between two checkpoints: the next one is near; or the next file is the history, or the weights.
OFTEN, SELDOM = 0.001, 300.0


@dataclass
class Outcome:
    """What became of one run: how its room ended, at how many bytes, what it said, and what was wrong."""

    number: int
    kind: str
    how: str
    room: int
    said: str = ""
    state: str = ""
    faults: list[str] = field(default_factory=list)


def attempt(number: int, of: int, place: Path, kind: Kind | None = None) -> Outcome:
    """Train until there is a checkpoint, take the room away, look at what is left, make room, go on."""
    kind = kind or (FINE_TUNED if number % 5 == 4 else PERCEPTRON)
    untouched, _ = runs.reference(kind, place)
    every = OFTEN if number // 2 % 2 == 0 else SELDOM
    with _disk(place / f"disk {number}", DISK[kind] if number % 2 == 0 else 0) as (folder, own):
        run = folder / f"full {number}"
        process = runs.begin(kind, place, run, every)
        largest = _first_checkpoint(process, run)
        if every == SELDOM:
            largest = (untouched / "weights.safetensors").stat().st_size
        # From one byte to nearly all of the next large file, so that at least that one cannot be written.
        room = 1 + (largest - 2) * number // max(of - 1, 1)
        outcome = Outcome(number, kind.name, "full" if own else "limit", room)
        filler = _take_room(process, run, own, room)
        _judge_failure(outcome, process, run)
        filler.unlink(missing_ok=True)
        if not outcome.faults:
            failure = runs.failure(runs.go_on(kind, place, run, every))
            outcome.faults = [failure] if failure else runs.differences(run, untouched)
        shutil.rmtree(run, ignore_errors=True)
    return outcome


def _first_checkpoint(process: subprocess.Popen[bytes], run: Path) -> int:
    """Wait for a checkpoint; return the bytes of its largest file."""
    while process.poll() is None and not (run / "checkpoint" / "current").exists():
        time.sleep(0.001)
    # It may be replaced at this very moment.
    while process.poll() is None:
        with contextlib.suppress(OSError):
            sizes = [path.stat().st_size for path in run.glob("checkpoint/*/*.safetensors")]
            if sizes:
                return max(sizes)
    raise RuntimeError(f"the run ended before its disk was full: {runs.ended(process)}")


def _take_room(process: subprocess.Popen[bytes], run: Path, own: bool, room: int) -> Path:
    """Leave room bytes on the run's own disk, or forbid it larger files; return what takes the room."""
    filler = run.parent / "filler"
    if not own:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, room))
        return filler
    with open(filler, "wb", buffering=0) as file:
        # Until the run gives up: what it gives back meanwhile (the checkpoint before) is taken as well, but
        # not its reserve, which was still there after the free room had been measured.
        while process.poll() is None:
            free = shutil.disk_usage(run.parent).free - room
            if not (run / RESERVE).exists():
                break
            if free >= os.sysconf("SC_PAGE_SIZE"):
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
            time.sleep(0.001)
    return filler


def _judge_failure(outcome: Outcome, process: subprocess.Popen[bytes], run: Path) -> None:
    """Hold what a run said and left on a full disk to what was promised."""
    code, said = runs.ended(process)
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    outcome.said = errors[-1] if errors else ""
    if code != 1:
        outcome.faults.append(f"the exit code is {code}")
    if "Traceback" in said:
        outcome.faults.append(f"a traceback: {said[-500:]}")
    if len(errors) != 1 or str(run) not in outcome.said or "could not be written" not in outcome.said:
        outcome.faults.append(f"no clear message: {said[-500:]}")
    try:
        if Checkpoints(RunFolder(run)).read() is None:
            outcome.faults.append("no checkpoint")
        info = json.loads((run / "run.json").read_text())
    except Exception as error:
        outcome.faults.append(f"not readable: {error}")
        return
    outcome.state = info["state"]
    # A limit below the size of run.json leaves it as it was: nobody could write it.
    if outcome.state != "failed" and not (outcome.how == "limit" and outcome.room < 8192):
        outcome.faults.append(f"run.json says {outcome.state}")
    if outcome.how == "full" and "</html>" not in (run / "report.html").read_text():
        outcome.faults.append("the report is not whole")


@contextlib.contextmanager
def _disk(folder: Path, size: int) -> Iterator[tuple[Path, bool]]:
    """Yield a folder, and whether it is a file system of size bytes; mounting one takes rights."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = size > 0 and shutil.which("mount") is not None
    mounted = mounted and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield folder, mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def attempts(numbers: Iterable[int], of: int, place: Path, jobs: int) -> Iterator[Outcome]:
    """Yield the outcome of each number, in order; the uninterrupted runs are made first, alone."""
    numbers = list(numbers)
    for kind in (PERCEPTRON, FINE_TUNED):
        runs.reference(kind, place)
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda number: attempt(number, of, place), numbers)


def main() -> int:
    """Print what each run said; return 1 where anything but the promised happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("count", type=int, help="how many amounts of room")
    parser.add_argument("--numbers", help="only these of them: 0-9, say")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--place", type=Path, help="a folder that keeps the uninterrupted runs for next time")
    chosen = parser.parse_args()
    # So that no file system stays mounted when this is ended.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    first, _, last = (chosen.numbers or f"0-{chosen.count - 1}").partition("-")
    outcomes = []
    with prepared(chosen.place) as place:
        for outcome in attempts(range(int(first), int(last or first) + 1), chosen.count, place, chosen.jobs):
            outcomes.append(outcome)
            told = "; ".join(outcome.faults) or f"{outcome.state}; then the same to the bit"
            print(f"{outcome.number:3}  {outcome.kind}, {outcome.how} at {outcome.room:,} bytes: {told}")
            print(f"     {outcome.said}", flush=True)
    good = sum(not outcome.faults for outcome in outcomes)
    print(f"{good} of {len(outcomes)} kept a readable checkpoint, said why, and went on to the same result")
    return int(good < len(outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
