"""Fixtures every room uses."""

import os
from pathlib import Path

import pytest

# Keras reads this at import; without it, it looks for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder with data and weights, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("LINNAEA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the shared data folder is not at {folder} (set LINNAEA_SHARED)")
    return folder
