"""Seconds that commands take which train nothing, as whole processes: help, lists, and mistakes."""

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


def seconds(words: str) -> float:
    """Return the seconds that one process takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "linnaea", *words.split()], check=False, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the median and the range of each command, in alternating rounds after a warm-up."""
    targets = {words: target for target, several in COMMANDS.items() for words in several}
    for words in targets:
        seconds(words)
    rounds = [{words: seconds(words) for words in targets} for _ in range(ROUNDS)]
    for words, target in targets.items():
        took = [measured[words] for measured in rounds]
        median = statistics.median(took)
        missed = f"  more than {target:g} s" * (median > target)
        print(f"linnaea {words:40} {median:.2f} s ({min(took):.2f} to {max(took):.2f}){missed}")


if __name__ == "__main__":
    main()
