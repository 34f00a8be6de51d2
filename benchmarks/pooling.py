"""What a probe sees of a network: a transformer's class token, the mean of its patches, both; two networks.

`python -m benchmarks pooling`: linear probes on one view of each picture of flowers, waste and hands, on the
features of EfficientNet-Lite0 and of ViT-Tiny. The strength of the penalty is chosen on validation. Flowers
and waste keep their official sets; half of the hands are for training, a tenth for validation. Needs the
shared data and weights (LINNAEA_SHARED or ../shared). FEATURES is a folder that keeps the features, which
makes a second run fast.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import loadmat

from linnaea.classifiers.finetune.backbones import build_backbone
from linnaea.classifiers.finetune.pictures import batches
from linnaea.classifiers.finetune.probe import fit_probe

SHARED = Path(os.environ.get("LINNAEA_SHARED", "../shared"))
TRANSFORMER = SHARED / "weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
NETWORKS = {"lite0": ("efficientnet_lite0", "hub"), "vit": ("vit_tiny", TRANSFORMER)}
Rows = list[tuple[Path, str, str]]  # a picture, its class, its set


def flowers() -> Rows:
    """Return the pictures of Flowers-102 that are there, in the official sets."""
    folder = SHARED / "data/flowers102"
    labels, sets = loadmat(folder / "imagelabels.mat")["labels"][0], loadmat(folder / "setid.mat")
    named = {"trnid": "train", "valid": "val", "tstid": "test"}
    rows = [
        (folder / f"jpg/image_{number:05d}.jpg", str(labels[number - 1]), name)
        for key, name in named.items()
        for number in sets[key][0]
    ]
    return [row for row in rows if row[0].exists()]


def waste() -> Rows:
    """Return the pictures of trashnet in the authors' sets."""
    paths = sorted((SHARED / "data/trashnet").rglob("*.jpg"))
    return [(path, path.parent.name, path.parent.parent.name) for path in paths]


def hands() -> Rows:
    """Return the hands, divided at random."""
    paths = sorted(
        p for p in (SHARED / "data/sign_digits").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg")
    )
    draw = np.random.default_rng(0).random(len(paths))
    sets = np.where(draw < 0.5, "train", np.where(draw < 0.6, "val", "test"))
    return [(path, path.parent.name, str(name)) for path, name in zip(paths, sets, strict=True)]


SETS: dict[str, Callable[[], Rows]] = {"flowers": flowers, "waste": waste, "hands": hands}


@torch.no_grad()
def features(rows: Rows, network: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pooled features or the class token, and the mean of the patches (empty without any)."""
    name, weights = NETWORKS[network]
    built: Any = build_backbone(name, weights=weights)
    net, pooled, means = built.network.eval(), [], []
    for batch in batches([str(row[0]) for row in rows], built.preprocessing, torch.device("cpu"), 32):
        found = net.forward_features(built.preprocessing.normalize(batch))
        pooled.append((found[:, 0] if found.ndim == 3 else net.forward_head(found, pre_logits=True)).numpy())
        means.append((found[:, 1:].mean(1) if found.ndim == 3 else found[:, :0, 0, 0]).numpy())
    return np.concatenate(pooled), np.concatenate(means)


def standardised(values: np.ndarray, *, centred: bool = True) -> np.ndarray:
    """Return each picture's numbers with a mean square of 1, and a mean of 0 where centred."""
    values = values - values.mean(1, keepdims=True) if centred else values
    return values / np.sqrt((values**2).mean(1, keepdims=True) + 1e-6)


def kept(name: str, network: str, rows: Rows, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of a data set, from the folder where they are there."""
    path = folder / f"{name}-{network}.npz"
    if not path.exists():
        pooled, means = features(rows, network)
        np.savez(path, cls=pooled, avg=means)
    with np.load(path, allow_pickle=True) as held:
        return held["cls"], held["avg"]


def accuracies(seen: np.ndarray, rows: Rows) -> tuple[float, float]:
    """Return the validation and the test accuracy of a probe on these features."""
    targets = np.unique([row[1] for row in rows], return_inverse=True)[1]
    sets = np.array([row[2] for row in rows])
    part = {
        name: torch.from_numpy(seen[sets == name].astype(np.float32)) for name in ("train", "val", "test")
    }
    probe = fit_probe(
        part["train"], targets[sets == "train"], validation=(part["val"], targets[sets == "val"])
    )
    right = probe.logits(part["test"]).argmax(1).numpy() == targets[sets == "test"]
    assert probe.val is not None
    return probe.val[1], float(right.mean())


def main() -> None:
    """Print one line for each way of seeing: validation and test accuracy on each data set, in percent."""
    if not TRANSFORMER.exists():
        print(f"Skipped: {TRANSFORMER} is not here.", file=sys.stderr)
        return
    lines: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("FEATURES", temporary))
        folder.mkdir(parents=True, exist_ok=True)
        for name, listed in SETS.items():
            rows = listed()
            lite, _ = kept(name, "lite0", rows, folder)
            token, mean = kept(name, "vit", rows, folder)
            both = np.concatenate([standardised(token), standardised(mean)], axis=1)
            ways = {
                "EfficientNet-Lite0": lite,
                "ViT-Tiny, class token": token,
                "ViT-Tiny, mean of the patches": mean,
                "ViT-Tiny, both": both,
                "side by side": np.concatenate([standardised(lite, centred=False), both], axis=1),
            }
            for way, seen in ways.items():
                val, test = accuracies(seen, rows)
                lines.setdefault(way, []).append(f"{100 * val:6.1f} {100 * test:6.1f}")
    print(f"{'validation, test, percent':32}" + "".join(f"{name:>16}" for name in SETS))
    for way, cells in lines.items():
        print(f"{way:32}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
