"""What is trained, at which rate, with which decay; the average of weights; the choice of precision."""

import json
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from linnaea.classifiers.finetune import batchnorm, device
from linnaea.classifiers.finetune.construction import length_for, rate_for
from linnaea.classifiers.finetune.heads import put_head
from linnaea.classifiers.finetune.optimizers import (
    WeightAverage,
    build_optimizer,
    choose_trained,
    parameter_groups,
    set_rate,
    stages,
)
from linnaea.classifiers.finetune.precision import choose_precision
from linnaea.classifiers.finetune.speed import last_stages
from linnaea.errors import SettingError


@pytest.fixture
def network() -> nn.Module:
    built = timm.create_model("mobilenetv2_100")
    put_head(built, 7, None, 0.2, seed=0)
    return built


def test_stages_are_the_parts_in_the_order_of_the_forward_pass(network: nn.Module) -> None:
    blocks = [f"blocks.{i}" for i in range(7)]
    assert stages(network) == ["conv_stem", "bn1", *blocks, "conv_head", "bn2", "classifier"]
    resnet = stages(timm.create_model("resnet18"))
    assert resnet[:3] == ["conv1", "bn1", "layer1.0"]
    assert resnet[-1] == "fc"


@pytest.mark.parametrize(
    ("train_from", "frozen", "first"),
    [
        ("all", [], "conv_stem.weight"),
        ("blocks.5", ["conv_stem", "bn1", *(f"blocks.{i}" for i in range(5))], "blocks.5.0.conv_pw.weight"),
        ("blocks", ["conv_stem", "bn1"], "blocks.0.0.conv_dw.weight"),
        ("head", ["conv_stem", "bn1", "blocks", "conv_head", "bn2"], "classifier.logits.weight"),
    ],
)
def test_everything_from_the_stage_on_is_trained(
    network: nn.Module, train_from: str, frozen: list[str], first: str
) -> None:
    trained = choose_trained(network, train_from)
    assert trained[0] == first
    assert trained == [name for name, p in network.named_parameters() if p.requires_grad]
    assert not any(name.startswith(f"{stage}.") for name in trained for stage in frozen)


def test_an_unknown_stage_is_refused_with_those_that_there_are(network: nn.Module) -> None:
    with pytest.raises(SettingError) as error:
        choose_trained(network, "blocks.9")
    assert error.value.message == "The network has no stage 'blocks.9'."
    assert error.value.cure == f"Its stages: all, head, {', '.join(stages(network))}."


def test_weight_decay_spares_norms_and_biases(network: nn.Module) -> None:
    groups = parameter_groups(network, 0.05, 0.8)
    for group in groups:
        matrices = {parameter.ndim > 1 for parameter in group["params"]}
        assert matrices == {group["weight_decay"] == 0.05}
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_rates_fall_by_layer_decay_from_the_head_down(network: nn.Module) -> None:
    scale = {
        id(p): group["lr_scale"] for group in parameter_groups(network, 0.05, 0.5) for p in group["params"]
    }
    # MobileNetV2: the stem, 17 blocks (the head's convolution belongs to the last), and the classifier.
    assert scale[id(network.classifier.logits.weight)] == 1
    assert scale[id(network.conv_head.weight)] == 0.5
    assert scale[id(network.blocks[6][0].conv_dw.weight)] == 0.5
    assert scale[id(network.blocks[5][2].conv_dw.weight)] == 0.25
    assert scale[id(network.conv_stem.weight)] == 0.5**18


@pytest.mark.parametrize("solver", ["adamw", "nesterov"])
def test_the_rate_of_a_step_reaches_every_group_by_its_share(network: nn.Module, solver: str) -> None:
    optimizer = build_optimizer(
        network, solver=solver, learning_rate=1.0, momentum=0.9, weight_decay=0.05, layer_decay=0.8
    )
    set_rate(optimizer, 0.1)
    assert {group["lr"] for group in optimizer.param_groups} == {0.1 * 0.8**i for i in range(19)}


def test_frozen_parameters_belong_to_no_group(network: nn.Module) -> None:
    choose_trained(network, "head")
    assert [len(group["params"]) for group in parameter_groups(network, 0.05, 0.8)] == [1, 1]


