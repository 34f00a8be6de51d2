"""The cost of a checkpoint: bytes on the disk, and its share of the time at the default interval.

The training state of MobileNetV2 with 102 classes: the weights, their average, the best weights so far, and
AdamW's two moments. It is written ten times to this machine's disk and flushed each time. Within an epoch
there is one checkpoint per interval, so its share is the time of one divided by the interval. Shorter epochs
spend at most a fiftieth of the time on checkpoints (runs.checkpoint.CheckpointInterval).
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from linnaea import FineTuneClassifier
from linnaea.runs.checkpoint import Checkpoints
from linnaea.runs.folder import RunFolder
from linnaea.runs.settings import Recipe

TIMES, CLASSES = 10, 102
EPOCH = 50.0  # seconds, for 1,020 photographs of 224 pixels on two cores


def state() -> tuple[dict[str, np.ndarray], dict]:
    """Return the training state of a MobileNetV2 after one step of its first epoch."""
    pictures = np.random.default_rng(0).integers(0, 255, (2 * CLASSES, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(2 * CLASSES) % CLASSES
    classifier = FineTuneClassifier(
        "mobilenetv2", weights="none", size=32, epochs=1, probe=False, precision="float32", random_state=0
    )
    held: list = []

    def stop(*_: object) -> None:
        held.append(classifier.training_state())
        raise KeyboardInterrupt

    try:
        classifier.fit(list(pictures), labels, on_step=stop)
    except KeyboardInterrupt:
        return held[0]
    raise RuntimeError("the training ended before its first step")


def main() -> None:
    """Print the table."""
    arrays, values = state()
    size = sum(array.nbytes for array in arrays.values())
    interval = Recipe().checkpoint_every
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        checkpoints, took = Checkpoints(RunFolder(Path(folder))), []
        for _ in range(TIMES):
            started = time.perf_counter()
            checkpoints.write(arrays, values, {})
            took.append(time.perf_counter() - started)
    median, worst = float(np.median(took)), max(took)
    rows = {
        "one checkpoint": f"{size / 2**20:.0f} MiB, {1000 * median:.0f} ms (at most {1000 * worst:.0f} ms)",
        f"of {interval:.0f} s, the default": f"{median / interval:.3%}",
        f"of an epoch of {EPOCH:.0f} s": f"{median / EPOCH:.2%}",
    }
    for name, value in rows.items():
        print(f"{name:<24} {value}")


if __name__ == "__main__":
    main()
