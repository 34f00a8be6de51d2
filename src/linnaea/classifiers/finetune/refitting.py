"""The linear probe, fitted again and again to some of its pictures: for a learning curve, and for folds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linnaea.classifiers.common import samples
from linnaea.classifiers.contract import OnStep
from linnaea.classifiers.finetune.frozen_features import FrozenFeatures
from linnaea.classifiers.finetune.pictures import EvaluationBatches, ResidentPictures
from linnaea.classifiers.finetune.probe import fit_probe


@dataclass(eq=False)
class ProbePictures:
    """The training pictures, then the validation pictures, as features of the network before fine-tuning.

    rows: Tensor of float32 (rows, width)
        Evaluation's view of all n pictures first, then the other views of those that were trained on.
    seen: ndarray of int (rows,)
        Which picture each row is a view of.
    targets: ndarray of int (n,)
        Class numbers.
    weights: ndarray (n,) or None
    """

    rows: Tensor
    seen: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(
        cls,
        classifier: Any,
        training: tuple[Any, np.ndarray],
        validation: tuple[Any, np.ndarray] | None,
        *,
        on_step: OnStep | None = None,
    ) -> "ProbePictures":
        """Return the pictures that a classifier was fitted to, in the views of fit, and validation's in one.

        classifier: a fitted FineTuneClassifier, whose probe this is, or would be.
        training, validation: as fit was given them.
        on_step: hears how far the features are, as in fit; of few pictures, the classifier has them still.

        Raises LinnaeaError where the first weights cannot be had any more.
        """
        y = np.concatenate([training[1], *([] if validation is None else [validation[1]])])
        weights = samples.weights_of_rows(None, classifier.class_weight, y, classifier.classes_, np.float64)
        features = classifier.frozen_features
        if features is None:
            features = _made_again(classifier, training[0], validation and validation[0], on_step)
        n, val = len(training[1]), features.rows[:0] if features.val is None else features.val
        rows = torch.cat([features.rows[:n], val, features.rows[n:]])
        seen = np.concatenate([np.arange(n + len(val)), features.seen[n:]])
        return cls(rows, seen, samples.class_numbers(y, classifier.classes_), weights)

    def proba(self, learned: np.ndarray, new: np.ndarray, *, choose: bool) -> np.ndarray:
        """Return what a probe on some of the pictures says of others: (len(new), classes), float64.

        learned, new: numbers of pictures; there is one of every class among those to learn from.
        choose: whether the new pictures choose the probe's strength, as the validation set does in fit.
        """
        learned = np.sort(learned)
        place = np.full(len(self.targets), -1)
        place[learned] = np.arange(len(learned))
        seen = place[self.seen]
        rows, held = self.rows[torch.from_numpy(seen >= 0)], self.rows[torch.from_numpy(new)]
        with _one_thread():
            if not choose and len(rows) < rows.shape[1]:
                # What few rows teach lies in the directions that they have, and takes far less to find there:
                # the same but for where the iterations end.
                directions = torch.linalg.qr(rows.double().T)[0].float()
                rows, held = rows @ directions, held @ directions
            probe = fit_probe(
                rows,
                self.targets[learned],
                seen=seen[seen >= 0],
                weights=None if self.weights is None else self.weights[learned],
                validation=(held, self.targets[new]) if choose else None,
                width=self.rows.shape[1],
                overwrite_features=True,  # a copy: indexing made it
            )
        return torch.softmax(probe.logits(held).double(), dim=1).numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the linear algebra of a probe run on one thread of the processor.

    A second one saves a third of its second on an idle machine; beside other programs the two wait for each
    other, busily, ten times as long.
    """
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _made_again(classifier: Any, X: Any, X_val: Any, on_step: OnStep | None) -> FrozenFeatures:
    opened = classifier.first_network(len(classifier.classes_))
    where = next(opened.network.parameters()).device
    plan = classifier.plan_
    return FrozenFeatures.of(
        opened.network,
        ResidentPictures.read(X, opened.preprocessing, where),
        None if X_val is None else EvaluationBatches(X_val, opened.preprocessing, where),
        number_of_views=(plan.settings if plan is not None else classifier.get_params())["views"],
        precision=classifier.precision_,
        seed=classifier.seed_,
        flip=classifier.flip,
        on_step=on_step,
    )
