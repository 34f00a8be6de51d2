"""Out-of-distribution scores, compared on classes left out of training, on digits and on noise.

`python -m benchmarks outliers`: a linear probe is fitted to the features of three pretrained networks, of a
transformer to the class token and the mean of the patches, as in a training. Ten of the 102 classes of
Flowers-102 are left out of training, with five seeds. Scores are compared on the validation set: the other 92
classes against the ten, digits, uniform noise and Gaussian noise. Only the score that is used, with its
threshold, is evaluated on the test set. Needs the shared data and weights (LINNAEA_SHARED or ../shared).
FEATURES is a folder that keeps the features, which makes a second run fast.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks import _outlier_scores as candidates
from linnaea.classifiers.finetune import construction, inference
from linnaea.classifiers.finetune.pictures import batches
from linnaea.classifiers.finetune.probe import fit_probe
from linnaea.data import sources, split
from linnaea.evaluation.ood import WEIGHT, fit_outlier_score

SHARED = Path(os.environ.get("LINNAEA_SHARED", "../shared"))
NETWORKS = {
    "mobilenetv2": str(SHARED / "weights/mobilenetv2_100.tv_in1k.safetensors"),
    "efficientnet_lite0": "hub",
    "vit_tiny": str(SHARED / "weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"),
}
HELD, SEEDS = 10, 5
DIGITS, NOISE, SIDE = 500, 300, 256  # pictures of each kind; pixels per side of the noise
Features = dict[str, tuple[np.ndarray, np.ndarray]]


def pictures(data_dir: Path) -> dict[str, tuple[Any, np.ndarray]]:
    """Return name → pictures and labels: the official split's three sets, digits, and two kinds of noise."""
    flowers = sources.open_dataset("flowers102", data_dir=data_dir)
    made = split.make_split(flowers, "official", validation=0.1, seed=0)
    labelled: dict[str, tuple[Any, np.ndarray]] = {}
    for name in ("train", "val", "test"):
        rows = getattr(made, name)
        labelled[name] = flowers.files(list(rows)), flowers.labels[rows]
    rng = np.random.default_rng(0)
    digits = sources.open_dataset("digits").pixels
    chosen = digits[rng.choice(len(digits), DIGITS, replace=False)]
    shape = (NOISE, SIDE, SIDE, 3)
    uniform = rng.integers(0, 256, shape, dtype=np.uint8)
    gaussian = np.clip(rng.normal(127.5, 64, shape), 0, 255).astype(np.uint8)
    others = {"digits": np.repeat(chosen[..., None], 3, 3), "uniform": uniform, "Gaussian": gaussian}
    return labelled | {name: (some, np.zeros(len(some), "U1")) for name, some in others.items()}


def features_of(backbone: str, weights: str, data_dir: Path, kept: Path) -> Features:
    """Return name → features (n, width) and labels of all pictures, from the kept file if there is one."""
    kept.mkdir(parents=True, exist_ok=True)
    path = kept / f"{backbone}.npz"
    if not path.exists():
        opened = construction.open_network(
            backbone, weights=weights, size=None, variant="weights", classes=2, seed=0
        )
        arrays = {}
        for name, (X, y) in pictures(data_dir).items():
            seen = batches(X, opened.preprocessing, torch.device("cpu"), inference.BATCH)
            made = inference.features(opened.network, seen, opened.preprocessing, "float32")
            arrays |= {f"{name}.X": made.numpy(), f"{name}.y": y.astype(str)}
        np.savez(path, **arrays)
    with np.load(path) as file:
        names = {key.partition(".")[0] for key in file}
        return {name: (file[f"{name}.X"].astype(np.float64), file[f"{name}.y"]) for name in names}


def auroc(known: np.ndarray, other: np.ndarray) -> float:
    """Return the probability that an unfamiliar picture scores above a familiar one."""
    return float(roc_auc_score(np.repeat([0, 1], [len(known), len(other)]), np.r_[known, other]))


def one_seed(features: Features, seed: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Return score → against what → AUROC on validation, and the results of the used score on test."""
    classes = np.unique(features["train"][1])
    held = np.random.default_rng(seed).choice(classes, HELD, replace=False)
    known_classes = {}
    for name in ("train", "val", "test"):
        X, y = features[name]
        inside = ~np.isin(y, held)
        known_classes[name] = X[inside], np.searchsorted(np.setdiff1d(classes, held), y[inside]), X[~inside]
    (X, targets, _), (val, val_targets, val_held), (test, _, test_held) = known_classes.values()
    probe = fit_probe(
        torch.from_numpy(X).float(), targets, validation=(torch.from_numpy(val).float(), val_targets)
    )
    weight, bias = probe.weight.double().numpy(), probe.bias.double().numpy()
    scores = candidates.logit_scores(weight, bias) | candidates.distance_scores(X, targets)
    scores["ViM"] = candidates.vim_score(X, weight, bias)
    doubt = scores["largest probability"]
    for other in ("class means", "Mahalanobis", "nearest neighbour"):
        scores[f"largest probability + {other} · {WEIGHT}"] = candidates.joined(
            doubt, scores[other], WEIGHT, val
        )
    others = {"held out": val_held} | {n: features[n][0] for n in ("digits", "uniform", "Gaussian")}
    table = {
        name: {what: auroc(score(val), score(some)) for what, some in others.items()}
        for name, score in scores.items()
    }

    def probabilities(f: np.ndarray) -> np.ndarray:
        return torch.softmax(torch.from_numpy(f @ weight.T + bias), 1).numpy()

    final = {}
    for how, validation in (("", (val, probabilities(val))), (", no validation set", None)):
        score = fit_outlier_score(X, targets, validation=validation)
        known = score.scores(test, probabilities(test))
        others = {"held out": test_held, "digits": features["digits"][0]}
        final |= {
            f"{what}{how}": auroc(known, score.scores(f, probabilities(f))) for what, f in others.items()
        }
        final[f"false alarms{how}"] = float(score.is_ood(known).mean())
        flagged = score.is_ood(score.scores(test_held, probabilities(test_held)))
        final[f"held out and flagged{how}"] = float(flagged.mean())
    return table, final


def main() -> None:
    """Print each network's tables: the mean over the seeds, and in brackets the lowest."""
    flowers = SHARED / "data/flowers102"
    if not flowers.is_dir():
        print(f"Skipped: {flowers} is not here.", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as temporary:
        kept = Path(os.environ.get("FEATURES", temporary))
        torch.set_num_threads(os.cpu_count() or 1)
        for backbone, weights in NETWORKS.items():
            features = features_of(backbone, weights, flowers, kept)
            tables, finals = zip(*(one_seed(features, seed) for seed in range(SEEDS)), strict=True)
            print(f"\n{backbone}, validation, AUROC against {', '.join(next(iter(tables[0].values())))}")
            for name in sorted(tables[0], key=lambda n: -np.mean([t[n]["held out"] for t in tables])):
                cells = ([table[name][what] for table in tables] for what in tables[0][name])
                print(f"  {name:44}", *(f"{np.mean(cell):.4f} ({min(cell):.4f})" for cell in cells))
            print(f"{backbone}, test, the used score")
            for what in finals[0]:
                cell = [final[what] for final in finals]
                print(f"  {what:44} {np.mean(cell):.4f} ({min(cell):.4f} to {max(cell):.4f})")


if __name__ == "__main__":
    main()
