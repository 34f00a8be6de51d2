"""Small pictures on disk, made anew for each test that asks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnaea.data.dataset import Dataset
from linnaea.data.sources import open_dataset
from linnaea.errors import DataError

MakeFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The 5,000 digits, parsed once: it takes a second."""
    return open_dataset("digits")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills a person's cache."""
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "cache"))


def refusal(source: Path) -> str:
    """Return the sentence with which a data set is refused."""
    with pytest.raises(DataError) as caught:
        open_dataset(source)
    return str(caught.value)


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes {folder: number of pictures} below tmp_path/name, no two alike."""

    def make(counts: dict[str, int], name: str = "photos", size: tuple[int, int] = (12, 10)) -> Path:
        generator = np.random.default_rng(0)
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{number}.png")
        return root

    return make