def test_each_family_has_its_rate() -> None:
    assert rate_for("mobilenetv2", "adamw") == 3e-4
    assert rate_for("efficientnet_lite0", "adamw") == 2e-4
    assert rate_for("resnet50", "nesterov") == 0.01


@pytest.mark.parametrize(
    ("backbone", "asked", "used"),
    [
        ("efficientnet_lite0", (None, None), ("blocks.4", 25)),
        ("tf_efficientnet_lite0", (None, None), ("blocks.4", 25)),
        ("tf_efficientnet_lite1", (None, None), ("all", 12)),
        ("mobilenetv2", (None, None), ("all", 12)),
        # Twenty-five epochs are for those stages: with others it is twelve, as elsewhere.
        ("efficientnet_lite0", ("all", None), ("all", 12)),
        ("efficientnet_lite0", ("blocks.4", None), ("blocks.4", 25)),
        ("efficientnet_lite0", (None, 3), ("blocks.4", 3)),
        ("efficientnet_lite0", (None, 0), ("blocks.4", 0)),
        ("resnet50", ("head", 40), ("head", 40)),
    ],
)
def test_what_is_trained_and_how_long_suits_the_backbone_or_is_as_asked(
    backbone: str, asked: tuple[str | None, int | None], used: tuple[str, int]
) -> None:
    assert length_for(backbone, *asked) == used


def test_the_stages_that_suit_lite0_are_those_that_a_budget_calls_the_last() -> None:
    network = timm.create_model("tf_efficientnet_lite0")
    assert last_stages(network) == length_for("efficientnet_lite0", None, None)[0]


def test_the_average_of_weights_is_the_closed_formula() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 0.0)
    average = WeightAverage(layer, decay=0.5)
    expected = 0.0
    for step in range(1, 31):
        nn.init.constant_(layer.weight, float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(average.shadow["weight"]) == pytest.approx(expected, rel=1e-6)
    # From step 8 on the decay is 0.5 throughout, and the average of 1, 2, 3, … lags by d/(1-d) = 1 step.
    assert expected == pytest.approx(29, abs=1e-4)
    assert layer.weight.item() == 30


def test_the_average_holds_statistics_but_no_counters() -> None:
    norm = nn.BatchNorm2d(2)
    assert set(WeightAverage(norm, 0.9).shadow) == {"weight", "bias", "running_mean", "running_var"}


def test_a_tenth_of_the_old_statistics_is_left_after_an_epoch() -> None:
    norm = nn.BatchNorm2d(1)
    nn.init.constant_(norm.running_mean, 1.0)
    batchnorm.set_momentum(norm, steps=64)
    for _ in range(64):
        norm(torch.zeros(4, 1, 2, 2))
    assert float(norm.running_mean) == pytest.approx(0.1, rel=1e-4)


def test_reestimated_statistics_are_the_mean_over_the_batches() -> None:
    norm = nn.BatchNorm2d(2, momentum=0.3)
    batches = [torch.randn(8, 2, 4, 4) + 3 for _ in range(5)]
    batchnorm.reestimate(norm, batches)
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    variance = torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert norm.momentum == 0.3
    assert not norm.training


def test_the_choice_of_precision_is_measured_once_and_remembered(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whichever processor this is: it can compute in bfloat16, if slowly.
    monkeypatch.setattr(device.machine, "cpuinfo", dict)
    network = timm.create_model("test_efficientnet", num_classes=3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    chosen = choose_precision(network, 32, batch_size=2, name="test")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    path = own_cache / "precision.json"
    known = json.loads(path.read_text())
    (key,) = [key for key in known if "| test |" in key]
    assert torch.__version__ in key
    speeds = known[key]["pictures_per_second"]
    assert known[key]["precision"] == chosen == max(speeds, key=speeds.get)
    # What is remembered is believed: no second measurement.
    known[key]["precision"] = "remembered"
    path.write_text(json.dumps(known))
    assert choose_precision(network, 32, batch_size=2, name="test") == "remembered"
