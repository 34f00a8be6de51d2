"""Seconds that `linnaea --help` and `--version` take as whole processes; the target is half a second."""

import statistics
import subprocess
import sys
import time

ROUNDS = 10
COMMANDS = {
    "linnaea --help": ["-m", "linnaea", "--help"],
    "linnaea --version": ["-m", "linnaea", "--version"],
    "python -c pass": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
}


def seconds(arguments: list[str]) -> float:
    """Return the seconds that one process takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Print the median and the range of each command, in alternating rounds after a warm-up."""
    for arguments in COMMANDS.values():
        seconds(arguments)
    rounds = [{name: seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(ROUNDS)]
    for name in COMMANDS:
        took = [measured[name] for measured in rounds]
        print(f"{name:18} {statistics.median(took):.3f} s ({min(took):.3f}–{max(took):.3f})")


if __name__ == "__main__":
    main()
