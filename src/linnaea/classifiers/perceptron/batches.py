"""Parts of the data, and the batches of one epoch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from linnaea.classifiers.perceptron.distortions import distort, side_of
from linnaea.classifiers.perceptron.layers import Workspace
from linnaea.random_streams import Purpose, stream


@dataclass(frozen=True, eq=False)
class Part:
    """Rows to train or evaluate on; X itself is never copied.

    X: ndarray, (m, features)
        May hold more rows than belong to the part.
    targets: ndarray of intp, (n,)
        The class number of each row of the part.
    weights: ndarray, (n,), or None
        Of mean one. None: all alike.
    rows: ndarray of intp, (n,), or None
        Which rows of X belong to the part; None: all.
    """

    X: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def block(self, start: int, stop: int) -> np.ndarray:
        """Return the features of rows start to stop of the part."""
        return self.X[start:stop] if self.rows is None else self.X[self.rows[start:stop]]

    def take(self, order: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Gather the features of these rows of the part into out, (len(order), features)."""
        rows = order if self.rows is None else self.rows[order]
        # mode="clip" writes straight to out; the default, "raise", would go through a buffer.
        return np.take(self.X, rows, axis=0, out=out, mode="clip")


class Batches:
    """The batches of each epoch, in an order that depends on the seed and the epoch only.

    part: Part
        What to train on.
    batch_size: int
        Rows a batch; the last one of an epoch may be shorter.
    seed: int
        Of the order and the distortions.
    augment: str or None
        "digits": rows are square grey pictures, bent anew each time they are seen.
    """

    def __init__(self, part: Part, batch_size: int, seed: int, augment: str | None = None) -> None:
        self.part, self.batch_size, self.seed = part, min(batch_size, len(part)), seed
        self.augment = augment
        if augment:
            side_of(part.X.shape[1])  # refuses features that are no picture, before anything is learned
        self.steps = -(-len(part) // self.batch_size)
        self._x = Workspace(part.X.dtype)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Yield (x, targets, weights) for the steps of this epoch, from step `first` on.

        x is a workspace: good until the next batch.
        """
        part, size = self.part, self.batch_size
        order = stream(self.seed, Purpose.SHUFFLE, epoch).permutation(len(part))
        targets = part.targets[order]
        weights = None if part.weights is None else part.weights[order]
        for start in range(first * size, len(part), size):
            stop = min(start + size, len(part))
            x = part.take(order[start:stop], self._x(stop - start, part.X.shape[1]))
            if self.augment:
                distort(x, stream(self.seed, Purpose.AUGMENT, epoch, start // size), out=x)
            yield x, targets[start:stop], None if weights is None else weights[start:stop]
