"""How many of 10 swapped labels among 2,040 flowers are among the first 30 label issues; five folds.

The features of MobileNetV2 are computed once. Each draw gives ten pictures the label of another class, fits
the linear probe on four fifths of the pictures and predicts the other fifth, five times, and lists label
issues by several rankings. `linnaea train --folds` uses the first. It was chosen on other draws and on the
other half of the pictures.
"""

import os
import time
from pathlib import Path

import numpy as np

SHARED = Path(os.environ.get("LINNAEA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
WEIGHTS = SHARED / "weights" / "mobilenetv2_100.tv_in1k.safetensors"
SWAPPED, FIRST, FOLDS = 10, 30, 5
DRAWS = range(100, 104)
# (filter_by, ranked by) of cleanlab.filter.find_label_issues.
RANKINGS = (
    ("predicted_neq_given", "self_confidence"),
    ("predicted_neq_given", "normalized_margin"),
    ("prune_by_noise_rate", "self_confidence"),
)


def features() -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, 1280) and class numbers (n,) of half of the pictures."""
    import torch

    from linnaea.classifiers.finetune import construction, inference
    from linnaea.classifiers.finetune.pictures import EvaluationBatches
    from linnaea.data.flowers102 import open_flowers102

    dataset = open_flowers102(SHARED / "data" / "flowers102")
    rows = np.flatnonzero(np.arange(len(dataset)) % 4 >= 2)
    opened = construction.open_network(
        "mobilenetv2_100", weights=str(WEIGHTS), size=None, variant="weights", classes=102, seed=0
    )
    pictures = EvaluationBatches(dataset.files(rows), opened.preprocessing, torch.device("cpu"))
    made = inference.features(opened.network, pictures, opened.preprocessing, "float32")
    return made.numpy(), np.unique(dataset.labels[rows], return_inverse=True)[1]


def out_of_fold(X: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Return the probabilities (n, classes) of each picture from a probe that was not fitted to it."""
    import torch
    from sklearn.model_selection import StratifiedKFold

    from linnaea.classifiers.finetune.probe import fit_probe

    probabilities = np.zeros((len(y), y.max() + 1))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(X, y):
        probe = fit_probe(torch.from_numpy(X[train]), y[train])
        logits = probe.logits(torch.from_numpy(X[test])).double()
        probabilities[test] = torch.softmax(logits, 1).numpy()
    return probabilities


def main() -> None:
    """Print for each ranking how many swapped labels were found in each draw; skip without the weights."""
    from cleanlab.filter import find_label_issues

    if not WEIGHTS.exists():
        print(f"skipped: no {WEIGHTS} (set LINNAEA_SHARED)")
        return
    start = time.perf_counter()
    X, truth = features()
    print(f"{len(X):,} pictures, features in {time.perf_counter() - start:.0f} s")
    found: dict[tuple[str, str], list[int]] = {ranking: [] for ranking in RANKINGS}
    for draw in DRAWS:
        rng = np.random.default_rng(draw)
        swapped = rng.choice(len(truth), SWAPPED, replace=False)
        given = truth.copy()
        # Any other class, all equally likely: 1 to 101 further on in the circle of 102.
        given[swapped] = (truth[swapped] + rng.integers(1, truth.max() + 1, SWAPPED)) % (truth.max() + 1)
        probabilities = out_of_fold(X, given, draw)
        for kind, ranked_by in RANKINGS:
            order = find_label_issues(
                given, probabilities, return_indices_ranked_by=ranked_by, filter_by=kind, n_jobs=1
            )
            found[kind, ranked_by].append(int(np.isin(order[:FIRST], swapped).sum()))
    for (kind, ranked_by), counts in found.items():
        each = " ".join(map(str, counts))
        print(f"{kind:20} {ranked_by:18} {np.mean(counts):5.2f} of {SWAPPED} in the first {FIRST} ({each})")


if __name__ == "__main__":
    main()
