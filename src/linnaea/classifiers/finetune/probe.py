"""The linear probe: features of the frozen network, and a logistic regression on them.

It is the baseline that fine-tuning must beat, and the head that fine-tuning starts from. The features are
whitened within the classes first: directions in which pictures of one class differ count less. With ten
pictures a class that is worth more than any tuning (Flowers-102, validation: 88.0 to 89.6 % for MobileNetV2
and 88.4 to 91.8 % for EfficientNet-Lite0), and it is linear, so that the probe stays one dense layer.
"""

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from linnaea.classifiers.finetune import inference

# Inverse strengths of the L2 penalty that are tried, strong to weak: minimise mean cross-entropy +
# |w|²/(2·C), for whitened features of mean square one.
STRENGTHS = (10.0, 30.0, 100.0, 300.0)
# Without a validation set to choose on.
DEFAULT_STRENGTH = 100.0
# Of the head that fine-tuning starts from. The best probe has memorised its pictures: its large weights
# send large gradients through the backbone until that is undone. Held this short, the same directions lead
# further: MobileNetV2 on Flowers-102, five epochs at 160 pixels, validation: 87.4 % from 100, 88.5 from 10,
# 90.2 from 3, 91.1 from 1, 90.9 from 0.3.
START_STRENGTH = 1.0
# How far the covariance within the classes is drawn towards a multiple of the identity: between linear
# discriminant analysis (0) and no whitening (1). Accuracy is flat between 0.3 and 0.8.
SHRINKAGE = 0.5
# The path goes on from the solution before, so that each is reached in a few dozen steps.
_ITERATIONS = 60
# Rows of features that are float64 at a time.
_ROWS = 512


@dataclass(frozen=True)
class Probe:
    """A linear classifier on pooled features.

    weight: Tensor (classes, features), bias: Tensor (classes,)
        For the features as the network makes them: the whitening is folded in.
    strength: float
        Of the regression (1/L2), as chosen.
    train, val: (loss, accuracy)
        On evaluation's view of each picture; val is None without a validation set.
    start: (weight, bias) or None
        The same under a penalty of START_STRENGTH: where fine-tuning the backbone begins.
    """

    weight: Tensor
    bias: Tensor
    strength: float
    train: tuple[float, float]
    val: tuple[float, float] | None
    start: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    def logits(self, features: Tensor) -> Tensor:
        """Return logits (n, classes) for features (n, width)."""
        return nn.functional.linear(features, self.weight, self.bias)

    def load_into(self, layer: nn.Linear, *, start: bool = False) -> None:
        """Copy the classifier, or the start of fine-tuning, into a dense layer of a head."""
        weight, bias = self.start if start and self.start is not None else (self.weight, self.bias)
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)


def fit_probe(
    features: Tensor,
    targets: np.ndarray,
    *,
    seen: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    validation: tuple[Tensor, np.ndarray] | None = None,
    strengths: tuple[float, ...] = STRENGTHS,
    width: int | None = None,
    overwrite_features: bool = False,
) -> Probe:
    """Fit multinomial logistic regressions and keep the one with the best validation accuracy.

    features: Tensor (rows, width)
        Evaluation's view of all n pictures first, then other views of them.
    targets: ndarray of int (n,)
        Class numbers, each class present.
    seen: ndarray of int (rows,) or None
        Which picture each row is a view of, `arange(n)` first; None: there is one view of each.
    weights: ndarray (n,) or None
        Of the pictures.
    validation: (features (m, width), targets (m,)) or None
        On which the strength is chosen; None: DEFAULT_STRENGTH.
    width: int or None
        Of the features before they were reduced to the directions that these rows have; None: they were not.
        In those directions alone, the same probe takes less to find.
    overwrite_features: bool
        Whether the features may be whitened in place: they are what takes memory here.
    """
    tried = strengths if validation is not None else (DEFAULT_STRENGTH,)
    probes = regularization_path(
        features,
        targets,
        seen=seen,
        weights=weights,
        strengths=tried,
        width=width,
        overwrite_features=overwrite_features,
    )
    if validation is None:
        return probes[0]
    return chosen_of(probes, [probe.logits(validation[0]) for probe in probes], validation[1])


