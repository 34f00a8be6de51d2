"""How fast this machine is at what fine-tuning does: each kind of work done for a moment, and timed."""

import statistics
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from linnaea.classifiers.finetune import construction, inference, loop
from linnaea.classifiers.finetune.backbones import feature_width
from linnaea.classifiers.finetune.device import room_to_train
from linnaea.classifiers.finetune.optimizers import stages
from linnaea.classifiers.finetune.pictures import ResidentPictures, batches

# Training steps of one kind are timed at least so often, and for at least so many seconds.
_STEPS, _SECONDS = 3, 1.0
# Batches of features that are timed.
_BATCHES = 5
# The last stages that hold this share of the backbone's weights. The first ones have few weights, but the
# largest maps: without them a step of MobileNetV2 goes backward through a seventh of its pixels.
_LAST_SHARE = 0.9
# Pictures of the first epoch relate to full size about as 128 to 224 pixels, and are not smaller than this.
_FIRST_SHARE, _SMALLEST_FIRST = 128 / 224, 96
# Iterations that one of the probe's regressions needs (five, each from where the last one ended, took 24 to
# 40 in all), and what is timed of them.
_ITERATIONS, _FEW, _ROWS = 8, 5, 1024
# What whitening w features costs beyond its products, in units of w³ operations (measured: 20).
_EIGEN = 20


@dataclass(frozen=True)
class Speed:
    """What takes how long; seconds a picture where nothing else is said.

    size: int
        Side of the pictures that these seconds are for, in pixels.
    decode: float
        Reading a picture from where X keeps it, and fitting it.
    feature: float
        Making a view of a picture in memory, and its pooled features.
    regression, whitening: float
        Of the probe: seconds of one regression for each view of a picture, and seconds once.
    whole, last: float or None
        Training all layers, or from last_stage on; None: not measured, because it cannot be afforded.
    small: float or None
        Training all layers on pictures of first_size x first_size.
    last_stage: str or None, first_size: int or None
        None where the network or its size leaves no choice.
    """

    size: int
    decode: float
    feature: float
    regression: float
    whitening: float
    whole: float | None = None
    last: float | None = None
    small: float | None = None
    last_stage: str | None = None
    first_size: int | None = None

    def times(self, pace: float) -> "Speed":
        """Return the speed of a machine that takes `pace` times as long for everything."""
        names = ("decode", "feature", "regression", "whitening", "whole", "last", "small")
        taken = {name: getattr(self, name) for name in names}
        return replace(self, **{name: pace * was for name, was in taken.items() if was is not None})

    def step(self, train_from: str, size: int) -> float:
        """Return the seconds of training one picture of this size, from a stage of `whole` or `last`.

        Between first_size and full size they grow with the number of pixels.
        """
        full = self.whole if train_from == "all" else self.last
        assert full is not None
        if size == self.size or self.small is None or self.first_size is None:
            return full
        area, first = self.size**2, self.first_size**2
        return self.small + (full - self.small) * (size**2 - first) / (area - first)


def measure(
    network: Any,
    settings: dict[str, Any],
    part: loop.TrainingSet,
    sample: Sequence[Any],
    *,
    precision: str,
    seed: int,
    affordable: float,
) -> Speed:
    """Time a few real batches of every kind of work; the network stays as it is.

    settings: dict
        FineTuneClassifier's, with the learning rate resolved.
    sample: pictures as X holds them
        To be decoded again for timing; may be empty.
    affordable: float
        Seconds that one picture's training may take; where features alone tell that it takes more, the
        training steps are not measured (a step takes three times a forward pass, roughly, and never less
        than once and a half).
    """
    pictures = part.pictures
    size = pictures.preprocessing.size
    regression, whitening = _probe_seconds(feature_width(network), part.classes)
    feature = _feature_seconds(network, pictures, precision)
    speed = Speed(size, _decode_seconds(sample, pictures), feature, regression, whitening)
    if 1.5 * feature > affordable:
        return speed

    def timed(train_from: str, side: int) -> float:
        # Full rates from the first step on, every layer in the mode that it will be in.
        own = settings | {"train_from": train_from, "first_size": None, "head_first_epochs": 0}
        session = construction.new_session(network, own, part, precision=precision, seed=seed)
        return _step_seconds(session, part, side)

    stage, first = last_stages(network), _first_size(network, size)
    return replace(
        speed,
        last_stage=stage,
        first_size=first,
        whole=timed("all", size),
        last=None if stage is None else timed(stage, size),
        small=None if first is None else timed("all", first),
    )


