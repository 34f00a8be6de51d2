"""Seconds of `linnaea check` on 5,000 pictures of 500 x 500 pixels; the target is 60 s on two cores.

Each picture is four photographs side by side, so that its JPEG is as full of detail as a photograph of that
size. Then the same while the pictures are decoded for training, and once more from the cache.
"""

import io
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks._planted import SHARED

PICTURES, SOURCES, SIDE, CLASSES = 5000, 800, 250, 10


def write_pictures(root: Path) -> int:
    """Write PICTURES different JPEG files in CLASSES folders, and return their size in bytes."""
    paths = sorted((SHARED / "data" / "flowers102" / "jpg").glob("*.jpg"))[::5][:SOURCES]
    with ThreadPoolExecutor(2) as pool:
        tiles = list(pool.map(_tile, paths))
        drawn = np.random.default_rng(0).integers(0, len(tiles), (PICTURES, 4))
        contents = pool.map(lambda four: _mosaic([tiles[tile] for tile in four]), drawn)
        total = 0
        for number, content in enumerate(contents):
            folder = root / f"class {number % CLASSES}"
            folder.mkdir(exist_ok=True)
            (folder / f"{number:05}.jpg").write_bytes(content)
            total += len(content)
    return total


def _tile(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB").resize((SIDE, SIDE))


def _mosaic(tiles: list[Image.Image]) -> bytes:
    picture = Image.new("RGB", (2 * SIDE, 2 * SIDE))
    for place, tile in enumerate(tiles):
        picture.paste(tile, (place % 2 * SIDE, place // 2 * SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def main() -> None:
    """Print the seconds of three scans, each of which reads and compares every picture."""
    from linnaea.data.scan import scan
    from linnaea.data.sources import open_dataset

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "pictures")
        root.mkdir()
        size = write_pictures(root)
        os.environ["LINNAEA_CACHE"] = str(Path(folder, "cache"))
        dataset = open_dataset(root)
        print(f"{len(dataset):,} pictures of {size / len(dataset) / 1024:.0f} KiB, {os.cpu_count()} cores")
        for name, side in (("check", None), ("before training", 256), ("from the decode cache", 256)):
            started = time.perf_counter()
            scan(dataset, side=side)
            print(f"{name:22} {time.perf_counter() - started:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
