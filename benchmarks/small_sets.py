"""What few pictures can carry: temperature, thresholds, prediction sets and intervals, by simulation.

`python -m benchmarks small_sets`: networks learn from 5 to 40 pictures a class, drawn anew each time: the
linear probe on EfficientNet-Lite0's features of flowers, waste and hands, and the perceptron on digits. All
pictures that a network did not learn from are the world that it meets. Validation sets of 10 to 1,000
pictures are drawn from it (with replacement, so that what is true of the world is known), and choose the
strength of the probe, then the temperature and the rest as a run does. Needs the shared data (LINNAEA_SHARED
or ../shared). FEATURES is a folder that keeps the features, which makes a second run fast; DRAWS the number
of trainings of each kind (8), each with five validation sets of each size.
"""

import os
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

from linnaea.evaluation import abstention, calibration, clustered
from linnaea.evaluation.ood import fit_outlier_score
from linnaea.evaluation.prediction_sets import PredictionSets, too_few
from linnaea.evaluation.predictions import Predictions

SHARED = Path(os.environ.get("LINNAEA_SHARED", "../shared"))
FEATURES = Path(os.environ.get("FEATURES", Path(tempfile.gettempdir()) / "linnaea-small-sets"))
DRAWS, SETS = int(os.environ.get("DRAWS", "8")), 5
VALIDATION = (10, 20, 30, 60, 100, 300, 1000)
# Name → source below the shared data, pictures a class that may be learned from, classes of a draw (None:
# all), pictures a class that are learned from.
PHOTOGRAPHS: dict[str, tuple[str, int, int | None, tuple[int, ...]]] = {
    "waste": ("trashnet", 60, None, (5, 10, 20, 40)),
    "hands": ("sign_digits", 60, None, (5, 10, 20, 40)),
    "flowers, 25 of 102": ("flowers102", 20, 25, (5, 10, 20)),
    "flowers": ("flowers102", 20, None, (10,)),
}
FOLDS, WIDTH = 5, 256
# Trainings of each kind that are repeated over folds, which takes ten times as long.
FOLDED = 4
GRID = np.linspace(np.log(calibration.LOWEST), np.log(calibration.HIGHEST), 121)
SURE = 0.95


@dataclass(frozen=True)
class Trained:
    """A network, and the world that it meets.

    log_p: of each strength that validation chooses from, float64 (strengths, n, classes); targets: int (n,)
    own, own_targets: features (m, width) and class numbers of what it learned from
    world: features (n, width)
    held_out: log probabilities (strengths, m, classes) of its own pictures, by networks without them; or None
    """

    log_p: np.ndarray
    targets: np.ndarray
    own: np.ndarray
    own_targets: np.ndarray
    world: np.ndarray
    held_out: np.ndarray | None = None


def features(source: str, pool: int) -> dict[str, np.ndarray]:
    """Return the features of a data set, four views of the first `pool` pictures of each class.

    {"views" (4, m, width), "own" (m,): their classes, "rest" (n, width), "others" (n,): theirs}
    """
    path = FEATURES / f"{source}.npz"
    if not path.exists():
        import torch

        from linnaea.classifiers.finetune import construction
        from linnaea.classifiers.finetune.frozen_features import FrozenFeatures
        from linnaea.classifiers.finetune.pictures import EvaluationBatches, ResidentPictures
        from linnaea.data.sources import open_dataset

        where = SHARED / "data" / source
        dataset = open_dataset(source, data_dir=where) if source == "flowers102" else open_dataset(str(where))
        order = np.random.default_rng(0).permutation(len(dataset))
        labels = np.unique(dataset.labels, return_inverse=True)[1]
        first = np.sort(np.concatenate([order[labels[order] == c][:pool] for c in np.unique(labels)]))
        rest = np.setdiff1d(order, first)
        opened = construction.open_network(
            "efficientnet_lite0", weights="hub", size=None, variant="weights", classes=2, seed=0
        )
        device = torch.device("cpu")
        made = FrozenFeatures.of(
            opened.network,
            ResidentPictures.read(dataset.files(list(first)), opened.preprocessing, device),
            EvaluationBatches(dataset.files(list(rest)), opened.preprocessing, device),
            number_of_views=4,
            precision="float32",
            seed=0,
            flip=True,
        )
        assert made.val is not None
        arrays = {"views": made.train.numpy(), "rest": made.val.numpy()}
        FEATURES.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays, own=labels[first], others=labels[rest])
    with np.load(path) as file:
        return dict(file)


