"""Peak memory of fine-tuning on 1,000 and on 4,000 JPEG files, with a cache too small for either.

The usual probe and two epochs of a MobileNetV2 of half the width at 96 pixels, on pictures of 500 x 375, with
one thread. Each number of pictures has a process of its own. The photographs stay on the disk; only the
probe's features grow with their number: 5 KiB for each of four views.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

COUNTS, CLASSES = (1000, 4000), 10
SIZE = (500, 375)  # width and height of the files, in pixels
SIDE = 96  # pixels per side of the input: memory would grow alike at 224, in three times the time
KEPT = 110 * 146 * 3  # bytes of a decoded picture: its shorter side is 110 pixels for an input of 96
CACHE = "0.02"  # GiB: some 450 pictures

TRAINING = f"""
import sys, warnings
from pathlib import Path
from linnaea import FineTuneClassifier
from linnaea.runs.provenance import peak_memory_mib
warnings.simplefilter("ignore", RuntimeWarning)  # the cache is meant to be too small here
paths = sorted(Path(sys.argv[1]).glob("*.jpg"))[: int(sys.argv[2])]
labels = [str(number % {CLASSES}) for number in range(len(paths))]
classifier = FineTuneClassifier(
    "mobilenetv2_050", weights="none", size={SIDE}, epochs=2, precision="float32", random_state=0
)
classifier.fit(paths, labels, validation_data=(paths[:200], labels[:200]))
classifier.predict(paths)
print(peak_memory_mib())
"""


def write_pictures(folder: Path, number: int) -> None:
    """Write different JPEG files, as smooth as photographs."""
    rng = np.random.default_rng(0)
    for name in range(number):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(folder / f"{name:05}.jpg", quality=80)


def main() -> None:
    """Print one line per number of pictures: peak memory in MiB, interpreter and imports included."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        write_pictures(Path(folder), max(COUNTS))
        own = {**os.environ, "LINNAEA_CACHE": cache, "LINNAEA_CACHE_GIB": CACHE, "OMP_NUM_THREADS": "1"}
        for count in COUNTS:
            command = [sys.executable, "-c", TRAINING, folder, str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
            if done.returncode:
                print(f"{count:6,} pictures: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
                continue
            pixels = count * KEPT / 2**20
            print(f"{count:6,} pictures {float(done.stdout):6.0f} MiB, {pixels:4.0f} MiB of pixels")


if __name__ == "__main__":
    main()
