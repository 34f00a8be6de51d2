"""The batches of one epoch."""

from collections.abc import Iterator

import numpy as np

from linnaea.classifiers.common.samples import Samples
from linnaea.classifiers.perceptron.distortions import distort, side_of
from linnaea.classifiers.perceptron.layers import Workspace
from linnaea.random_streams import Purpose, stream


class Batches:
    """The batches of each epoch, in an order that depends on the seed and the epoch only.

    samples: Samples
        What to train on.
    batch_size: int
        Rows a batch; the last one of an epoch may be shorter.
    seed: int
        Of the order and the distortions.
    augment: str or None
        "digits": rows are square grey pictures, bent anew each time they are seen.
    """

    def __init__(self, samples: Samples, batch_size: int, seed: int, augment: str | None = None) -> None:
        self.samples, self.seed = samples, seed
        self.batch_size = min(batch_size, len(samples))
        self.augment = augment
        if augment:
            side_of(samples.X.shape[1])  # refuses features that are no picture, before anything is learned
        self.steps = -(-len(samples) // self.batch_size)
        self._x = Workspace(samples.X.dtype)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Yield (x, targets, weights) for the steps of this epoch, from step `first` on.

        x is a workspace: good until the next batch.
        """
        samples, size = self.samples, self.batch_size
        order = stream(self.seed, Purpose.SHUFFLE, epoch).permutation(len(samples))
        targets = samples.targets[order]
        weights = None if samples.weights is None else samples.weights[order]
        for start in range(first * size, len(samples), size):
            stop = min(start + size, len(samples))
            x = samples.take(order[start:stop], self._x(stop - start, samples.X.shape[1]))
            if self.augment:
                distort(x, stream(self.seed, Purpose.AUGMENT, epoch, start // size), out=x)
            yield x, targets[start:stop], None if weights is None else weights[start:stop]
