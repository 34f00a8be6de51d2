"""What the tests of this room share: one thread, a cache of their own, and a small world of pictures."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

BACKBONE = "test_efficientnet"  # timm's own for tests: the blocks of EfficientNet, 100,000 parameters
SIZE = 48  # pixels a side

Pictures = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Let torch use one thread: on a busy machine threads wait for each other far longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, so that no person's is written to."""
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def draw(kind: str, rng: np.random.Generator) -> np.ndarray:
    """One noisy picture, uint8 (SIZE, SIZE, 3), of a shape somewhere in it, in a colour that says nothing."""
    picture = rng.integers(0, 110, (SIZE, SIZE, 3))
    mask = np.zeros((SIZE, SIZE), bool)
    top, left = rng.integers(2, SIZE - 22, 2)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    if kind == "disc":
        mask = (rows - top - 10) ** 2 + (columns - left - 10) ** 2 < 81
    elif kind == "ring":
        mask = abs((rows - top - 10) ** 2 + (columns - left - 10) ** 2 - 72) < 32
    elif kind == "bars":
        mask[top : top + 20, left : left + 20] = (np.arange(20) // 3 % 2 == 0)[:, None]
    elif kind == "posts":
        mask[top : top + 20, left : left + 20] = np.arange(20) // 3 % 2 == 0
    elif kind == "cross":
        mask[top + 8 : top + 12, left : left + 20] = mask[top : top + 20, left + 8 : left + 12] = True
    picture[mask] += rng.integers(60, 145, 3)
    return picture.astype(np.uint8)


def draw_many(number: int, seed: int, kinds: tuple[str, ...] = ("disc", "bars", "cross")) -> Pictures:
    """Return uint8 (number, SIZE, SIZE, 3) and the names of what is on them, each kind alike often."""
    rng = np.random.default_rng(seed)
    names = np.resize(kinds, number)
    return np.stack([draw(str(kind), rng) for kind in names]), names


@pytest.fixture(scope="session")
def shapes() -> Callable[..., Pictures]:
    """draw_many, for tests that want other pictures than the three parts below."""
    return draw_many


@pytest.fixture(scope="session")
def train_part() -> Pictures:
    """Sixty pictures of three shapes."""
    return draw_many(60, seed=1)


@pytest.fixture(scope="session")
def val_part() -> Pictures:
    """Sixty others, to choose on."""
    return draw_many(60, seed=2)


@pytest.fixture(scope="session")
def test_part() -> Pictures:
    """Ninety others, to judge by."""
    return draw_many(90, seed=3)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network that learned to tell rings from posts, as a file of weights."""
    from linnaea.classifiers.finetune.classifier import FineTuneClassifier

    torch.set_num_threads(1)  # made once, before one_thread is
    X, y = draw_many(240, seed=0, kinds=("ring", "posts", "nothing"))
    taught = FineTuneClassifier(
        BACKBONE,
        weights="none",
        size=SIZE,
        probe=False,
        epochs=6,
        learning_rate=3e-3,
        layer_decay=1.0,
        batch_norm="update",
        crop_scale=0.7,
        cutmix=0.5,
        ema=None,
        precision="float32",
        random_state=0,
    ).fit(X, y)
    tensors = {
        name: tensor.contiguous()
        for name, tensor in taught.network_.state_dict().items()
        if not name.startswith("classifier.")
    }
    path = tmp_path_factory.mktemp("weights") / "shapes.safetensors"
    config = {"architecture": BACKBONE, "input_size": [3, SIZE, SIZE], "crop_pct": 1.0}
    save_file(tensors, path, {"pretrained_cfg": json.dumps(config)})
    return path


@pytest.fixture
def classifier(pretrained: Path) -> Callable[..., Any]:
    """Return a small FineTuneClassifier on the pretrained weights; settings may be changed by name."""
    from linnaea.classifiers.finetune.classifier import FineTuneClassifier

    def build(**settings: Any) -> FineTuneClassifier:
        small = {
            "weights": pretrained,
            "views": 2,
            "epochs": 2,
            "learning_rate": 1e-3,
            "precision": "float32",
            "crop_scale": 0.6,
            "ema": 0.9,
            "random_state": 0,
        }
        return FineTuneClassifier(BACKBONE, **(small | settings))

    return build
