"""Seconds per epoch of 60,000 pictures of 784 pixels, beside scikit-learn, PyTorch and Keras.

Plain gradient descent and Adam, in batches of 100; `python -m benchmarks.perceptron_speed 10 1000` takes
batches of those sizes. Each library runs in a process of its own with 2 threads on the same two processors.
Their epochs alternate, so that other load on the machine affects all alike. The first epoch of each is a
warm-up.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks._contenders import CONTENDERS, RATES, Task

ROWS, THREADS, ROUNDS = 60_000, 2, 5
NETWORKS = ([784, 50, 10], [784, 100, 100, 10], [784, 500, 500, 10])


def start(name: str, task: Task) -> subprocess.Popen[str]:
    """Return the process of a library."""
    sizes = ",".join(map(str, task.sizes))
    count = str(THREADS)
    threads = {f"{library}_NUM_THREADS": count for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "benchmarks._contenders",
            name,
            sizes,
            str(task.rows),
            task.solver,
            str(task.batch),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | threads | CONTENDERS[name][1],
    )
    if hasattr(os, "sched_setaffinity"):
        # JAX takes its number of threads from the processors it may use.
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:THREADS])
    return process


def epoch(process: subprocess.Popen[str]) -> float | None:
    """Return the seconds of the process's next epoch, None if it has died."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    return float(line) if line else None


def measure(task: Task) -> dict[str, list[float]]:
    """Return the seconds of each library's epochs; an empty list for one that could not run."""
    processes = {name: start(name, task) for name in CONTENDERS}
    try:
        alive = {name: p for name, p in processes.items() if epoch(p) is not None}
        seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(ROUNDS):
            for name, process in alive.items():
                took = epoch(process)
                if took is not None:
                    seconds[name].append(took)
        return seconds
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def main(batches: Sequence[int] = (100,)) -> None:
    """Print one table for each batch and solver: median seconds, their range, and the ratio to linnaea."""
    for batch in batches:
        for solver in RATES:
            race(solver, batch)


def race(solver: str, batch: int) -> None:
    """Print the table of one solver and batch."""
    columns = [measure(Task(sizes, ROWS, solver, batch)) for sizes in NETWORKS]
    titles = ["-".join(map(str, sizes)) for sizes in NETWORKS]
    print(f"{f'{solver}, batch {batch}':18}" + "".join(f"{title:>27}" for title in titles))
    for name in CONTENDERS:
        print(f"{name:18}" + "".join(f"{cell(name, column):>27}" for column in columns))
    for title, column in zip(titles, columns, strict=True):
        print(f"{title}: {verdict(column)}")
    print(
        f"seconds per epoch, median of {ROUNDS} interleaved ones (lowest to highest) · {ROWS:,} rows · "
        f"{THREADS} threads each\n",
        flush=True,
    )


def cell(name: str, column: dict[str, list[float]]) -> str:
    """Return "0.123 (0.120–0.130) 2.1×"."""
    seconds, ours = column[name], column["linnaea"]
    if not seconds or not ours:
        return "could not run"
    ratio = statistics.median(seconds) / statistics.median(ours)
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f}–{max(seconds):.3f}) {ratio:4.2f}×"


def verdict(column: dict[str, list[float]]) -> str:
    """Return the ratios of linnaea to the fastest other library and to the matrix products alone."""
    medians: dict[str, Any] = {name: statistics.median(s) for name, s in column.items() if s}
    ours, below = medians.pop("linnaea"), medians.pop("products alone")
    fastest = min(medians, key=medians.__getitem__)
    return (
        f"{medians[fastest] / ours:.2f} times as fast as the fastest other library ({fastest}); "
        f"{ours / below:.2f} times the matrix products alone"
    )


if __name__ == "__main__":
    main([int(batch) for batch in sys.argv[1:]] or (100,))
