"""Heads: the original report's two, and the general one."""

import math

import pytest
import torch

from linnaea.classifiers.finetune.heads import build_head
from linnaea.errors import SettingError


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_reports_mobilenet_head_is_dropout_and_one_dense_layer() -> None:
    head = build_head(1280, 102)
    assert [type(layer).__name__ for layer in head] == ["Dropout", "Linear"]
    assert head.dropout.p == 0.2
    assert parameters(head) == 1280 * 102 + 102 == 130_662


def test_the_reports_resnet_head_has_thirty_relu_units_before_the_dropout() -> None:
    head = build_head(2048, 102, hidden=30)
    assert [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert head.dropout.p == 0.2
    assert parameters(head) == (2048 * 30 + 30) + (30 * 102 + 102) == 64_632


def test_at_first_all_classes_are_about_equally_likely() -> None:
    # The loss of a guess among k classes is ln k nats.
    head = build_head(1280, 102).eval()
    pooled = torch.rand(64, 1280, generator=torch.Generator().manual_seed(1))
    loss = torch.nn.functional.cross_entropy(head(pooled), torch.arange(64))
    assert loss.item() == pytest.approx(math.log(102), abs=0.1)


def test_the_seed_alone_decides_the_weights_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (build_head(8, 3, hidden=4, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["logits.weight"], other["logits.weight"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": 0}, "A head cannot be built with classes = 0. Pass 1 or more."),
        ({"classes": 3, "hidden": 0}, "A head cannot be built with head_hidden = 0. Pass 1 or more."),
        ({"classes": 3, "dropout": 1.0}, "A dropout of 1.0 is not possible. Pass 0 or more and less than 1."),
    ],
)
def test_an_impossible_head_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        build_head(8, **settings)
    assert str(caught.value) == message
