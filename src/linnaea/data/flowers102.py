"""The Oxford 102 Category Flowers: 8,189 photographs of 102 flowers, with an official split.

Nilsback and Zisserman, "Automated flower classification over a large number of classes", ICVGIP 2008.
"""

from functools import cache
from pathlib import Path

import numpy as np

from linnaea.data import archives, downloads
from linnaea.data.dataset import OFFICIAL_SPLIT, SPLITS, Dataset
from linnaea.errors import DataError
from linnaea.text import counted, listed, option

NAME = "flowers102"

# The files with their MD5 sums as published. Pictures stand in the archive's folder jpg/.
_ARCHIVE = "102flowers.tgz"
_FILES = {
    _ARCHIVE: "52808999861908f626f3c1f4e79d11fa",
    "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
    "setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
}
_PICTURES = "jpg"

# setid.mat's names for the sets, of 1,020, 1,020 and 6,149 pictures. Mind that they are by far the largest
# set for testing; some papers train on it and state so only in a footnote.
_SPLIT_KEYS = {"train": "trnid", "val": "valid", "test": "tstid"}

# Folders that hold the three files; tried in this order.
MIRRORS = (
    "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    "https://thor.robots.ox.ac.uk/datasets/flowers-102/",
)
MIRRORS_VARIABLE = "LINNAEA_FLOWERS102_MIRRORS"


@cache
def flower_names() -> tuple[str, ...]:
    """Return the 102 names, that of label 1 first."""
    return tuple(Path(__file__).with_name("flowers102_names.txt").read_text(encoding="utf-8").splitlines())


def open_flowers102(data_dir: Path | None = None, *, strict: bool = False) -> Dataset:
    """Return the flowers, with the official split and the flowers' names as labels.

    The folder jpg/ (or 102flowers.tgz, which is extracted into the cache), imagelabels.mat and setid.mat are
    looked for in data_dir (and its flowers102/ and flowers-102/), then in the cache, and then fetched (345
    MB). The archive and the two .mat files are compared with their published MD5 sums. A jpg/ that holds a
    part of the pictures is taken as it is, and the notes say how much is there.

    Raises DataError for a data_dir that is no folder, a damaged file, a jpg/ without a picture of the data
    set, and where no mirror can be reached; where strict, also for other files in jpg/.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"The data folder {data_dir} does not exist.", f"Check {option('data_dir')}.")
    # The small files first: a damaged one is reported before 345 MB are fetched.
    labels = _read_labels(_file("imagelabels.mat", data_dir))
    splits = _read_splits(_file("setid.mat", data_dir), len(labels))
    pictures = _pictures(data_dir)
    here = {entry.name for entry in pictures.iterdir() if not entry.name.startswith(".")}
    names = [f"image_{number:05d}.jpg" for number in range(1, len(labels) + 1)]
    rows = np.array([row for row, name in enumerate(names) if name in here], dtype=np.int64)
    others = sorted(here.difference(names))
    if not len(rows):
        raise DataError(
            f"{pictures} contains no picture of Flowers-102 (image_00001.jpg to {names[-1]}).",
            f"Put the pictures there, or remove the folder, so that {_ARCHIVE} is used.",
        )
    if strict and others:
        raise DataError(
            f"{pictures} contains {counted(len(others), 'file')} that would be left out ({listed(others)}).",
            f"Move them away, or leave {option('strict')} out.",
        )
    return Dataset(
        name=NAME,
        source=NAME,
        paths=tuple(f"{_PICTURES}/{names[row]}" for row in rows),
        labels=np.array(flower_names())[labels[rows] - 1],
        splits=splits[rows],
        split_name=OFFICIAL_SPLIT,
        root=pictures.parent,
        notes=tuple(_notes(splits, rows, others)),
    )


def _notes(splits: np.ndarray, rows: np.ndarray, others: list[str]) -> list[str]:
    notes = []
    if len(rows) < len(splits):
        shares = ", ".join(
            f"{(splits[rows] == split).sum():,} of {(splits == split).sum():,} {split}" for split in SPLITS
        )
        notes.append(f"{len(rows):,} of {len(splits):,} pictures are here: {shares}.")
    if others:
        notes.append(
            f"{counted(len(others), 'file')} in {_PICTURES}/ that {'is' if len(others) == 1 else 'are'} not "
            f"of the data set left out ({listed(others, 3)})."
        )
    return notes


def _folders(data_dir: Path | None) -> list[Path]:
    # flowers-102 is what torchvision calls it.
    return [] if data_dir is None else [data_dir, data_dir / NAME, data_dir / "flowers-102"]


def _file(name: str, data_dir: Path | None) -> Path:
    """Return one of the published files, checked: the user's, or the cache's."""
    for folder in _folders(data_dir):
        if (folder / name).is_file():
            _check_md5(folder / name)
            return folder / name
    addresses = downloads.addresses(name, MIRRORS_VARIABLE, MIRRORS)
    cure = downloads.by_hand(f"{_ARCHIVE}, imagelabels.mat and setid.mat", MIRRORS_VARIABLE)
    path = downloads.fetch(_cached(name), _FILES[name], addresses, cure=cure)
    _check_md5(path)
    return path


def _check_md5(path: Path) -> None:
    received, expected = downloads.file_md5(path), _FILES[path.name]
    if received != expected:
        raise DataError(
            f"{path} is not Flowers-102's as published: it has MD5 {received}, expected {expected}.",
            "Remove it, so that it is fetched again, or check that it is not another data set's.",
        )


def _pictures(data_dir: Path | None) -> Path:
    """Return the folder of the pictures: the user's, or the cache's, extracted there if need be."""
    for folder in _folders(data_dir):
        if (folder / _PICTURES).is_dir():
            return folder / _PICTURES
    by_user = any((folder / _ARCHIVE).is_file() for folder in _folders(data_dir))
    destination = _cached(_PICTURES)
    if not destination.is_dir():
        # The user's data folder may be read-only, and is theirs: pictures always go into the cache.
        archive = _file(_ARCHIVE, data_dir)
        archives.extract(archive, _PICTURES, destination)
        if not by_user:
            # 345 MB that nobody will read again.
            archive.unlink(missing_ok=True)
    return destination


def _cached(name: str) -> Path:
    return downloads.cache_folder() / NAME / name


def _read_labels(path: Path) -> np.ndarray:
    """Return the label of each picture, 1 to 102, in the order of picture numbers."""
    return _load(path, "labels").astype(np.int64)


def _read_splits(path: Path, count: int) -> np.ndarray:
    splits = np.full(count, "", dtype="U5")
    for split, key in _SPLIT_KEYS.items():
        # Picture numbers start at 1.
        splits[_load(path, key).astype(np.int64) - 1] = split
    return splits


def _load(path: Path, key: str) -> np.ndarray:
    from scipy.io import loadmat

    # MATLAB has no vectors: (1, n).
    return loadmat(path, variable_names=[key])[key].ravel()
