"""How well a network suits the pictures, before it is trained."""

import numpy as np
import pytest

from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.selection import try_network

SETTINGS = {"size": 32, "precision": "float32"}


def test_a_trial_is_what_probes_over_folds_get_right():
    generator = np.random.default_rng(0)
    y = np.array(["bright", "dark", "plain"] * 8)
    X = generator.integers(0, 120, (24, 32, 32, 3), dtype=np.uint8)
    X[::3] += 60
    X[1::3, :16] //= 2
    fold = np.arange(24) // 6
    fold[0] = -1  # learned from by all
    heard = []
    trial = try_network(
        FineTuneClassifier(**SETTINGS), X, y, fold, on_step=lambda *step: heard.append(step[:3])
    )
    right, losses = [], []
    for held in range(4):
        learned, new = fold != held, np.flatnonzero(fold == held)
        probe = FineTuneClassifier(**SETTINGS, epochs=0, views=1, random_state=0).fit(X[learned], y[learned])
        said = probe.predict_proba(X[new])
        right += list(probe.classes_[said.argmax(axis=1)] == y[new])
        losses += list(-np.log(said[np.arange(len(new)), np.searchsorted(probe.classes_, y[new])]))
    assert len(right) == 23
    assert trial.backbone == "efficientnet_lite0"
    assert trial.accuracy == np.mean(right)
    # The iterations of a probe in fewer directions end elsewhere.
    assert trial.log_loss == pytest.approx(np.mean(losses), rel=0.15)
    assert trial.seconds > 0
    assert heard[-1] == ("efficientnet_lite0", 24, 24)
