"""Make golden run folders of the present format: python -m tests.runs.golden tests/data/golden/v1

One of each kind of network, and one that was stopped, made by the real command on 24 small pictures, which
lie beside them. They are never made again for a format that was released: later versions must read them as
they are. The weights are gzipped; those of the backbone have few different values, so that they shrink to a
tenth.
"""

import gzip
import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from linnaea.cli import main

# What a golden run needs: the page and the thumbnails are drawn from it.
KEPT = ("run.json", "split.csv", "history.jsonl", "predictions.csv", "validation.csv", "metrics.json",
        "calibration.json", "model.json", "outliers.json", "outliers.safetensors", "check.json")  # fmt: skip
SETTINGS = {
    "perceptron": ["--hidden", "4", "--size", "8", "--epochs", "3"],
    "keras": ["--model", "keras", "--hidden", "4", "--size", "8", "--epochs", "3"],
    "stopped": ["--hidden", "4", "--size", "8", "--epochs", "60", "--batch-size", "2"],
    "finetune": ["--model", "test_efficientnet", "--size", "32", "--epochs", "0", "--set", "views=1"],
}


def draw(folder: Path) -> None:
    """Draw three classes of eight pictures: a bar at the left, in the middle or at the right, in noise."""
    generator = np.random.default_rng(1)
    for number in range(3):
        (folder / f"bar {number}").mkdir(parents=True)
        for index in range(8):
            pixels = generator.integers(0, 80, (12, 12), dtype=np.uint8)
            pixels[:, number * 4 : number * 4 + 4] += 160
            Image.fromarray(pixels).save(folder / f"bar {number}" / f"{index}.png")


def plain_backbone(path: Path) -> None:
    """Write weights of the tiny network whose every tensor has at most three values, of its own scale."""
    torch.manual_seed(0)
    tensors = timm.create_model("test_efficientnet", num_classes=1000).state_dict()
    for name, tensor in tensors.items():
        if tensor.ndim > 1:
            tensors[name] = torch.where(tensor.abs() > tensor.std(), tensor.sign() * tensor.std(), 0.0)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def make(folder: Path) -> None:
    """Make the pictures and the runs in folder."""
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / "bars")
    folder = folder.resolve()
    os.chdir(folder)  # so that the runs name their pictures by a relative path
    with tempfile.TemporaryDirectory() as elsewhere:
        weights = Path(elsewhere) / "weights.safetensors"
        plain_backbone(weights)
        for name, settings in SETTINGS.items():
            run = Path(elsewhere) / name
            extra = ["--weights", str(weights)] if name == "finetune" else []
            asked = [*settings, *extra, "--split", "0.5", "--validation", "0.3", "--out", str(run)]
            if name == "stopped":
                threading.Thread(target=_stop, args=(run,), daemon=True).start()
            if main(["train", "bars", *asked]) != (130 if name == "stopped" else 0):
                raise SystemExit(f"{name} could not be trained")
            (folder / name).mkdir()
            for kept in KEPT:
                if (run / kept).exists():
                    (folder / name / kept).write_bytes((run / kept).read_bytes())
            for part in (run / "checkpoint").rglob("*"):
                if part.is_file():
                    to = folder / name / part.relative_to(run)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    to.write_bytes(part.read_bytes())
            content = (run / "weights.safetensors").read_bytes()
            (folder / name / "weights.safetensors.gz").write_bytes(gzip.compress(content, 9, mtime=0))
            for told in ("run.json", "model.json", "state.json"):
                for path in (folder / name).rglob(told):
                    _forget_the_machine(path, elsewhere)


def _stop(run: Path) -> None:
    """Send Ctrl-C to this process once the run in this folder has a few epochs."""
    history = run / "history.jsonl"
    while not history.exists() or '"epoch": 2,' not in history.read_text():
        time.sleep(0.0005)
    os.kill(os.getpid(), signal.SIGINT)


def _forget_the_machine(path: Path, elsewhere: str) -> None:
    """Take out of a file what tells of the machine and the folders that it was made on."""
    info = json.loads(path.read_text().replace(f"{elsewhere}/", ""))
    if path.name == "run.json":
        info |= {"command": "linnaea train bars", "git": None, "looks": None}
        info["opened"]["folder"] = "."
        info["hardware"] |= {"processor": "a processor", "system": "a system"}
    elif path.name == "state.json":
        info["facts"]["hardware"] |= {"processor": "a processor", "system": "a system"}
    elif "precision" in info:
        info["precision"]["processor"] = "a processor"
    path.write_text(json.dumps(info, indent=2) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
