"""How well a network suits the pictures, before it is trained: the linear probe's accuracy over folds."""

import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from linnaea.classifiers.common import samples
from linnaea.classifiers.contract import OnStep
from linnaea.classifiers.finetune import construction, inference
from linnaea.classifiers.finetune.backbones import feature_width
from linnaea.classifiers.finetune.pictures import EvaluationBatches, as_pictures, value_range_of
from linnaea.classifiers.finetune.refitting import ProbePictures
from linnaea.classifiers.finetune.stage import Stage


class Trial(NamedTuple):
    """A network, and what a probe on one view of each picture came to.

    accuracy: share of the pictures that are right, each predicted by a probe that has not seen it
    log_loss: mean, in nats
    seconds: of reading a picture and of its features
    """

    backbone: str
    accuracy: float
    log_loss: float
    seconds: float


def try_network(
    classifier: Any, X: Any, y: np.ndarray, fold: np.ndarray, *, on_step: OnStep | None = None
) -> Trial:
    """Return what the network of a classifier that is not fitted comes to.

    classifier: a FineTuneClassifier; its settings of network, weights, size and device are used.
    X, y: as its fit takes them.
    fold: int (n,), which probe predicts each picture; -1: all learn from it and none predicts it.
    on_step: hears how far the features are, as in fit.

    Raises LinnaeaError where the weights cannot be had or do not fit.
    """
    X, classes = as_pictures(X), np.unique(y)
    opened = construction.open_network(
        classifier.backbone,
        weights=classifier.weights,
        size=classifier.size,
        variant=classifier.preprocessing,
        classes=len(classes),
        seed=0,
        device=classifier.device,
    )
    network, preprocessing = opened.network, replace(opened.preprocessing, value_range=value_range_of(X))
    how = classifier.precision, opened, classifier.backbone, classifier.batch_size, classifier.batch_norm
    precision = construction.precision_for(*how)
    rows = torch.empty((len(X), feature_width(network)))
    started = time.perf_counter()
    with Stage(classifier.backbone, len(X), on_step) as stage:
        pictures = EvaluationBatches(X, preprocessing, next(network.parameters()).device)
        inference.features(network, stage.over(pictures), preprocessing, precision, out=rows)
    seconds = (time.perf_counter() - started) / len(X)
    probe = ProbePictures(rows, np.arange(len(X)), samples.class_numbers(y, classes), None)
    said = np.zeros((len(X), len(classes)))
    for held in np.unique(fold[fold >= 0]):
        learned, new = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        said[new] = probe.proba(learned, new, choose=False)
    judged = np.flatnonzero(fold >= 0)
    said, targets = said[judged], probe.targets[judged]
    # No probability is so small that one picture decides.
    true = np.maximum(said[np.arange(len(judged)), targets], 1e-6)
    right = said.argmax(axis=1) == targets
    return Trial(classifier.backbone, float(right.mean()), float(-np.log(true).mean()), seconds)
