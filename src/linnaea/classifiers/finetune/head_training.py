"""Features of the frozen network, made once: the probe and every epoch of the head alone learn from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linnaea.classifiers.contract import OnStep
from linnaea.classifiers.finetune import inference
from linnaea.classifiers.finetune.probe import Probe, fit_probe, views
from linnaea.classifiers.finetune.progress import Stage
from linnaea.classifiers.finetune.resident import EvaluationBatches, ResidentPictures


@dataclass(eq=False)
class FrozenFeatures:
    """What the network makes of the pictures before its head, as in evaluation.

    train: Tensor of float32 (views, n, width)
        Views as `probe.views` orders them: evaluation's, its mirror, random crops.
    val: Tensor of float32 (m, width), or None
    """

    train: Tensor
    val: Tensor | None

    @classmethod
    def of(
        cls,
        network: Any,
        pictures: ResidentPictures,
        held: EvaluationBatches | None,
        *,
        number_of_views: int,
        precision: str,
        seed: int,
        flip: bool,
        on_step: OnStep | None = None,
        bar: str = "",
    ) -> "FrozenFeatures":
        """Run every view of every picture through the network once. The seed decides the random crops."""
        how = pictures.preprocessing, precision
        rows = number_of_views * len(pictures)
        total = rows + (0 if held is None else len(held))
        with Stage("probe", total, on_step, bar=bar) as stage:
            seen = stage.over(views(pictures, number_of_views, seed, flip=flip))
            train = inference.features(network, seen, *how, rows=rows)
            val = None if held is None else inference.features(network, stage.over(held), *how)
        return cls(train.view(number_of_views, len(pictures), -1), val)

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
            self.train.flatten(0, 1),
            targets.cpu().numpy(),
            views=len(self.train),
            weights=None if weights is None else weights.cpu().numpy(),
            validation=None if self.val is None or val_targets is None else (self.val, val_targets),
            overwrite_features=overwrite,
        )

    def uncropped(self, *, flip: bool) -> "FrozenFeatures":
        """Return evaluation's view and, where flip, its mirror; without the random crops."""
        return FrozenFeatures(self.train[: 2 if flip else 1], self.val)

    def to(self, device: torch.device) -> "FrozenFeatures":
        """Return the features with those to learn from on this device."""
        return FrozenFeatures(self.train.to(device), self.val)

    def take(self, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Return features (len(rows), width) of these pictures, each in one of its views."""
        chosen = rng.integers(len(self.train), size=len(rows))
        return self.train[torch.from_numpy(chosen), torch.from_numpy(rows)]


def begins_with_head(settings: dict[str, Any]) -> bool:
    """Return whether in the first epoch only the head learns."""
    return settings["epochs"] > 0 and (settings["train_from"] == "head" or settings["head_first_epochs"] > 0)


@contextmanager
def threads_for(features: FrozenFeatures | None) -> Iterator[None]:
    """Let a head that learns alone do so on one thread of the processor.

    Its products take microseconds: sharing them out costs more, and on a busy machine ten times as much.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(before if features is None else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
