"""What --model auto takes on each data set, beside each of its networks alone: accuracy and time.

`python -m benchmarks auto`: whole commands, from undecoded files to the report, one process after another,
with the probe alone (`--epochs 0`) or, with EPOCHS=default, fine-tuning as it is by default. The networks are
those whose weights are here: EfficientNet-Lite0 and the shared ViT-Tiny, laid out as the hub's cache. Needs
the shared data and weights (LINNAEA_SHARED or ../shared). SETS ("waste,hands") selects data sets.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from linnaea.classifiers.finetune.short_names import KNOWN

SHARED = Path(os.environ.get("LINNAEA_SHARED", "../shared")).resolve()
SETS: dict[str, list[str | Path]] = {
    "flowers": ["flowers102", "--data-dir", SHARED / "data/flowers102", "--split", "official"],
    "waste": [SHARED / "data/trashnet"],
    "hands": [SHARED / "data/sign_digits"],
}
MODELS = ("efficientnet_lite0", "vit_tiny", "auto")
HEADER = f"{'validation':>10} {'test, 95 % interval':>22} {'seconds':>8}  network"


def lay_out(cache: Path) -> None:
    """Lay out a folder as the hub's client keeps it, with the shared weights of ViT-Tiny."""
    weights = KNOWN["vit_tiny"].weights
    folder = cache / "hub" / f"models--timm--{weights}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    (snapshot / "model.safetensors").symlink_to(SHARED / "weights" / f"{weights}.safetensors")


def measure(data: list[str | Path], options: list[str | Path], folder: Path) -> tuple[str, Path]:
    """Run the command once, nothing decoded before; return validation, test and seconds, and the run.

    folder: where the weights are, as lay_out left them; the run is overwritten by the next.
    """
    run, cache = folder / "run", folder / "cache"
    epochs = [] if os.environ.get("EPOCHS") == "default" else ["--epochs", "0"]
    command = [sys.executable, "-m", "linnaea", "train", *data, *options, *epochs]
    # The cache of decoded pictures is a new one; what is known of the machine's precision is measured again.
    environment = {
        **os.environ,
        "HF_HOME": str(folder / "weights"),
        "HF_HUB_OFFLINE": "1",
        "LINNAEA_CACHE": str(cache),
    }
    started = time.perf_counter()
    done = subprocess.run(
        [*map(str, command), "--out", str(run), "--overwrite"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    shutil.rmtree(cache, ignore_errors=True)
    if done.returncode:
        return f"not measured: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}", run
    info = json.loads((run / "run.json").read_text())
    test = json.loads((run / "metrics.json").read_text())["accuracy"]
    best = max(json.loads(line)["val_accuracy"] for line in (run / "history.jsonl").read_text().splitlines())
    return row(best, test["value"], test["low"], test["high"], seconds, info["model"]), run


def row(val: float, test: float, low: float, high: float, seconds: float, network: str) -> str:
    """Return the cells of a line: shares in percent, the test accuracy's with its 95 % interval."""
    interval = f"{100 * test:.1f} ({100 * low:.1f} to {100 * high:.1f})"
    return f"{100 * val:10.1f} {interval:>22} {seconds:8.0f}  {network}"


def main() -> None:
    """Print one line per data set and network."""
    if not (SHARED / "data").exists():
        print(f"Skipped: {SHARED} is not here.", file=sys.stderr)
        return
    print(f"{'':8} {'percent':20} {HEADER}")
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder) / "weights")
        for name in os.environ.get("SETS", ",".join(SETS)).split(","):
            for model in MODELS:
                cells, _ = measure(SETS[name], ["--model", model], Path(folder))
                print(f"{name:8} {model:20} {cells}", flush=True)


if __name__ == "__main__":
    main()
