"""Seconds that commands take which train nothing, as whole processes: help, lists, and mistakes."""

import resource
import statistics
import subprocess
import sys
import time

ROUNDS = 5
# Target in seconds → commands. Mistakes end with another exit code than 0.
COMMANDS = {
    0.6: ("--help", "--version", "settings", "models", "train --help"),
    1.0: (
        "trian digits",
        "train nowhere",
        "train digits --epocs 5",
        "train digits --epochs many --solver adm",
        "check nowhere",
        "predict nowhere a.jpg",
        "predict nowhere a.jpg --format xml",
        "evaluate nowhere",
        "compare nowhere elsewhere",
        "resume nowhere",
        "rerun nowhere",
        "report nowhere",
        "open nowhere",
    ),
}


def seconds(words: str) -> tuple[float, float]:
    """Return the seconds that one process takes, and those of a processor, which others delay less."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "linnaea", *words.split()], check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - started, busy


def main() -> None:
    """Print the median of each command, and its least processor time, in alternating rounds."""
    targets = {words: target for target, several in COMMANDS.items() for words in several}
    for words in targets:
        seconds(words)
    rounds = [{words: seconds(words) for words in targets} for _ in range(ROUNDS)]
    for words, target in targets.items():
        took, busy = zip(*(measured[words] for measured in rounds), strict=True)
        median = statistics.median(took)
        missed = f"  more than {target:g} s" * (median > target)
        print(f"linnaea {words:40} {median:.2f} s, processor {min(busy):.2f} s{missed}")


if __name__ == "__main__":
    main()