def last_stages(network: Any) -> str | None:
    """Return the latest stage from which on _LAST_SHARE of the backbone's weights lie; None for the first."""
    order = stages(network)[:-1]  # without the classifier
    weights = [sum(p.numel() for p in network.get_submodule(name).parameters()) for name in order]
    behind = np.cumsum(weights[::-1])[::-1]
    latest = int(np.flatnonzero(behind >= _LAST_SHARE * behind[0])[-1])
    return order[latest] if latest else None


def _first_size(network: Any, size: int) -> int | None:
    first = round(_FIRST_SHARE * size / loop.STRIDE) * loop.STRIDE
    # A network with a patch embedding sees pictures of one size only.
    fixed = getattr(network, "patch_embed", None) is not None
    return None if fixed or first < _SMALLEST_FIRST else first


def _decode_seconds(sample: Sequence[Any], pictures: ResidentPictures) -> float:
    if not len(sample):
        return 0.0
    started = time.perf_counter()
    count = sum(
        len(batch) for batch in batches(sample, pictures.preprocessing, pictures.device, inference.BATCH)
    )
    return (time.perf_counter() - started) / count


def _feature_seconds(network: Any, pictures: ResidentPictures, precision: str) -> float:
    # From everywhere: some pictures may be kept and others not.
    rows = np.linspace(0, len(pictures) - 1, (1 + _BATCHES) * inference.BATCH).round().astype(int)
    taken = []
    for some in np.split(rows, 1 + _BATCHES):
        started, seen = time.perf_counter(), 0
        # Reading them first if they are on the disk.
        for view in pictures.some(some).centres(len(some)):
            inference.features(network, [view], pictures.preprocessing, precision)
            seen += len(view)
        taken.append((time.perf_counter() - started) / seen)
    # The first batch chooses kernels. The middle of the others: whatever waits for the disk is a moment.
    return statistics.median(taken[1:])


def _step_seconds(session: loop.Session, part: loop.TrainingSet, size: int) -> float:
    """Return the seconds of training one picture: the middle of some steps after one that does not count."""
    session.begin_epoch(1)
    order = part.order(session.seed, 1, balanced=False)
    batch = session.settings.batch_size * session.settings.accumulate
    rows = np.resize(order, (_STEPS, min(batch, len(order))))

    def step() -> None:
        progress = session.progress
        batch = loop.next_batch(session, part, rows[progress.step % _STEPS], progress.step, size)
        loop.train_step(session, part, batch)
        progress.step += 1

    with room_to_train(part.targets.device, session.settings.batch_size, size):
        step()
    taken: list[float] = []
    while len(taken) < _STEPS or sum(taken) < _SECONDS:
        started = time.perf_counter()
        step()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) / rows.shape[1]


def _probe_seconds(width: int, classes: int) -> tuple[float, float]:
    """Return the seconds of one regression of the probe for each row of features, and of the whitening once.

    Beside its share of the regression, a row costs three products with a matrix of width x width in float64:
    for the covariance, and to be whitened.
    """
    rows = max(_ROWS, classes)
    # Any numbers will do that the classes do not explain, so that no iteration is the last.
    features = np.cos(np.arange(rows * width, dtype=np.float32) ** 2).reshape(rows, width)
    few = LogisticRegression(max_iter=_FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        iteration = _seconds(lambda: few.fit(features, np.arange(rows) % classes)) / int(few.n_iter_[0])
    exact, square = torch.ones(256, width).double(), torch.ones(width, width).double()
    product = _seconds(lambda: exact @ square)
    regression = _ITERATIONS * iteration / rows + 3 * product / 256
    return regression, _EIGEN / 2 * product * width / 256


def _seconds(action: Any) -> float:
    """Return the seconds that it takes, after once that does not count."""
    action()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
