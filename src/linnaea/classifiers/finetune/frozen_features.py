"""Features of the frozen network, made once: the probe and every epoch of the head alone learn from them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linnaea.classifiers.contract import OnStep
from linnaea.classifiers.finetune import inference
from linnaea.classifiers.finetune.augment import pictures_seen, views
from linnaea.classifiers.finetune.backbones import feature_width
from linnaea.classifiers.finetune.pictures import EvaluationBatches, ResidentPictures
from linnaea.classifiers.finetune.probe import Probe, fit_probe
from linnaea.classifiers.finetune.stage import Stage


@dataclass(eq=False)
class FrozenFeatures:
    """What the network makes of the pictures before its head, as in evaluation.

    rows: Tensor of float32 (rows, width)
        Of the views that `views` yields: evaluation's of each picture, its mirror, random crops.
    seen: ndarray of int (rows,)
        Which picture each row is a view of.
    val: Tensor of float32 (m, width), or None
    """

    rows: Tensor
    seen: np.ndarray
    val: Tensor | None

    @classmethod
    def of(
        cls,
        network: Any,
        pictures: ResidentPictures,
        held: EvaluationBatches | None,
        *,
        number_of_views: float,
        precision: str,
        seed: int,
        flip: bool,
        settle: Callable[[float, float], float] | None = None,
        on_step: OnStep | None = None,
        bar: str = "",
    ) -> "FrozenFeatures":
        """Run every view of every picture through the network once. The seed decides the random crops.

        settle: Callable[[float, float], float] or None
            Hears after each view of every picture how many views are done and how many seconds they took,
            and returns the number of views.
        """
        how, n = (pictures.preprocessing, precision), len(pictures)
        held_out = 0 if held is None else len(held)
        seen = pictures_seen(n, number_of_views, seed)
        rows = torch.empty((len(seen), feature_width(network)))
        with Stage("probe", len(seen) + held_out, on_step, bar=bar) as stage:
            done, seconds = 0.0, 0.0
            while done < number_of_views:
                started, ready = time.perf_counter(), len(pictures_seen(n, done, seed))
                first, done = int(done), min(done + 1, number_of_views)
                view = stage.over(views(pictures, done, seed, flip=flip, first=first))
                inference.features(network, view, *how, out=rows[ready : len(pictures_seen(n, done, seed))])
                seconds += time.perf_counter() - started
                if settle is not None and done.is_integer():
                    number_of_views = max(settle(done, seconds), done)
                    seen = pictures_seen(n, number_of_views, seed)
                    if len(seen) > len(rows):
                        rows = torch.cat([rows, rows.new_empty((len(seen) - len(rows), rows.shape[1]))])
                    stage.expect(len(seen) + held_out)
            rows = rows[: len(seen)]
            val = None if held is None else torch.empty((held_out, rows.shape[1]))
            if held is not None and val is not None:
                inference.features(network, stage.over(held), *how, out=val)
        return cls(rows, seen, val)

    @property
    def train(self) -> Tensor:
        """The views that there are of every picture, (views, n, width)."""
        n = int(self.seen.max()) + 1
        return self.rows[: len(self.rows) // n * n].view(-1, n, self.rows.shape[1])

    def probe(
        self,
        targets: Tensor,
        weights: Tensor | None,
        val_targets: np.ndarray | None,
        *,
        overwrite: bool,
    ) -> Probe:
        """Fit the linear probe; overwrite: the features are of no use afterwards."""
        return fit_probe(
            self.rows,
            targets.cpu().numpy(),
            seen=self.seen,
            weights=None if weights is None else weights.cpu().numpy(),
            validation=None if self.val is None or val_targets is None else (self.val, val_targets),
            overwrite_features=overwrite,
        )

    def uncropped(self, *, flip: bool) -> "FrozenFeatures":
        """Return evaluation's view and, where flip, its mirror; without the random crops."""
        kept = self.train[: 2 if flip else 1]
        return FrozenFeatures(kept.flatten(0, 1), self.seen[: len(kept) * kept.shape[1]], self.val)

    def to(self, device: torch.device) -> "FrozenFeatures":
        """Return the features with those to learn from on this device."""
        return FrozenFeatures(self.rows.to(device), self.seen, self.val)

    def take(self, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Return features (len(rows), width) of these pictures, each in one of the views that all have."""
        train = self.train
        chosen = rng.integers(len(train), size=len(rows))
        return train[torch.from_numpy(chosen), torch.from_numpy(rows)]


def begins_with_head(settings: dict[str, Any]) -> bool:
    """Return whether in the first epoch only the head learns."""
    return settings["epochs"] > 0 and (settings["train_from"] == "head" or settings["head_first_epochs"] > 0)


@contextmanager
def threads_for(features: FrozenFeatures | None) -> Iterator[None]:
    """Let a head that learns alone do so on one thread of the processor.

    Its products take microseconds: sharing them out costs more, and on a busy machine ten times as much.
    torch has one number of threads for the whole process: what other Python threads compute meanwhile runs
    on one thread too, with the same results.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(before if features is None else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
