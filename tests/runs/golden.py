"""Make golden run folders of the present format: python -m tests.runs.golden FOLDER [KIND …]

Each is made by the real command on 24 small pictures, which lie beside it: one of each kind of network, those
that were stopped on their way, and repeats that were stopped in the second. They are never made again for a
format that was released: later versions must read them as they are. What is large is gzipped; the weights
that photographs begin with have few different values, so that they shrink to a tenth or less, and only a
few of them are trained.
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
from linnaea.runs.checkpoint import checksum

# What a golden run needs: the page and the thumbnails are drawn from it.
KEPT = ("run.json", "split.csv", "history.jsonl", "predictions.csv", "validation.csv", "metrics.json",
        "calibration.json", "model.json", "outliers.json", "outliers.safetensors", "check.json",
        "repeats.json")  # fmt: skip
PERCEPTRON = ["--hidden", "4", "--size", "8"]
PROBE = ["--model", "test_efficientnet", "--size", "32", "--set", "views=1"]
# Its last norm and its head learn: 131 numbers and as many again for each class.
TUNED = ["--model", "test_vit", "--size", "32", "--set", "views=1", "--set", "train_from=norm", "--solver",
         "nesterov", "--batch-size", "2", "--set", "precision=float32"]  # fmt: skip
SETTINGS = {
    "perceptron": [*PERCEPTRON, "--epochs", "3"],
    "keras": ["--model", "keras", *PERCEPTRON, "--epochs", "3"],
    "stopped": [*PERCEPTRON, "--epochs", "60", "--batch-size", "2"],
    "finetune": [*PROBE, "--epochs", "0"],
    "tuned": [*TUNED, "--epochs", "2", "--set", "probe=false"],
    "keras-stopped": ["--model", "keras", *PERCEPTRON, "--epochs", "60", "--batch-size", "2"],
    "tuned-stopped": [*TUNED, "--epochs", "12"],
    "repeats": [*PERCEPTRON, "--epochs", "40", "--batch-size", "2", "--repeats", "2"],
}
# What is stopped, and where its history tells how far it is.
STOPPED = {"stopped": ".", "keras-stopped": ".", "tuned-stopped": ".", "repeats": "2"}
LARGE = 16_384  # bytes; what is larger is gzipped


def draw(folder: Path) -> None:
    """Draw three classes of eight pictures: a bar at the left, in the middle or at the right, in noise."""
    generator = np.random.default_rng(1)
    for number in range(3):
        (folder / f"bar {number}").mkdir(parents=True)
        for index in range(8):
            pixels = generator.integers(0, 80, (12, 12), dtype=np.uint8)
            pixels[:, number * 4 : number * 4 + 4] += 160
            Image.fromarray(pixels).save(folder / f"bar {number}" / f"{index}.png")


def plain_backbone(path: Path, model: str) -> None:
    """Write weights whose every tensor has at most three values, of its own scale.

    Those of test_vit repeat themselves besides: a checkpoint holds them four times.
    """
    torch.manual_seed(0)
    tensors = timm.create_model(model, num_classes=1000).state_dict()
    for name, tensor in tensors.items():
        if tensor.ndim > 1:
            plain = torch.where(tensor.abs() > tensor.std(), tensor.sign() * tensor.std(), 0.0)
            if model == "test_vit":
                period = 61  # numbers; a prime, so that no two rows are alike
                plain = plain.flatten()[:period].repeat(plain.numel() // period + 1)[: plain.numel()]
            tensors[name] = plain.view(tensor.shape)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def make(folder: Path, kinds: list[str]) -> None:
    """Make the pictures and these runs in folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "bars").exists():
        draw(folder / "bars")
    folder = folder.resolve()
    os.chdir(folder)  # so that the runs name their pictures, and their first weights, by a relative path
    with tempfile.TemporaryDirectory() as elsewhere:
        for name in kinds:
            run = Path(elsewhere) / name
            asked = [
                *SETTINGS[name],
                *_weights(name, Path(elsewhere)),
                "--split",
                "0.5",
                "--validation",
                "0.3",
            ]
            if name in STOPPED:
                threading.Thread(target=_stop, args=(run / STOPPED[name],), daemon=True).start()
            if main(["train", "bars", *asked, "--out", str(run)]) != (130 if name in STOPPED else 0):
                raise SystemExit(f"{name} was not made: it could not be trained, or not be stopped in time")
            for part in run.rglob("*"):
                if part.name in (*KEPT, "weights.safetensors") or _in_newest_checkpoint(part):
                    _keep(part, folder / name / part.relative_to(run), elsewhere)
    # Only to start from, and packed already.
    (folder / "backbone.safetensors").unlink(missing_ok=True)


def _in_newest_checkpoint(part: Path) -> bool:
    """Tell the pointer, and the files of the checkpoint that it names, from all other files of a run."""
    if part.parent.name == "checkpoint":
        return part.name == "current"
    pointer = part.parents[1] / "current"
    return pointer.exists() and part.parent.name == pointer.read_text().strip()


def _weights(name: str, elsewhere: Path) -> list[str]:
    """Return the words that name the first weights of a network of photographs."""
    if name == "finetune":
        plain_backbone(elsewhere / "weights.safetensors", "test_efficientnet")
        return ["--weights", str(elsewhere / "weights.safetensors")]
    if not name.startswith("tuned"):
        return []
    # Kept beside the pictures: a training that is gone on with begins with them.
    plain_backbone(Path("backbone.safetensors"), "test_vit")
    _keep(Path("backbone.safetensors"), Path("backbone.safetensors"), "")
    return ["--weights", "backbone.safetensors"]


def _keep(source: Path, target: Path, elsewhere: str) -> None:
    """Copy a file of a run, gzipped where it is large, and without what tells of the machine."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = source.read_bytes()
    if source.suffix == ".safetensors" and (len(content) > LARGE or source.name == "weights.safetensors"):
        target.with_name(f"{target.name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
    elif source != target:
        target.write_bytes(content)
        if source.suffix == ".json":
            _forget_the_machine(target, elsewhere)


def _stop(run: Path) -> None:
    """Send Ctrl-C to this process once the run in this folder has a few epochs."""
    history = run / "history.jsonl"
    while not history.exists() or '"epoch": 2,' not in history.read_text():
        time.sleep(0.0005)
    os.kill(os.getpid(), signal.SIGINT)


def _forget_the_machine(path: Path, elsewhere: str) -> None:
    """Take out of a file what tells of the machine and the folders that it was made on."""
    info = json.loads(path.read_text().replace(f"{elsewhere}/", ""))
    if path.name in ("run.json", "repeats.json"):
        info |= {"command": "linnaea train bars"}
        info["opened"]["folder"] = "."
    if path.name == "run.json":
        info |= {"git": None, "test_reuse": None}
        info["hardware"] |= {"processor": "a processor", "system": "a system"}
    elif path.name == "state.json":
        info["facts"]["hardware"] |= {"processor": "a processor", "system": "a system"}
        del info["checksum"]
        info["checksum"] = checksum(info)
    elif "precision" in info:
        info["precision"]["processor"] = "a processor"
    path.write_text(json.dumps(info, indent=2) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2:] or list(SETTINGS))
