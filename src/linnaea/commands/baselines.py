"""What a score is compared with: the largest class, the probe alone, a linear classifier on the pixels."""

import warnings
from typing import Any

import numpy as np

from linnaea.commands.study import Study, spread
from linnaea.data.flatten import BLOCK

# A baseline, not a competitor: so many training pictures and steps take MNIST about a second.
MOST_PICTURES, MOST_STEPS = 10_000, 30
# pictures · values · classes, of which a step takes some multiple; MNIST has 8e7. Beyond, fewer pictures.
MOST_WORK = 2e8
# With fewer pictures a class than this the limit on the work has left nothing to learn from.
FEWEST_PER_CLASS = 5
# Inverse of the L2 penalty on the mean cross-entropy, for pixels of mean square one.
STRENGTH = 30.0


def baselines(study: Study, classifier: Any, predicted: np.ndarray) -> dict[str, float]:
    """Return run.json's "baselines": name → accuracy on the test set, the strongest kind first.

    Of a pretrained network its probe alone, of networks on pixels a linear classifier, if one can be had in
    a few seconds; always predicting the largest class.

    predicted: the class names that the classifier gives the test pictures, (n,).
    """
    X, y = study.test
    found = {}
    if classifier.probe_ is not None:
        alone = predicted
        if classifier.kept_ != "probe":
            alone = classifier.classes_[classifier.probe_proba(X).argmax(axis=1)]
        found["the probe alone"] = float((y == alone).mean())
    names, counts = np.unique(study.dataset.labels[study.rows("train")], return_counts=True)
    if not classifier.takes_photographs:
        learned, targets = _learned_from(study, len(names))
        if len(learned):
            # Of unequal classes alike many were taken: each counts as often as it is there.
            weights = (counts / np.unique(targets, return_counts=True)[1])[np.searchsorted(names, targets)]
            said = linear_classifier(learned, targets, weights, X)
            of = f" of {len(learned):,} pictures" if len(learned) < counts.sum() else ""
            found[f"a linear classifier on the pixels{of}"] = float((y == said).mean())
    return {**found, "always the largest class": float((y == names[counts.argmax()]).mean())}


def linear_classifier(X: np.ndarray, y: np.ndarray, weights: np.ndarray, X_new: np.ndarray) -> np.ndarray:
    """Return the class names of X_new (m, features) by multinomial logistic regression on X and y.

    X: float32 (n, features), 0..1; y: (n,), two classes or more; weights: of the pictures, (n,). L-BFGS from
    zero weights: nothing is drawn by chance.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # One scale for all pixels: each by its own would make much of those that are nearly always black.
    mean = X.mean(axis=0)
    scale = float(np.sqrt(np.square(X - mean).mean())) or 1.0
    regression = LogisticRegression(C=STRENGTH / weights.sum(), max_iter=MOST_STEPS)
    # Products as narrow as a few classes gain nothing from a second thread, which would wait, busily, for the
    # first; and one thread's sums are the same on every machine of a kind.
    with threadpool_limits(1), warnings.catch_warnings():
        # One that is stopped early is a little more regular, and no worse as a baseline.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((X - mean) / scale, y, weights)
    # In blocks: the test set is often the larger one.
    return np.concatenate(
        [regression.predict((X_new[at : at + BLOCK] - mean) / scale) for at in range(0, len(X_new), BLOCK)]
    )


def _learned_from(study: Study, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y of what the linear classifier learns from; empty where that would take long."""
    values = study.size**2 * (3 if study.colour else 1)
    most = min(MOST_PICTURES, int(MOST_WORK / (values * classes)))
    if most < FEWEST_PER_CLASS * classes:
        return np.empty((0, values), np.float32), np.empty(0, str)
    labels = study.dataset.labels
    train = study.rows("train")
    rows = train[spread(labels[train], most)]
    return study.vectors(rows), labels[rows]
