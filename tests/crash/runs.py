"""Runs to be killed: what they learn from, how they are started, and whether two of them ended the same."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

# Everything here ends within seconds; a process that is still there has hung.
SECONDS = 120.0


@dataclass(frozen=True)
class Kind:
    """A kind of run: the data set it learns from, and the words after `linnaea train DATA`."""

    name: str
    data: str
    arguments: tuple[str, ...]


def _kind(name: str, data: str, words: str) -> Kind:
    return Kind(name, data, tuple(words.split()))


# All learn noisy pictures slowly enough that the best epoch lies before the last, and patience may end them.
PERCEPTRON = _kind(
    "perceptron",
    "bars",
    "--size 12 --hidden 24,16 --epochs 150 --batch-size 8 --solver adam --learning-rate 0.003 "
    "--augment digits --validation 0.3 --set dropout=0.2 --set input_dropout=0.1 --set patience=50",
)
FINE_TUNED = _kind(
    "fine-tuned",
    "tiles",
    "--model mobilenetv2_050 --weights none --size 32 --epochs 6 --batch-size 4 --validation 0.3 "
    "--learning-rate 0.003 --set probe=false --set head_first_epochs=1 --set mixup=0.3 --set cutmix=0.3 "
    "--set random_erasing=0.2 --set colour_jitter=0.2 --set ema=0.9 --set patience=3",
)
# Without a validation part the last epoch is kept: with one, so few pictures would never beat the probe.
PROBED = _kind(
    "probed first",
    "tiles",
    "--model mobilenetv2_050 --weights none --size 32 --epochs 3 --batch-size 4 --validation 0 "
    "--set views=2 --set mixup=0.5 --set ema=0.8 --set batch_norm=update --solver nesterov",
)
TRANSFORMER = _kind(
    "transformer",
    "tiles",
    "--model vit_tiny --weights none --size 32 --epochs 4 --batch-size 4 --validation 0.3 "
    "--learning-rate 0.001 --set probe=false --set mixup=0.3 --set ema=0.9 --set patience=3",
)
KERAS = _kind(
    "keras",
    "bars",
    "--model keras --size 12 --hidden 16 --epochs 8 --batch-size 8 --validation 0.3 --set dropout=0.2 "
    "--set patience=4",
)

# What a run must have in common with one that was never stopped, byte for byte. report.html and run.json tell
# of times, and report.html of nothing that is not here.
SAME = (
    "weights.safetensors",
    "model.json",
    "predictions.csv",
    "validation.csv",
    "calibration.json",
    "metrics.json",
    "outliers.safetensors",
    "outliers.json",
    "split.csv",
    "mistakes",
    "doubtful",
    "cells",
)


def draw(place: Path) -> None:
    """Draw the data sets into place: bars/ (60 grey pictures, 3 classes) and tiles/ (40 photographs, 2).

    A fifth of the bars carry another class's label, so that training does not end with every answer right.
    """
    generator = np.random.default_rng(0)
    for index in range(60):
        pixels = generator.integers(0, 170, (12, 12), dtype=np.uint8)
        seen = index % 3 if generator.random() < 0.8 else int(generator.integers(0, 3))
        pixels[:, 4 * seen : 4 * seen + 4] += 70
        _save(pixels, place / "bars" / f"bar {index % 3}" / f"{index:02}.png")
    for name, photograph in zip(("temple", "flower"), load_sample_images().images, strict=True):
        for index in range(20):
            top, left = 80 + 64 * (index // 5), 150 + 64 * (index % 5)
            _save(photograph[top : top + 64, left : left + 64], place / "tiles" / name / f"{index:02}.png")


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def begin(kind: Kind, place: Path, run: Path, every: float) -> subprocess.Popen[bytes]:
    """Start `linnaea train`; every: seconds between two checkpoints."""
    how = ["--set", f"checkpoint_every={every:g}s", "--out", str(run)]
    return _start(place, "train", str(place / kind.data), *kind.arguments, *how)


def go_on(kind: Kind, place: Path, run: Path, every: float) -> subprocess.Popen[bytes]:
    """Start `linnaea resume`, or `linnaea train` again where a kill left no run yet."""
    if not (run / "run.json").exists():
        return begin(kind, place, run, every)
    return _start(place, "resume", str(run))


def _start(place: Path, *words: str) -> subprocess.Popen[bytes]:
    # One thread: several runs side by side on a small machine would otherwise wait for each other's.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    own = {"LINNAEA_CACHE": str(place / "cache"), "KERAS_BACKEND": "torch", "COLUMNS": "200", **threads}
    # Through a pipe: where no file may grow any more, this one still takes what is said.
    return subprocess.Popen(
        [sys.executable, "-m", "linnaea.cli", *words],
        cwd=place,
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for the end of a process; return its exit code, and what it said. One that hangs is killed."""
    try:
        said = process.communicate(timeout=SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()[1] + f"\nhung for {SECONDS:.0f} s".encode()
    return process.returncode, said.decode(errors="replace")


def failure(process: subprocess.Popen[bytes]) -> str:
    """Wait for the end of a process; return "", or what it said if it did not succeed."""
    code, said = ended(process)
    return "" if code == 0 else f"exit code {code}: {said.strip()[-500:]}"


def reference(kind: Kind, place: Path) -> tuple[Path, float]:
    """Return a run of this kind that nobody stopped, and the seconds it took; made once in place."""
    run = place / f"uninterrupted {kind.name}"
    seconds = place / f"{kind.name}.seconds"
    if not seconds.exists():
        started = time.monotonic()
        words = ["train", str(place / kind.data), *kind.arguments, "--out", str(run), "--overwrite"]
        if told := failure(_start(place, *words)):
            raise RuntimeError(f"the uninterrupted {kind.name} run failed: {told}")
        seconds.write_text(str(time.monotonic() - started))
    return run, float(seconds.read_text())


def differences(run: Path, other: Path) -> list[str]:
    """Return what differs between a run that was stopped and the one that was not; none: bitwise the same."""
    found = []
    for name in SAME:
        one, two = (_content(folder / name) for folder in (run, other))
        found += [f"{name} differs"] if one != two else []
    if _history(run) != _history(other):
        found.append("history.jsonl differs")
    one, two = (json.loads((folder / "run.json").read_text()) for folder in (run, other))
    for key in ("state", "chosen_epoch", "kept", "baselines", "data", "leaks", "network", "message"):
        if one.get(key) != two.get(key):
            found.append(f"run.json: {key} is {one.get(key)!r}, not {two.get(key)!r}")
    # Nothing torn, and no checkpoint, stays behind.
    left = sorted(_names(run) ^ _names(other))
    return found + ([f"files: {', '.join(left)}"] if left else [])


def _content(path: Path) -> object:
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    return path.read_bytes() if path.exists() else None


def _history(run: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def _names(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*")}
