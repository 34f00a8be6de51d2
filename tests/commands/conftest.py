"""Small labelled pictures on disk, and one trained run that the verbs share."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnaea.cli import main


def forget_checksums(run):
    """Make a run one that is older than its checksums."""
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | {"checksums": {}}))


def draw(folder: Path, classes: int = 3, count: int = 12, side: int = 12) -> Path:
    """Draw pictures whose class is where the bright bar stands; noise makes each one different."""
    generator = np.random.default_rng(0)
    for number in range(classes):
        (folder / f"bar {number}").mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 90, (side, side), dtype=np.uint8)
            start = number * side // classes
            pixels[:, start : start + side // classes] += 160
            Image.fromarray(pixels).save(folder / f"bar {number}" / f"{index:02}.png")
    return folder


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
