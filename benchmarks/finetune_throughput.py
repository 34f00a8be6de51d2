"""Pictures per second of the whole fine-tuning loop, with decoding and augmentation, beside the bare step.

The bare step is the same network as timm builds it, batch norms in training mode, on one prepared batch in
memory: forward, backward, fused AdamW. The loop is run_epoch on JPEG files. Decoding them, once in 12 epochs,
is counted with its share. Rounds alternate, so that other load on the machine affects both alike.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

BACKBONES = ("mobilenetv2", "efficientnet_lite0", "resnet50")
PICTURES, BATCH, CLASSES, ROUNDS, EPOCHS = 64, 16, 102, 5, 12
SIZE = (341, 256)  # width and height of the files, in pixels


def write_pictures(folder: Path, count: int = PICTURES) -> list[Path]:
    """Write so many JPEG files as smooth as photographs, and return their paths."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        paths.append(folder / f"{number:04}.jpg")
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(paths[-1], quality=80)
    return paths


class BareStep:
    """One network that is trained on one batch, again and again."""

    def __init__(self, name: str, precision: str) -> None:
        from linnaea.classifiers.finetune.backbones import build_backbone
        from linnaea.classifiers.finetune.device import choose_device

        network = build_backbone(name, weights="none", classes=CLASSES).network
        self.network = network.to(choose_device().where, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-5, fused=True)
        pictures = torch.randn((BATCH, 3, 224, 224), device=choose_device().where)
        self.pictures = pictures.contiguous(memory_format=torch.channels_last)
        self.targets = torch.arange(BATCH, device=choose_device().where)
        self.precision = precision

    def seconds(self, count: int = PICTURES) -> float:
        """Return the seconds of as many steps as an epoch of so many pictures has."""
        from linnaea.classifiers.finetune.device import autocast

        started = time.perf_counter()
        for _ in range(count // BATCH):
            with autocast(self.pictures.device, self.precision):
                loss = torch.nn.functional.cross_entropy(self.network(self.pictures).float(), self.targets)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            loss.item()
        return time.perf_counter() - started


class WholeLoop:
    """A learner on pictures decoded from files; `decoding` is the seconds that took."""

    def __init__(self, name: str, paths: list[Path]) -> None:
        from linnaea.classifiers.finetune import batchnorm, construction
        from linnaea.classifiers.finetune.classifier import FineTuneClassifier
        from linnaea.classifiers.finetune.device import choose_device
        from linnaea.classifiers.finetune.pictures import ResidentPictures

        opened = construction.open_network(
            name, weights="none", size=224, variant="weights", classes=CLASSES, seed=0
        )
        # Random weights with statistics of their own: without them activations fade, and zeros are quick.
        batchnorm.reestimate(
            opened.network, [torch.randn((BATCH, 3, 224, 224), device=choose_device().where)]
        )
        self.precision = construction.precision_for("auto", opened, name, BATCH, "freeze")
        started = time.perf_counter()
        pictures = ResidentPictures.read(paths, opened.preprocessing, choose_device().where)
        self.decoding = time.perf_counter() - started
        targets = np.arange(len(paths)) % CLASSES
        self.part = construction.training_set(pictures, targets, None, CLASSES)
        settings: dict[str, Any] = FineTuneClassifier(
            name, train_from="all", cutmix=0.5, epochs=10_000
        ).get_params()
        settings |= {"learning_rate": 1e-5, "batch_size": BATCH, "precision": self.precision}
        self.learner = construction.new_learner(opened.network, settings, self.part, seed=0)

    def seconds(self) -> float:
        """Return the seconds of one epoch, its share of the decoding included."""
        from linnaea.classifiers.finetune.loop import run_epoch

        started = time.perf_counter()
        run_epoch(self.learner, self.part)
        return time.perf_counter() - started + self.decoding / EPOCHS


def main() -> None:
    """Print one table: network, precision, bare step, whole loop, and the ratio of loop to step."""
    print(f"{'':20} {'precision':10} {'bare step':>12} {'whole loop':>12} {'ratio':>7}   pictures a second")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder))
        for name in BACKBONES:
            whole = WholeLoop(name, paths)
            bare = BareStep(name, whole.precision)
            rounds = [(bare.seconds(), whole.seconds()) for _ in range(ROUNDS + 1)][1:]
            speeds = [PICTURES / statistics.median(times) for times in zip(*rounds, strict=True)]
            print(
                f"{name:20} {whole.precision:10} {speeds[0]:12.1f} {speeds[1]:12.1f} "
                f"{speeds[1] / speeds[0]:7.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
