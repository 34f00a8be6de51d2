"""The out-of-distribution scores that benchmarks/outliers.py compares.

Each is fitted to training features (n, width), class numbers (n,) and a linear head's weight (classes, width)
and bias. It gives one number per picture: the larger, the less like any class.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp, softmax

from linnaea.evaluation.ood import squared_distances, unit_length

Score = Callable[[np.ndarray], np.ndarray]
SHRINKAGE = 0.8  # of the covariance, towards a multiple of the identity
RESIDUAL = 256  # directions that ViM leaves out, of the largest variance


def logit_scores(weight: np.ndarray, bias: np.ndarray) -> dict[str, Score]:
    """Energy (Liu et al. 2020), largest logit (Hendrycks et al. 2022), largest probability (2017)."""

    def logits(f: np.ndarray) -> np.ndarray:
        return f @ weight.T + bias

    return {
        "energy": lambda f: -logsumexp(logits(f), axis=1),
        "largest logit": lambda f: -logits(f).max(axis=1),
        "largest probability": lambda f: 1 - softmax(logits(f), axis=1).max(axis=1),
    }


def distance_scores(features: np.ndarray, targets: np.ndarray) -> dict[str, Score]:
    """Distances between features of length one: to class means, to neighbours, in whitened space.

    Mahalanobis as in Lee et al. 2018, relative as in Ren et al. 2021 (arXiv:2106.09022), neighbours as in Sun
    et al. 2022; the cosine after whitening within the classes as for speakers (Dehak et al. 2011).
    """
    rows = unit_length(features)
    means = np.stack([rows[targets == k].mean(axis=0) for k in range(targets.max() + 1)])
    mean = rows.mean(axis=0)
    within, whole = _whitener(rows - means[targets]), _whitener(rows - mean)

    def nearest(f: np.ndarray) -> np.ndarray:
        return squared_distances(unit_length(f) @ within, means @ within).min(axis=1)

    def background(f: np.ndarray) -> np.ndarray:
        return (((unit_length(f) - mean) @ whole) ** 2).sum(axis=1)

    def cosine(f: np.ndarray) -> np.ndarray:
        directions = unit_length((unit_length(f) - mean) @ within)
        return -(directions @ unit_length((means - mean) @ within).T).max(axis=1)

    return {
        "class means": lambda f: squared_distances(unit_length(f), means).min(axis=1),
        "Mahalanobis": nearest,
        "relative Mahalanobis": lambda f: nearest(f) - background(f),
        "whitened cosine": cosine,
        "nearest neighbour": lambda f: -(unit_length(f) @ rows.T).max(axis=1),
        "5 nearest neighbours": lambda f: -np.sort(unit_length(f) @ rows.T, axis=1)[:, -5:].mean(axis=1),
    }


def vim_score(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> Score:
    """Return ViM, the norm outside the principal subspace minus the energy (Wang et al. 2022)."""
    origin = -np.linalg.pinv(weight) @ bias
    centred = features - origin
    residual = np.linalg.eigh(centred.T @ centred)[1][:, :-RESIDUAL]
    largest = (features @ weight.T + bias).max(axis=1)
    alpha = largest.mean() / np.linalg.norm(centred @ residual, axis=1).mean()

    def score(f: np.ndarray) -> np.ndarray:
        outside = np.linalg.norm((f - origin) @ residual, axis=1)
        return alpha * outside - logsumexp(f @ weight.T + bias, axis=1)

    return score


def joined(first: Score, second: Score, weight: float, known: np.ndarray) -> Score:
    """Return first + weight · second, each divided by its standard deviation over known features."""
    scales = first(known).std(), second(known).std()
    return lambda f: first(f) / scales[0] + weight * second(f) / scales[1]


def _whitener(rest: np.ndarray) -> np.ndarray:
    width = rest.shape[1]
    covariance = rest.T @ rest / len(rest)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / width * np.eye(width)
    values, vectors = np.linalg.eigh(shrunk)
    return vectors / np.sqrt(values)
