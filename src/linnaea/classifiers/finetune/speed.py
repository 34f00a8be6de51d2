"""How fast this machine is at what fine-tuning does: each kind of work done for a moment, and timed."""

import statistics
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from linnaea.classifiers.finetune import inference, loop
from linnaea.classifiers.finetune.backbones import feature_width
from linnaea.classifiers.finetune.device import room_to_train
from linnaea.classifiers.finetune.optimizers import stages
from linnaea.classifiers.finetune.pictures import ResidentPictures, batches

# Training steps of one kind are timed at least so often, and for at least so many seconds.
_STEPS, _SECONDS = 3, 1.0
# The last stages that hold this share of the backbone's weights. The first ones have few weights, but the
# largest maps: without them a step of MobileNetV2 goes backward through a seventh of its pixels.
_LAST_SHARE = 0.9
# Iterations that one of the probe's regressions needs (five, each from where the last one ended, took 24 to
# 40 in all), and what is timed of them.
_ITERATIONS, _FEW, _ROWS = 8, 5, 4096
# What whitening w features costs beyond its products, in units of w³ operations (measured: 20).
_EIGEN = 20


def last_stages(network: Any) -> str | None:
    """Return the latest stage from which on _LAST_SHARE of the backbone's weights lie; None for the first."""
    order = stages(network)[:-1]  # without the classifier
    weights = [sum(p.numel() for p in network.get_submodule(name).parameters()) for name in order]
    behind = np.cumsum(weights[::-1])[::-1]
    latest = int(np.flatnonzero(behind >= _LAST_SHARE * behind[0])[-1])
    return order[latest] if latest else None


def feature_seconds(network: Any, pictures: ResidentPictures, precision: str) -> float:
    """Return the seconds of one picture's features, of the first batch that there is."""
    batch = next(iter(pictures.centres(inference.BATCH)))
    how = pictures.preprocessing, precision
    return _seconds(lambda: inference.features(network, [batch], *how)) / len(batch)


def decode_seconds(sample: Sequence[Any], pictures: ResidentPictures) -> float:
    """Return the seconds of reading one picture of a sample; 0.0 of an empty one."""
    if not len(sample):
        return 0.0
    started = time.perf_counter()
    count = sum(
        len(batch) for batch in batches(sample, pictures.preprocessing, pictures.device, inference.BATCH)
    )
    return (time.perf_counter() - started) / count


def step_seconds(learner: loop.Learner, train: loop.TrainingSet) -> float:
    """Return the seconds of training one picture: the median of some steps after one that does not count."""
    size, progress = train.pictures.preprocessing.size, learner.progress
    learner.begin_epoch(1)
    order = train.order(learner.seed, 1, balanced=False)
    batch_size = learner.settings["batch_size"] * learner.settings["accumulate"]
    rows = np.resize(order, (_STEPS, min(batch_size, len(order))))

    def step() -> None:
        batch = loop.next_batch(learner, train, rows[progress.step % _STEPS], progress.step, size)
        loop.train_step(learner, train, batch)
        progress.step += 1

    with room_to_train(train.targets.device, learner.settings["batch_size"], size):
        step()
    taken: list[float] = []
    while len(taken) < _STEPS or sum(taken) < _SECONDS:
        started = time.perf_counter()
        step()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) / rows.shape[1]


def probe_seconds(network: Any, classes: int, pictures: int) -> tuple[float, float, float]:
    """Return the seconds of a row of features in one regression, of a row's whitening, and of whitening once.

    pictures: int
        Of the training set: few rows take longer each than many.
    """
    width, rows = feature_width(network), max(min(_ROWS, 4 * pictures), classes)
    # Any numbers will do that the classes do not explain, so that no iteration is the last.
    features = np.cos(np.arange(rows * width, dtype=np.float32) ** 2).reshape(rows, width)
    few = LogisticRegression(max_iter=_FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as for the probe itself
        iteration = _seconds(lambda: few.fit(features, np.arange(rows) % classes)) / int(few.n_iter_[0])
    # A row is multiplied three times by a matrix of width x width in float64: for the covariance, and to be
    # whitened.
    exact, square = torch.ones(256, width).double(), torch.ones(width, width).double()
    product = _seconds(lambda: exact @ square) / 256
    return _ITERATIONS * iteration / rows, 3 * product, _EIGEN / 2 * product * width


def _seconds(action: Any) -> float:
    """Return the seconds that it takes, after once that does not count."""
    action()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
