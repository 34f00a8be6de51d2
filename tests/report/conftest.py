"""Runs for the tests of the report: real files, written as training writes them, with made-up predictions."""

import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linnaea.evaluation.metrics import compute_metrics
from linnaea.evaluation.predictions import Predictions
from linnaea.files import write_bytes
from linnaea.runs.folder import RunFolder


def make_predictions(classes: Sequence[str], n: int, *, right: float = 0.967, seed: int = 0) -> Predictions:
    """n pictures, about right of them named rightly; some pairs of classes are confused often."""
    rng = np.random.default_rng(seed)
    k = len(classes)
    # The pictures are the same for every seed: only what is said about them differs.
    true = np.random.default_rng(1).integers(0, k, n)
    said = np.where(rng.random(n) < right, true, (true + rng.choice([1, 1, 1, 2, 5], n)) % k)
    logits = rng.normal(0, 1, (n, k))
    logits[np.arange(n), said] += rng.uniform(3, 12, n)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    paths = tuple(f"pictures/{i:06d}.png" for i in range(n))
    return Predictions(paths, np.asarray(classes)[true], tuple(classes), probabilities)


def make_history(
    epochs: int, *, validation: bool = True, test: bool = False, start: float = 0.1
) -> list[dict]:
    """Curves as of a network: epoch 0 guesses, training goes on rising, validation levels off."""
    rng = np.random.default_rng(5)
    records = []
    for epoch in range(epochs + 1):
        rise = 1 - np.exp(-epoch / max(3.0, epochs / 12))
        record = {"epoch": epoch, "seconds": 1.4, "learning_rate": 0.001}
        record["train_accuracy"] = start if epoch == 0 else min(1.0, 0.86 + 0.139 * rise)
        record["train_loss"] = 2.31 if epoch == 0 else 0.45 * (1 - rise) + 0.006
        for part, used in (("val", validation), ("test", test)):
            wiggle = rng.normal(0, 0.0012)
            record[f"{part}_accuracy"] = (
                (start if epoch == 0 else 0.855 + 0.113 * rise + wiggle) if used else None
            )
            record[f"{part}_loss"] = (
                (2.32 if epoch == 0 else 0.4 * (1 - rise) + 0.09 + 0.03 * rise) if used else None
            )
        if not test:
            del record["test_accuracy"], record["test_loss"]
        records.append(record)
    return records


def run_info(classes: Sequence[str], predictions: Predictions, **changes: object) -> dict:
    n = len(predictions)
    given, counts = np.unique(predictions.true, return_counts=True)
    per_class = {
        c: {"train": 2 * int(m), "val": int(m) // 5, "test": int(m)}
        for c, m in zip(given, counts, strict=True)
    }
    return {
        "format_version": 1,
        "state": "finished",
        "command": "linnaea train mnist --data-dir data/mnist --model mlp --hidden 500,500 --out runs/two",
        "model": "mlp",
        "recipe_name": "two-hidden",
        "recipe": {
            "hidden": [500, 500], "activation": "relu", "loss": "cross_entropy", "solver": "adam",
            "learning_rate": 0.001, "batch_size": 100, "epochs": 40, "dropout": 0.2, "weight_decay": 0.0,
            "augment": "none", "schedule": "cosine", "seed": 0,
            "split": "0.7", "validation": 0.1, "max_norm": None,
        },
        "data": {
            "source": "mnist", "name": "MNIST", "pictures": 70000, "classes": list(classes),
            "fingerprint": "b3f1c2a4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f80",
            "protocol": "70/30 stratified, seed 0",
            "notes": ["2 pictures are exact duplicates of others and stay on one side of the split."],
            "splits": {"train": 44100, "val": 4900, "test": n},
            "per_class": per_class,
        },
        "network": {"summary": "784-500-500-10, relu", "parameters": 648010},
        "versions": {"python": "3.12.3", "linnaea": "0.1.0", "numpy": "2.4.0", "scikit-learn": "1.9.0"},
        "hardware": {
            "processor": "AMD EPYC 7B13", "system": "Linux 6.1", "cores": 2, "threads": 2, "memory_gib": 7.8,
            "accelerator": None,
        },
        "phases": {
            "data": {"seconds": 1.23, "peak_memory_mib": 412.0},
            "train": {"seconds": 201.4, "peak_memory_mib": 689.5},
            "evaluate": {"seconds": 0.84, "peak_memory_mib": 1702.0},
        },
        "chosen_epoch": 33,
        "chosen_on": "validation accuracy",
        "baselines": {"always the largest class": 0.1125},
        "test_curve": False,
        "started": "2026-01-01T10:00:00+00:00",
        "finished": "2026-01-01T10:03:24+00:00",
        "message": None,
        **changes,
    }  # fmt: skip


def picture_bytes(seed: int, size: int = 28) -> bytes:
    """A PNG of a bright stroke on black, as small as a digit."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((size, size), np.uint8)
    path = np.cumsum(rng.integers(-1, 2, (size * 3, 2)), axis=0) + size // 2
    for row, column in path.clip(2, size - 3):
        pixels[row - 1 : row + 1, column - 1 : column + 1] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def make_run(
    folder: Path,
    *,
    classes: Sequence[str] = tuple("0123456789"),
    n: int = 2000,
    right: float = 0.967,
    seed: int = 0,
    history: list[dict] | None = None,
    tested: bool = True,
    pictures: int = 30,
    picture_size: int = 28,
    **info: object,
) -> RunFolder:
    """Write a whole run into folder; keywords change run.json."""
    run = RunFolder.create(folder)
    predictions = make_predictions(classes, n, right=right, seed=seed)
    run.write_json("run.json", run_info(classes, predictions, **info))
    for record in make_history(40) if history is None else history:
        run.append_history(record)
    if not tested:
        return run
    run.write_text("predictions.csv", predictions.to_csv())
    run.write_json("metrics.json", compute_metrics(predictions))
    wrong = np.flatnonzero(predictions.predicted != predictions.true)
    worst = wrong[np.argsort(-predictions.confidence[wrong])][:pictures]
    for row in worst:
        write_bytes(run.path / "mistakes" / f"{row:06d}.png", picture_bytes(int(row), picture_size))
    return run


@pytest.fixture(name="make_run", scope="session")
def make_run_fixture() -> Callable[..., RunFolder]:
    """make_run itself; a test gives it a folder below tmp_path."""
    return make_run


@pytest.fixture(name="make_history", scope="session")
def make_history_fixture() -> Callable[..., list[dict]]:
    return make_history


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, started once for all pages, or a skip that says what is missing."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address in a window of its own; the page remembers what it said and what it asked for."""
    contexts = []

    def opened(address: str, *, width: int = 1280, scheme: str = "light", **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def fits_and_is_accessible() -> Callable[[Any], None]:
    """Assert that a page, all its parts unfolded, fits a desk and a phone, and that axe finds nothing."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

    def check(page: Any) -> None:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        # A phone in the dark sees the other drawings and colours.
        for width, scheme in ((1280, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = axe.Axe().run(page)
            assert found.violations_count == 0, found.generate_report()

    return check