def probes(name: str, each: int, draw: int) -> Trained:
    """Return a probe that learned from `each` pictures a class, as Linnaea fits it."""
    import torch

    from linnaea.classifiers.finetune.probe import regularization_path

    source, pool, few, _ = PHOTOGRAPHS[name]
    made, generator = features(source, pool), np.random.default_rng([draw, each])
    classes = np.unique(made["own"])
    classes = np.sort(generator.permutation(classes)[:few])
    own = [generator.permutation(np.flatnonzero(made["own"] == c))[:each] for c in classes]
    rows = np.sort(np.concatenate(own))
    left = np.setdiff1d(np.flatnonzero(np.isin(made["own"], classes)), rows)
    others = np.isin(made["others"], classes)
    world = np.concatenate([made["views"][0, left], made["rest"][others]])
    targets = np.searchsorted(classes, np.concatenate([made["own"][left], made["others"][others]]))
    own_targets = np.searchsorted(classes, made["own"][rows])

    def learned(of: np.ndarray, told: np.ndarray) -> np.ndarray:
        """Return log probabilities (strengths, told, classes) of a probe on some of its own pictures."""
        seen = torch.from_numpy(made["views"][:, rows[of]])
        path = regularization_path(
            seen.flatten(0, 1), own_targets[of], seen=np.tile(np.arange(len(of)), len(seen))
        )
        new = torch.from_numpy(told)
        return np.stack([log_softmax(probe.logits(new).double().numpy(), axis=1) for probe in path])

    held_out = None
    if draw < min(DRAWS // 4, FOLDED) and few is None and source != "flowers102":
        from sklearn.model_selection import StratifiedKFold

        everything = learned(np.arange(len(rows)), world)
        held_out = np.empty((len(everything), len(rows), len(classes)))
        for fitted, told in StratifiedKFold(FOLDS, shuffle=True, random_state=draw).split(rows, own_targets):
            held_out[:, told] = learned(fitted, made["views"][0, rows[told]])
    else:
        everything = learned(np.arange(len(rows)), world)
    return Trained(everything, targets, made["views"][0, rows], own_targets, world, held_out)


def perceptrons(each: int, draw: int) -> Trained:
    """Return a perceptron that learned from `each` of the 5,000 digits a class."""
    from linnaea.classifiers.perceptron.classifier import MLPClassifier
    from linnaea.data.sources import open_dataset

    digits = open_dataset("digits")
    assert digits.pixels is not None
    X = (digits.pixels.reshape(len(digits), -1) / 255).astype(np.float32)
    targets, generator = digits.labels.astype(int), np.random.default_rng([draw, each])
    own = np.concatenate([generator.permutation(np.flatnonzero(targets == c))[:each] for c in range(10)])
    rest = np.setdiff1d(np.arange(len(X)), own)
    network = MLPClassifier(random_state=draw).fit(X[own], digits.labels[own])
    p = np.maximum(network.predict_proba(X[rest]).astype(np.float64), 1e-45)
    log_p = np.log(p / p.sum(axis=1, keepdims=True))[None]
    return Trained(log_p, targets[rest], network.features(X[own]), targets[own], network.features(X[rest]))


def kinds() -> Iterator[tuple[str, int, Callable[[int], Trained]]]:
    """Yield the name of a data set, how many pictures a class are learned from, and what trains a draw."""
    for name, (_, _, _, sizes) in PHOTOGRAPHS.items():
        for each in sizes:
            yield name, each, lambda draw, name=name, each=each: probes(name, each, draw)
    for each in (5, 10, 20, 40):
        yield "digits, perceptron", each, lambda draw, each=each: perceptrons(each, draw)


# Temperatures.


def losses(log_p: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the summed log loss of pictures (m, classes) at each temperature of the grid."""
    # By hand: SciPy's logsumexp takes most of the benchmark's time.
    below = log_p - log_p.max(axis=1, keepdims=True)
    of_class = below[np.arange(len(targets)), targets]
    return np.array([(np.log(np.exp(below / t).sum(axis=1)) - of_class / t).sum() for t in np.exp(GRID)])


def smoothed(log_p: np.ndarray, targets: np.ndarray, loss: np.ndarray) -> float:
    """Return ln T of least loss, of smoothed labels below five mistakes (Platt 1999); 0 below 20 pictures."""
    n, k = log_p.shape
    if n < 20:
        return 0.0
    of_class = log_p[np.arange(n), targets]
    doubt = 1 / (n + 2) * ((log_p.argmax(axis=1) != targets).sum() < 5)
    shift = doubt * (of_class - (log_p.sum(axis=1) - of_class) / (k - 1)).sum()
    return float(GRID[(loss + shift * np.exp(-GRID)).argmin()])


def prior(width: float, centre: float = 0.0) -> np.ndarray:
    """Return minus the logarithm of a normal density of ln T, but for a constant."""
    return (GRID - centre) ** 2 / (2 * width**2)


def mean_under(loss: np.ndarray) -> float:
    """Return the mean of ln T under a density, given minus its logarithm."""
    weight = np.exp(loss.min() - loss)
    return float((weight * GRID).sum() / weight.sum())


def rules(log_p: np.ndarray, targets: np.ndarray, held_out: tuple[np.ndarray, np.ndarray] | None) -> dict:
    """Return name → ln T of each way to choose it."""
    loss = losses(log_p, targets)
    names = tuple(f"c{c}" for c in range(log_p.shape[1]))
    chosen = {
        "T = 1": 0.0,
        "least loss": float(GRID[loss.argmin()]),
        "smoothed labels": smoothed(log_p, targets, loss),
        **{f"prior {w:g}": float(GRID[(loss + prior(w)).argmin()]) for w in (0.25, 0.5, 0.7, 1.0, 2.0)},
        **{f"mean, {w:g}": mean_under(loss + prior(w)) for w in (0.5, 1.0)},
        "Linnaea": float(np.log(calibration.fit_temperature(table(np.exp(log_p), targets, names)))),
    }
    if held_out is not None:
        of_own = losses(*held_out)
        centre = float(GRID[(of_own + prior(1.0)).argmin()])
        chosen["out of fold"] = centre
        chosen["out of fold + validation"] = float(GRID[(of_own + loss + prior(1.0)).argmin()])
        chosen["prior 0.5 around out of fold"] = float(GRID[(loss + prior(0.5, centre)).argmin()])
    return chosen


def measured(log_p: np.ndarray, targets: np.ndarray, log_temperature: float) -> tuple[float, float]:
    """Return calibration error in points and log loss of the world at a temperature."""
    scaled = log_softmax(log_p * np.exp(-log_temperature), axis=1)
    best = scaled.argmax(axis=1)
    confidence = np.exp(scaled[np.arange(len(targets)), best])
    number = np.clip(np.ceil(confidence * calibration.BINS).astype(int) - 1, 0, calibration.BINS - 1)
    error = np.abs(np.bincount(number, (best == targets) - confidence)).sum() / len(targets)
    return 100 * float(error), float(-scaled[np.arange(len(targets)), targets].mean())


# Promises.


def table(p: np.ndarray, targets: np.ndarray, names: tuple[str, ...]) -> Predictions:
    """Return probabilities (m, classes) as a table."""
    return Predictions(("",) * len(targets), np.array(names)[targets], names, p)


def promises(network: Trained, log_p: np.ndarray, rows: np.ndarray, temperature: float) -> dict[str, Any]:
    """Return name → whether a promise held in the world, or what it came to; only what was promised."""
    names = tuple(f"c{c}" for c in range(log_p.shape[1]))
    p, targets = calibration.tempered(np.exp(log_p), temperature), network.targets
    validation, everyone = table(p[rows], targets[rows], names), np.arange(len(targets))
    results: dict[str, Any] = {}
    if too_few(validation, SURE) is None:
        sets = PredictionSets.fit(validation, SURE)
        covered = float(sets.members(p)[everyone, targets].mean())
        results |= {
            "sets: stated confidence": sets.confidence,
            "sets: held": covered >= SURE,
            "sets: stated mean": sets.mean_coverage,
            "sets: mean": covered,
        }
    rule = abstention.next_threshold(validation)
    results["threshold: made"] = rule is not None
    if rule is not None:
        answered = p.max(axis=1) >= rule["threshold"]
        right = p.argmax(axis=1) == targets
        results["threshold: held"] = bool(right[answered].mean() >= rule["wanted"])
    p = np.exp(log_p)
    score = fit_outlier_score(network.own, network.own_targets, validation=(network.world[rows], p[rows]))
    rate = float(score.is_ood(score.scores(network.world, p)).mean())
    return results | {
        "alarms: held as is sure": rate <= (score.asked if score.is_sure else score.surely_guaranteed),
        "alarms: stated mean": score.guaranteed,
        "alarms: mean": rate,
    }


def intervals(network: Trained, generator: np.random.Generator) -> dict[int, float]:
    """Return for each size of a test set how often the interval of the accuracy held the world's."""
    right = network.log_p[-1].argmax(axis=1) == network.targets
    held: dict[int, list[bool]] = defaultdict(list)
    for size in VALIDATION:
        for _ in range(200 // DRAWS):
            low, high = clustered.share_interval(right[generator.integers(len(right), size=size)])
            held[size].append(low <= right.mean() <= high)
    return {size: float(np.mean(values)) for size, values in held.items()}


def over_folds(name: str, each: int, draw: int) -> bool:
    """Return whether the interval of a probe over folds of `each` pictures a class holds what is true.

    True is the mean accuracy of the folds' probes on all other pictures. On WIDTH random combinations of the
    features, which makes thousands of probes quick.
    """
    import torch

    from linnaea.classifiers.finetune.probe import fit_probe
    from linnaea.data.folds import fold_numbers

    source, pool, few, _ = PHOTOGRAPHS[name]
    made, generator = features(source, pool), np.random.default_rng([draw, each, 2])
    mixing = np.random.default_rng(0).normal(size=(made["rest"].shape[1], WIDTH)) / np.sqrt(WIDTH)
    y = np.concatenate([made["own"], made["others"]])
    classes = np.sort(generator.permutation(np.unique(y))[:few])
    known = np.flatnonzero(np.isin(y, classes))
    X = np.concatenate([made["views"][0], made["rest"]])[known] @ mixing
    rows, y = torch.from_numpy(X).float(), np.searchsorted(classes, y[known])
    own = np.concatenate([generator.permutation(np.flatnonzero(y == c))[:each] for c in range(len(classes))])
    rest = np.setdiff1d(np.arange(len(y)), own)
    fold = fold_numbers(y[own].astype(str), np.arange(len(own)), FOLDS, draw)
    right, truth = np.zeros(len(own), bool), []
    for number in range(FOLDS):
        probe = fit_probe(rows[own[fold != number]], y[own[fold != number]])
        said = probe.logits(rows).argmax(dim=1).numpy() == y
        right[fold == number] = said[own[fold == number]]
        truth.append(said[rest].mean())
    low, high = clustered.folded_interval(right)
    return bool(low <= np.mean(truth) <= high)


def strength(network: Trained, rows: np.ndarray) -> int:
    """Return which probe validation chooses: the most accurate, among equals that of the lowest loss."""
    targets = network.targets[rows]
    scores = [
        ((log_p[rows].argmax(axis=1) == targets).mean(), log_p[rows, targets].mean())
        for log_p in network.log_p
    ]
    return scores.index(max(scores))


class Results:
    """What all draws came to."""

    def __init__(self) -> None:
        # By data set (and with pictures a class), validation pictures and rule: ECE, log loss, ln T.
        self.numbers: dict[tuple[str, int, str], list[tuple[float, float, float]]] = defaultdict(list)
        # The same of the draws that have networks without each of their own pictures.
        self.folded: dict[tuple[int, str], list[tuple[float, float, float]]] = defaultdict(list)
        self.kept: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.held: dict[tuple[str, int], list[float]] = defaultdict(list)

    def add(self, name: str, each: int, network: Trained, generator: np.random.Generator) -> None:
        """Draw the test and validation sets of one network."""
        for size, share in intervals(network, generator).items():
            self.held[name, size].append(share)
        for size in VALIDATION:
            for _ in range(SETS):
                rows = generator.integers(len(network.targets), size=size)
                self._validate(name, each, network, rows)

    def _validate(self, name: str, each: int, network: Trained, rows: np.ndarray) -> None:
        which, targets = strength(network, rows), network.targets
        log_p = network.log_p[which]
        own = None if network.held_out is None else (network.held_out[which], network.own_targets)
        for rule, ln_t in rules(log_p[rows], targets[rows], own).items():
            result = *measured(log_p, targets, ln_t), ln_t
            self.numbers[name, len(rows), rule].append(result)
            self.numbers[f"{name} {each}", len(rows), rule].append(result)
            if own is not None:
                self.folded[len(rows), rule].append(result)
            if rule == "Linnaea":
                for what, value in promises(network, log_p, rows, float(np.exp(ln_t))).items():
                    self.kept[len(rows)][what].append(float(value))

    def show(self) -> None:
        """Print the tables."""
        names = list(dict.fromkeys(name for name, _ in self.held))
        rows = {rule: None for _, _, rule in self.numbers if "fold" not in rule}

        def line(title: str, cells: list[str]) -> None:
            print(f"{title:38}" + "".join(f"{cell:>24}" for cell in cells), flush=True)

        sizes = [str(size) for size in VALIDATION]
        line("all sets: ECE in points · log loss", sizes)
        for rule in rows:
            means = [
                np.mean([np.mean(self.numbers[n, s, rule], axis=0) for n in names], axis=0)
                for s in VALIDATION
            ]
            line(rule, [f"{m[0]:.2f} · {m[1]:.4f}" for m in means])
        line("\nwaste and hands, with folds", sizes)
        for rule in dict.fromkeys(rule for _, rule in self.folded):
            means = [np.mean(self.folded[s, rule], axis=0) for s in VALIDATION]
            line(rule, [f"{m[0]:.2f} · {m[1]:.4f}" for m in means])
        for name in dict.fromkeys(name for name, _, _ in self.numbers):
            line(f"\n{name}: and mean T", sizes)
            for rule in ("T = 1", "least loss", "smoothed labels", "Linnaea"):
                means = [np.mean(self.numbers[name, s, rule], axis=0) for s in VALIDATION]
                line(rule, [f"{m[0]:.2f} · {m[1]:.4f} · {np.exp(m[2]):.2f}" for m in means])
        line("\npromises (percent)", sizes)
        for what in self.kept[VALIDATION[-1]]:
            cells = [self.kept[s][what] for s in VALIDATION]
            line(what, [f"{100 * np.mean(cell):.1f}" if cell else "–" for cell in cells])
        line("\ninterval of the accuracy holds (percent)", sizes)
        for name in names:
            line(name, [f"{100 * np.mean(self.held[name, s]):.1f}" for s in VALIDATION])


def main() -> None:
    """Print temperatures, all sets together and each by itself, then what the promises came to."""
    from threadpoolctl import threadpool_limits

    if not (SHARED / "data").is_dir():
        print(f"Skipped: {SHARED / 'data'} is not here.", file=sys.stderr)
        return
    results = Results()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, each, train in kinds():
            started = time.perf_counter()
            for draw in range(DRAWS):
                results.add(name, each, train(draw), np.random.default_rng([draw, 1]))
            print(f"{name}, {each} a class: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        results.show()
        for name, (*_, sizes) in list(PHOTOGRAPHS.items())[:3]:
            for each in sizes:
                share = np.mean([over_folds(name, each, draw) for draw in range(5 * DRAWS)])
                print(f"probe over folds of {name}, {each} a class: held in {100 * share:.1f} %", flush=True)


if __name__ == "__main__":
    main()
