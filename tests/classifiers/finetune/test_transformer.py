"""A vision transformer, from random weights on a few pictures: its losses, its resume, its features."""

import numpy as np
import pytest
import torch

from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.pictures import batches


def pictures():
    """Two dozen noisy pictures of three classes: where the bright third is."""
    generator = np.random.default_rng(0)
    X = generator.integers(0, 120, (24, 32, 32, 3), dtype=np.uint8)
    y = np.array(["left", "middle", "right"] * 8)
    for row, name in enumerate(y):
        start = {"left": 0, "middle": 10, "right": 21}[name]
        X[row, :, start : start + 10] += 100
    return X, y


def new(**settings):
    usual = {"weights": "none", "size": 32, "views": 1, "epochs": 3, "precision": "float32"}
    usual |= {"learning_rate": 1e-3, "train_from": "all", "patience": 0, "random_state": 0}
    return FineTuneClassifier("vit_tiny", **{**usual, **settings})


def test_its_losses_are_those_recorded():
    # Recorded once; other versions of torch and other processors differ in the last digits.
    history = new().fit(*pictures()).history_
    assert [record.train_loss for record in history] == pytest.approx([0.0, 2.27, 1.87, 1.36], abs=0.03)


def test_it_goes_on_to_the_same_bits():
    X, y = pictures()
    states = []
    whole = new().fit(X, y, on_epoch=lambda record, learning: states.append(learning.training_state()))
    again = new()
    again.load_training_state(*states[1])
    again.fit(X, y)
    for name, tensor in whole.network_.state_dict().items():
        assert torch.equal(tensor, again.network_.state_dict()[name]), name


def test_its_head_sees_the_class_token_and_the_mean_of_the_patches():
    X, y = pictures()
    classifier = new(epochs=0).fit(X, y)
    network = classifier.network_
    (batch,) = batches(X[:4], classifier.preprocessing_, torch.device("cpu"), 4)
    with torch.no_grad():
        tokens = network.forward_features(classifier.preprocessing_.normalize(batch))
    assert tokens.shape == (4, 1 + 4, 192)  # 2 x 2 patches of 16 pixels
    halves = [tokens[:, 0].numpy(), tokens[:, 1:].mean(1).numpy()]
    wanted = [
        (half - half.mean(1, keepdims=True)) / np.sqrt(half.var(1, keepdims=True) + 1e-5) for half in halves
    ]
    np.testing.assert_allclose(classifier.features(X[:4]), np.concatenate(wanted, axis=1), atol=1e-4)


@pytest.mark.parametrize("train_from", ["blocks.6", "head"])
def test_what_is_not_trained_keeps_its_weights(train_from):
    X, y = pictures()
    begun = new(epochs=0, train_from=train_from).fit(X, y).network_.state_dict()
    ended = new(epochs=2, train_from=train_from).fit(X, y).network_.state_dict()
    moved = {name for name, tensor in begun.items() if not torch.equal(tensor, ended[name])}
    if train_from == "head":
        assert moved <= {"head.logits.weight", "head.logits.bias"}
    else:
        assert "blocks.5.attn.qkv.weight" not in moved
        assert {"blocks.6.attn.qkv.weight", "blocks.11.mlp.fc2.weight"} <= moved
