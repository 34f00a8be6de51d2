"""The linear probe on growing parts of its training pictures, for a learning curve."""

from typing import Any

import numpy as np
import torch

from linnaea.classifiers.common import samples
from linnaea.classifiers.contract import OnStep
from linnaea.classifiers.finetune.frozen_features import FrozenFeatures
from linnaea.classifiers.finetune.pictures import EvaluationBatches, ResidentPictures
from linnaea.classifiers.finetune.probe import fit_probe


def probes(
    classifier: Any,
    X: Any,
    y: np.ndarray,
    X_val: Any,
    y_val: np.ndarray,
    subsets: list[np.ndarray],
    *,
    on_step: OnStep | None = None,
) -> list[np.ndarray]:
    """Return what a probe on each subset of X says of X_val: probabilities (m, classes), float64.

    The features are those of the network before fine-tuning, of the same views as in fit, and made once: the
    probe on all of X is the one that fit made.

    classifier: a fitted FineTuneClassifier, whose probe this is, or would be.
    subsets: rows of X, each with a picture of every class.
    on_step: hears how far the features are, as in fit.

    Raises LinnaeaError where the first weights cannot be had any more.
    """
    opened = classifier.first_network(len(classifier.classes_))
    where = next(opened.network.parameters()).device
    plan = classifier.plan_
    number = (plan.settings if plan is not None else classifier.get_params())["views"]
    features = FrozenFeatures.of(
        opened.network,
        ResidentPictures.read(X, opened.preprocessing, where),
        EvaluationBatches(X_val, opened.preprocessing, where),
        number_of_views=number,
        precision=classifier.precision_,
        seed=classifier.seed_,
        flip=classifier.flip,
        on_step=on_step,
    )
    assert features.val is not None
    targets = samples.class_numbers(y, classifier.classes_)
    val_targets = samples.class_numbers(y_val, classifier.classes_)
    weights = samples.weights_of_rows(None, classifier.class_weight, y, classifier.classes_, np.float64)
    found = []
    for rows in map(np.sort, subsets):
        place = np.full(len(y), -1)
        place[rows] = np.arange(len(rows))
        seen = place[features.seen]
        probe = fit_probe(
            features.rows[torch.from_numpy(seen >= 0)],
            targets[rows],
            seen=seen[seen >= 0],
            weights=None if weights is None else weights[rows],
            validation=(features.val, val_targets),
            overwrite_features=True,  # a copy: indexing made it
        )
        found.append(torch.softmax(probe.logits(features.val).double(), dim=1).numpy())
    return found
