"""Small labelled pictures on disk, and one trained run that the verbs share."""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnaea.cli import main

SHORT = ["--hidden", "8", "--epochs", "3", "--size", "12"]


def forget_checksums(run):
    """Make a run one that is older than its checksums."""
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | {"checksums": {}}))


def draw(folder: Path, classes: int = 3, count: int = 12, side: int = 12, seed: int = 0) -> Path:
    """Draw pictures whose class is where the bright bar stands; noise makes each one different."""
    generator = np.random.default_rng(seed)
    for number in range(classes):
        (folder / f"bar {number}").mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 90, (side, side), dtype=np.uint8)
            start = number * side // classes
            pixels[:, start : start + side // classes] += 160
            Image.fromarray(pixels).save(folder / f"bar {number}" / f"{index:02}.png")
    return folder


def leaking_splits(bars: Path, folder: Path) -> Path:
    """Divide the pictures into train/ and test/ below folder, one of train/ lying in test/ once more."""
    for number in range(3):
        for index, picture in enumerate(sorted((bars / f"bar {number}").iterdir())):
            place = folder / ("test" if index > 7 else "train") / f"bar {number}"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, place)
    shutil.copy(bars / "bar 0/03.png", folder / "test/bar 0/copy.png")
    return folder


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Refuse files of more than size bytes, as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def words(page):
    """What a page says, without its charts: their parts are numbered anew with every drawing."""
    return re.sub(r"<svg.*?</svg>|<[^>]+>", "", page.read_text(), flags=re.DOTALL)


@pytest.fixture(scope="session")
def bars(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("my pictures") / "bars")


@pytest.fixture(scope="session")
def trained(bars, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "two"
    code = main(["train", str(bars), "--hidden", "8", "--epochs", "12", "--size", "12", "--out", str(run)])
    assert code == 0
    return run


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory) -> Path:
    """A folder with bars/ and a run/ on them that has enough validation pictures to be calibrated on."""
    folder = tmp_path_factory.mktemp("calibrated")
    draw(folder / "bars", count=40)
    code = main(["train", str(folder / "bars"), "--hidden", "8", "--epochs", "12", "--size", "12",
                 "--validation", "0.4", "--out", str(folder / "run")])  # fmt: skip
    assert code == 0
    return folder


@pytest.fixture(scope="session")
def repeats(bars, tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups") / "two"
    assert main(["train", str(bars), *SHORT, "--repeats", "2", "--seed", "4", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def folds(bars, tmp_path_factory):
    """Three folds of the bars with two labels wrong, as a table beside them."""
    folder = tmp_path_factory.mktemp("my folds")
    rows = [f"{bars}/bar {c}/{i:02}.png,bar {c}" for c in range(3) for i in range(12)]
    rows[3] = rows[3].replace(",bar 0", ",bar 2")
    rows[30] = rows[30].replace(",bar 2", ",bar 1")
    (folder / "table.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    options = ["--hidden", "16", "--epochs", "40", "--size", "12", "--folds", "3", "--validation", "0"]
    assert main(["train", str(folder / "table.csv"), *options, "--out", str(folder / "three")]) == 0
    return folder / "three"
