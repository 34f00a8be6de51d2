"""How often the real commands open each picture: Python tells of every open that the process asks for."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnaea.cli import main

_watched: list[list[str]] = []


def _note(event: str, arguments: tuple) -> None:
    if event == "open" and _watched:
        _watched[-1].append(str(arguments[0]))


sys.addaudithook(_note)  # cannot be removed again, and notes nothing but for `opened`


@contextmanager
def opened() -> Iterator[list[str]]:
    """Give the list of the paths that are opened from now on, until the end."""
    _watched.append([])
    try:
        yield _watched[-1]
    finally:
        _watched.pop()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Two classes of JPEG files as a camera writes them, in which nothing is wrong."""
    root = tmp_path_factory.mktemp("once") / "photographs"
    generator = np.random.default_rng(0)
    for label, mean in (("dark", 60), ("light", 150)):
        (root / label).mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(mean - 50, mean + 50, (90, 120, 3), dtype=np.uint8)
            exif = Image.Exif()
            exif.get_ifd(0x8769)[0x9003] = f"2026:05:01 1{number % 10}:00:0{number // 10}"
            Image.fromarray(pixels).save(root / label / f"{number:02}.jpg", exif=exif)
    return root


def times(paths: list[str], root: Path, until: str = "") -> dict[str, int]:
    """Return how often each picture was opened, before the first path that holds `until`."""
    last = next((place for place, path in enumerate(paths) if until in path), None) if until else len(paths)
    assert last is not None
    counts = Counter(paths[:last])
    return {str(picture): counts[str(picture)] for picture in sorted(root.rglob("*.jpg"))}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "cache"))


def test_check_opens_each_picture_once(photographs, tmp_path):
    root = shutil.copytree(photographs, tmp_path / "some are wrong")
    shutil.copy(root / "dark/00.jpg", root / "dark/copy.jpg")
    (root / "light/00.jpg").write_bytes((root / "light/00.jpg").read_bytes()[:900])
    with opened() as paths:
        assert main(["check", str(root), "--format", "json"]) == 0
    assert list(times(paths, root).values()) == [1] * 25


def test_training_on_photographs_opens_each_once_before_its_epochs(photographs, tmp_path):
    command = ["train", str(photographs), "--model", "mobilenetv2_050", "--weights", "none", "--size", "32",
               "--train-from", "head", "--set", "views=1", "--set", "precision=float32", "--epochs", "1",
               "--group-seconds", "1"]  # fmt: skip
    with opened() as paths:
        assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert list(times(paths, photographs, until="history.jsonl").values()) == [1] * 24


def test_a_perceptron_on_files_opens_each_once_until_all_is_judged(photographs, tmp_path):
    command = ["train", str(photographs), "--hidden", "4", "--epochs", "2", "--size", "12"]
    with opened() as paths:
        assert main([*command, "--out", str(tmp_path / "run")]) == 0
    # Later the mistakes are shown, larger than the network saw them.
    assert list(times(paths, photographs, until="predictions.csv").values()) == [1] * 24


def test_the_runs_of_a_group_share_one_reading(photographs, tmp_path):
    command = ["train", str(photographs), "--hidden", "4", "--epochs", "1", "--size", "12", "--repeats", "2"]
    with opened() as paths:
        assert main([*command, "--out", str(tmp_path / "runs")]) == 0
    second = next(place for place, path in enumerate(paths) if path.startswith(str(tmp_path / "runs/2/")))
    assert set(times(paths[:second], photographs, until="predictions.csv").values()) == {1}
    assert set(times(paths[second:], photographs, until="predictions.csv").values()) == {0}
