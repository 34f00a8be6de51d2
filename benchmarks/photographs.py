"""Flowers-102, official split: accuracy and time of the whole command, run on the command line.

The default recipe with two networks, and three budgets, one process after another. Everything is chosen on
the validation set, and each predicts the test set once. Needs the shared data and weights (LINNAEA_SHARED or
../shared). ROWS ("budget 90s,budget 5m") selects rows; all of them take three quarters of an hour on two
cores.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARED = Path(os.environ.get("LINNAEA_SHARED", "../shared"))
DATA = SHARED / "data" / "flowers102"
MOBILENET = ["--model", "mobilenetv2", "--weights", SHARED / "weights/mobilenetv2_100.tv_in1k.safetensors"]
ROWS: dict[str, list[str | Path]] = {
    "MobileNet v2": MOBILENET,
    "EfficientNet-Lite0": ["--model", "efficientnet_lite0"],
    "budget 90s": ["--model", "efficientnet_lite0", "--budget", "90s"],
    "budget 5m": ["--model", "efficientnet_lite0", "--budget", "5m"],
    "budget 15m": ["--model", "efficientnet_lite0", "--budget", "15m"],
}


def percent(value: float) -> str:
    """Return a share as a percentage with one digit."""
    return f"{100 * value:.1f}"


def measure(options: list[str | Path], run: Path) -> str:
    """Train with these options, and return the row: validation, probe, test with interval, seconds."""
    command = [sys.executable, "-m", "linnaea", "train", "flowers102", "--data-dir", DATA]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--split", "official", "--out", run, *options], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        return f"not measured: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    info = json.loads((run / "run.json").read_text())
    test = json.loads((run / "metrics.json").read_text())["accuracy"]
    epochs = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    best = max(epoch["val_accuracy"] for epoch in epochs)
    probe = info["baselines"].get("the probe alone", test["value"])  # where it is not the result itself
    accuracy = f"{percent(test['value'])} ({percent(test['low'])} to {percent(test['high'])})"
    plan = (info.get("plan") or {}).get("summary", "")
    return f"{percent(best):>11} {percent(probe):>12} {accuracy:>22} {seconds:9.0f}  {plan}".rstrip()


def main() -> None:
    """Print one line per row: best validation accuracy, test accuracy of the probe and the final network."""
    if not DATA.exists():
        print(f"Skipped: {DATA} is not here.", file=sys.stderr)
        return
    wanted = [name.strip() for name in os.environ.get("ROWS", ",".join(ROWS)).split(",")]
    print(f"{'percent':20} {'validation':>11} {'probe, test':>12} {'test, 95 % interval':>22} {'seconds':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(wanted):
            print(f"{name:20} {measure(ROWS[name], Path(folder) / str(number))}", flush=True)


if __name__ == "__main__":
    main()
