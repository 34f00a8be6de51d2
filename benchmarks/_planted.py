"""A folder of photographs with planted problems, the same ones every time."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from linnaea.data.dataset import Dataset
from linnaea.data.sources import open_dataset

SHARED = Path(os.environ.get("LINNAEA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CLASSES, OF_EACH = 20, 40
COPIES = {"exact": 40, "resized": 40, "mirrored": 20, "cropped": 20}
UNREADABLE, SWAPPED = 15, 10


@dataclass
class Planted:
    """The planted problems; paths are those of the data set.

    copies: {kind: [(original, copy), …]}, every copy in the other set
    swapped: {path: its correct label}
    """

    root: Path
    honest: list[str] = field(default_factory=list)
    copies: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    swapped: dict[str, str] = field(default_factory=dict)


def plant(root: Path) -> Planted:
    """Write train/ and test/ below root, and return the planted problems."""
    flowers = open_dataset("flowers102", data_dir=SHARED / "data" / "flowers102")
    generator = np.random.default_rng(0)
    planted = Planted(root)
    for split, label, row in _drawn(flowers, generator):
        planted.honest.append(_place(root, split, label, f"{row:05}.jpg"))
        shutil.copyfile(flowers.files([row])[0], root / planted.honest[-1])
    chosen = iter(generator.permutation(planted.honest).tolist())
    for kind, count in COPIES.items():
        planted.copies[kind] = [_copy(planted.root, next(chosen), kind, generator) for _ in range(count)]
    for number in range(UNREADABLE):
        planted.unreadable.append(_damage(root, next(chosen), number))
    labels = sorted({path.split("/")[1] for path in planted.honest})
    for _ in range(SWAPPED):
        path = next(chosen)
        split, label, name = path.split("/")
        other = labels[(labels.index(label) + int(generator.integers(1, len(labels)))) % len(labels)]
        shutil.move(root / path, root / split / other / name)
        planted.swapped[f"{split}/{other}/{name}"] = label
        planted.honest[planted.honest.index(path)] = f"{split}/{other}/{name}"
    return planted


def _drawn(flowers: Dataset, generator: np.random.Generator) -> Iterator[tuple[str, str, int]]:
    for label in generator.permutation(flowers.class_names)[:CLASSES]:
        rows = generator.permutation(np.flatnonzero(flowers.labels == label))[:OF_EACH]
        for number, row in enumerate(rows.tolist()):
            yield "train" if number < 0.7 * OF_EACH else "test", str(label), row


def _place(root: Path, split: str, label: str, name: str) -> str:
    (root / split / label).mkdir(parents=True, exist_ok=True)
    return f"{split}/{label}/{name}"


def _copy(root: Path, original: str, kind: str, generator: np.random.Generator) -> tuple[str, str]:
    split, label, name = original.split("/")
    copy = _place(root, "test" if split == "train" else "train", label, f"{kind}-{name}")
    if kind == "exact":
        shutil.copyfile(root / original, root / copy)
        return original, copy
    with Image.open(root / original) as image:
        width, height = image.size
        if kind == "resized":
            scale = generator.uniform(0.4, 0.9)
            size = (round(scale * width), round(scale * height))
            image.resize(size, Image.Resampling.BICUBIC).save(
                root / copy, quality=int(generator.integers(30, 80))
            )
        elif kind == "mirrored":
            ImageOps.mirror(image).save(root / copy, quality=90)
        else:
            # 5 % of each side, the rest shifted at random.
            left, top = (round(0.05 * length * generator.random()) for length in image.size)
            box = (left, top, left + round(0.95 * width), top + round(0.95 * height))
            image.crop(box).save(root / copy, quality=90)
    return original, copy


def _damage(root: Path, original: str, number: int) -> str:
    """Write a file that cannot be read as a picture, of one of eight kinds."""
    split, label, name = original.split("/")
    content = (root / original).read_bytes()
    kinds = [
        b"",
        content[:100],
        content[: len(content) // 2],
        b"this is a text, not a picture\n",
        bytes(5000),
        b"\x89PNG\r\n\x1a\n" + content[8:],
        b"<!doctype html><title>404</title>",
        content[200:],
    ]
    path = _place(root, split, label, f"damaged{number}-{name}")
    (root / path).write_bytes(kinds[number % len(kinds)])
    return path
