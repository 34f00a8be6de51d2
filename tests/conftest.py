"""Fixtures every room uses."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Where the suite is started in the background, a shell has SIGINT ignored, in this process and its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A width that somebody exported would break the tables that tests read; the parallel runner exports one.
os.environ.pop("COLUMNS", None)

# Keras reads this at import; without it, it looks for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "torch")

# What is chosen by default depends on whose weights are here: in tests only the installed ones, unless a test
# lays out a cache of its own. The hub's client reads these at import.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_CACHE"] = str(Path(__file__).parent / "no weights")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills a person's cache, or counts as a look at their test parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNAEA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder with data and weights, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("LINNAEA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the shared data folder is not at {folder} (set LINNAEA_SHARED)")
    return folder
