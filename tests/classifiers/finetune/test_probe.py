"""The probe: scikit-learn's logistic regression on whitened features, folded into one dense layer."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from linnaea.classifiers.finetune.probe import _weights_of_rows, fit_probe, whitening


def features(number: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Features of unlike sizes, one of them always the same, and classes that overlap in them."""
    rng = np.random.default_rng(seed)
    targets = np.resize(np.arange(classes), number)
    centres = np.random.default_rng(99).normal(size=(classes, 12))
    found = (centres[targets] + rng.normal(size=(number, 12))) * np.logspace(-2, 1, 12) + 5
    found[:, 3] = 0.25
    return torch.from_numpy(found.astype(np.float32)), targets


@pytest.mark.parametrize("classes", [2, 4])
def test_the_probe_is_scikit_learns_regression_on_whitened_features(classes: int) -> None:
    train, targets = features(120, classes)
    test, _ = features(50, classes, seed=1)
    mean, matrix = whitening(train, targets, classes)

    def whitened(some: torch.Tensor) -> np.ndarray:
        return ((some.double() - mean) @ matrix).numpy()

    # C in scikit-learn multiplies the sum of losses: for the mean over 120 pictures it is divided by 120.
    theirs = LogisticRegression(C=3 / 120, max_iter=2000, tol=1e-8).fit(whitened(train), targets)
    ours = fit_probe(train, targets, validation=(train, targets), strengths=(3.0,))
    probabilities = torch.softmax(ours.logits(test), dim=1).numpy()
    np.testing.assert_allclose(probabilities, theirs.predict_proba(whitened(test)), atol=2e-3)


def test_whitening_undoes_the_shrunk_covariance_within_the_classes() -> None:
    train, targets = features(200, 4)
    mean, matrix = whitening(train, targets, 4)
    within = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(train.double(), targets)
    covariance = torch.from_numpy(within.covariance_)
    shrunk = 0.5 * covariance + 0.5 * covariance.trace() / 12 * torch.eye(12)
    undone = matrix @ shrunk @ matrix
    torch.testing.assert_close(undone / undone[0, 0], torch.eye(12, dtype=torch.float64), atol=1e-6, rtol=0)
    assert float(((train.double() - mean) @ matrix).square().mean()) == pytest.approx(1)


def test_folding_the_whitening_in_changes_no_logit() -> None:
    train, targets = features(90, 3)
    probe = fit_probe(train, targets)
    mean, matrix = whitening(train, targets, 3)
    inner = probe.weight.double() @ torch.linalg.inv(matrix)
    unfolded = ((train.double() - mean) @ matrix) @ inner.T + probe.bias + probe.weight.double() @ mean
    torch.testing.assert_close(probe.logits(train).double(), unfolded, rtol=1e-4, atol=1e-4)


def test_one_picture_a_class_can_be_learned_from() -> None:
    train, targets = features(4, 4)
    probe = fit_probe(train, targets)
    assert probe.train[1] == 1
    assert torch.isfinite(probe.weight).all()


def test_the_strength_is_the_one_with_the_best_validation_accuracy() -> None:
    train, targets = features(60, 3)
    held_out = features(300, 3, seed=2)
    alone = [fit_probe(train, targets, validation=held_out, strengths=(c,)) for c in (0.003, 1.0, 300.0)]
    chosen = fit_probe(train, targets, validation=held_out, strengths=(0.003, 1.0, 300.0))
    assert chosen.val is not None
    assert chosen.val[1] == pytest.approx(max(probe.val[1] for probe in alone if probe.val), abs=0.01)
    assert chosen.val[1] > 0.7


def test_a_weight_of_two_is_the_picture_twice() -> None:
    train, targets = features(30, 3)
    weights = np.ones(30)
    weights[:10] = 2
    twice = fit_probe(torch.cat([train, train[:10]]), np.concatenate([targets, targets[:10]]))
    weighted = fit_probe(train, targets, weights=weights * 30 / 40)
    # Standardised a little differently: the mean and deviation do not count the copies.
    agree = weighted.logits(train).argmax(1) == twice.logits(train).argmax(1)
    assert agree.float().mean() > 0.95


def test_a_picture_weighs_the_same_however_many_views_it_has() -> None:
    train, targets = features(40, 4)
    # Views 2 of ten pictures only, all of class 0 and 1: copies, so that they add nothing but their weight.
    some = np.flatnonzero(targets < 2)[:10]
    seen = np.concatenate([np.arange(40), some])
    probe = fit_probe(train[torch.from_numpy(seen)], targets, seen=seen)
    once = fit_probe(train, targets)
    # Nearly the same: the copies count in the whitening. Unweighted, they would pull towards their classes.
    assert torch.allclose(probe.bias, once.bias, atol=0.25)
    assert (probe.logits(train).argmax(1) == once.logits(train).argmax(1)).all()
    # By hand: 50 rows of 40 pictures are 1.25 views on average, half of which a picture with two has in each.
    shares = _weights_of_rows(seen, None)
    assert shares[:40][some].tolist() == shares[40:].tolist() == [0.625] * 10
    assert shares.sum() == pytest.approx(50)


def test_fine_tuning_starts_from_a_shorter_head_that_points_the_same_way() -> None:
    train, targets = features(120, 4)
    probe = fit_probe(train, targets, validation=(train, targets))
    # What all classes share changes no softmax, and is taken off before the heads are compared.
    start, best = (w - w.mean(0) for w in (probe.start[0], probe.weight))
    assert float(start.norm()) < 0.5 * float(best.norm())
    assert float((start * best).sum() / start.norm() / best.norm()) > 0.5
    layer = torch.nn.Linear(12, 4)
    probe.load_into(layer)
    torch.testing.assert_close(layer(train), probe.logits(train))
    probe.load_into(layer, start=True)
    torch.testing.assert_close(layer.weight.detach(), probe.start[0])


def test_a_probe_is_the_same_in_the_directions_that_its_rows_have() -> None:
    generator = np.random.default_rng(0)
    train = torch.from_numpy(generator.normal(size=(12, 40)).astype(np.float32)) + 2
    new = torch.from_numpy(generator.normal(size=(20, 40)).astype(np.float32)) + 2
    targets = np.arange(12) % 3
    directions = torch.linalg.qr(train.T)[0]
    reduced = fit_probe(train @ directions, targets, width=40)
    torch.testing.assert_close(
        reduced.logits(new @ directions), fit_probe(train, targets).logits(new), rtol=1e-2, atol=1e-2
    )
