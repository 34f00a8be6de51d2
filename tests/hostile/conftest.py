"""The corpus on disk, made once; commands run as a person runs them, under a limit of memory."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.hostile import corpus

ROOT = Path(__file__).resolve().parents[2]
Commands = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills a person's cache."""
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "cache"))


def whole_pictures(folder: Path, brightness: int) -> None:
    """Write twelve small pictures that can be told from another class's by their brightness."""
    folder.mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (16, 16), (brightness + number, number * 9, 40)).save(folder / f"{number}.png")


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A data set whose class "odd" is the corpus; and {path: a piece of the reason} of what is refused."""
    root = tmp_path_factory.mktemp("from strangers") / "photos"
    refused = corpus.make(root / "odd")
    whole_pictures(root / "dark", 0)
    whole_pictures(root / "<b>bright</b>\x1b[31m", 200)
    return root, {f"odd/{name}": reason for name, reason in refused.items()}


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Return a function that runs commands in one new process, and returns code, stdout, stderr of each."""

    def run(*lines: list[str], growth: int, pixels: int = 0, seconds: float = 80) -> list[dict[str, Any]]:
        answer = tmp_path / "answer.json"
        program = [sys.executable, "-m", "tests.hostile.commands_under_limit"]
        ran = subprocess.run(
            [*program, str(growth), str(answer), str(pixels)],
            input=json.dumps(lines),
            text=True,
            cwd=ROOT,
            env={**os.environ, "LINNAEA_CACHE": str(tmp_path / "cache"), "COLUMNS": "500"},
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        return json.loads(answer.read_text())

    return run