def regularization_path(
    features: Tensor,
    targets: np.ndarray,
    *,
    seen: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    strengths: tuple[float, ...] = STRENGTHS,
    width: int | None = None,
    overwrite_features: bool = False,
) -> list[Probe]:
    """Return the probe of each strength, strong penalty to weak, none of them validated.

    The arguments are those of fit_probe. Each regression goes on from the one before.
    """
    seen = np.arange(len(targets)) if seen is None else seen
    # The whitening counts views and not pictures: it needs only the directions in which they differ.
    rows, repeated = targets[seen], _weights_of_rows(seen, weights)
    mean, whitener = whitening(features, rows, int(targets.max()) + 1, width)
    whitened = _whitened(features, mean, whitener, features if overwrite_features else None)
    probes: list[Probe] = []
    start: tuple[Tensor, Tensor] | None = None
    # C in scikit-learn multiplies the sum of the losses, here their mean.
    regression = LogisticRegression(max_iter=_ITERATIONS, warm_start=True)
    with warnings.catch_warnings():
        # A regression that is stopped early is a little more regular, and no worse as a baseline; and that
        # there are few pictures of each class is no fault of the targets.
        warnings.simplefilter("ignore", UserWarning)
        for strength in (START_STRENGTH, *strengths):
            regression.set_params(C=strength / len(rows))
            regression.fit(whitened.numpy(), rows, repeated)
            weight, bias = _weight_and_bias(regression)
            logits = nn.functional.linear(whitened[: len(targets)], weight.float(), bias.float())
            train = inference.loss_and_accuracy(logits, torch.from_numpy(targets))
            # For raw features: w·A·(x - m) + b = (w·A)·x + (b - (w·A)·m), A being symmetric.
            weight = weight @ whitener
            folded = weight.float(), (bias - weight @ mean).float()
            if start is None:
                start = folded
            else:
                probes.append(Probe(*folded, strength, train, None, start))
    return probes


def chosen_of(probes: list[Probe], logits: list[Tensor], targets: np.ndarray) -> Probe:
    """Return the probe with the highest accuracy, among equals the lowest loss; the first of those left.

    logits: of each probe, (m, classes), for validation pictures; targets (m,): their class numbers.
    """
    numbers = torch.from_numpy(targets)
    validated = [
        replace(probe, val=inference.loss_and_accuracy(values, numbers))
        for probe, values in zip(probes, logits, strict=True)
    ]
    return max(validated, key=_score)


def whitening(
    features: Tensor, targets: np.ndarray, classes: int, full_width: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return mean (width,) and matrix (width, width), float64: (features - mean) @ matrix is whitened.

    The matrix is T^(-1/2) with T = (1 - SHRINKAGE)·S + SHRINKAGE·tr(S)/width·I and S the covariance within
    the classes (regularised discriminant analysis: Friedman 1989, J. Am. Stat. Assoc. 84, 165), scaled so
    that whitened features have a mean square of one.

    full_width: of the features before they were reduced to fewer directions, over which the means are taken.
    """
    number, width = features.shape
    full_width = full_width or width
    groups = torch.from_numpy(targets)
    counts = torch.bincount(groups, minlength=classes).clamp(min=1)
    sums = torch.zeros((classes, width), dtype=torch.float64)
    within = torch.zeros((width, width), dtype=torch.float64)
    # In blocks: all features in float64 would be the largest thing in memory.
    for block, group in zip(features.split(_ROWS), groups.split(_ROWS), strict=True):
        sums.index_add_(0, group, block.double())
    means, mean = sums / counts[:, None], sums.sum(0) / number
    for block, group in zip(features.split(_ROWS), groups.split(_ROWS), strict=True):
        rest = block.double() - means[group]
        within.addmm_(rest.T, rest, alpha=1 / number)
    off = (means - mean) * (counts[:, None] / number).sqrt()
    total = within + off.T @ off
    spread = float(within.trace()) / full_width
    if spread <= 1e-12 * float(total.trace()) / full_width:
        # One picture a class in one view: nothing is known of the differences within a class.
        matrix = torch.eye(width, dtype=torch.float64)
    else:
        identity = torch.eye(width, dtype=torch.float64)
        values, vectors = torch.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * spread * identity)
        matrix = (vectors * values.rsqrt()) @ vectors.T
    # The mean square of the whitened features, tr(A·total·A)/width.
    size = float((matrix @ total).mul_(matrix).sum() / full_width) ** 0.5
    return mean, matrix / (size or 1.0)


def _weights_of_rows(seen: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
    """Return the weight of each row, so that a picture weighs the same however many views it has."""
    views = np.bincount(seen)
    if views.min() == views.max():
        return None if weights is None else weights[seen]
    share = views.mean() / views
    return share[seen] if weights is None else (share * weights)[seen]


def _whitened(features: Tensor, mean: Tensor, matrix: Tensor, out: Tensor | None) -> Tensor:
    out = torch.empty_like(features) if out is None else out
    for block, place in zip(features.split(_ROWS), out.split(_ROWS), strict=True):
        place.copy_((block.double() - mean) @ matrix)
    return out


def _weight_and_bias(regression: Any) -> tuple[Tensor, Tensor]:
    """Return weight (classes, width) and bias (classes,), float64."""
    weight = torch.from_numpy(regression.coef_).double()
    bias = torch.from_numpy(regression.intercept_).double()
    if len(weight) == 1:
        # Two classes: scikit-learn keeps the difference of their logits only.
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return weight, bias


def _score(probe: Probe) -> tuple[float, float]:
    assert probe.val is not None
    loss, accuracy = probe.val
    return accuracy, -loss
