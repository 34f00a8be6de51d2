"""Weights files: read as data only, checked tensor by tensor, refused with a sentence."""

import json
import pickle
import struct
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from linnaea.classifiers.finetune.backbones import build_backbone
from linnaea.classifiers.finetune.weights import read_weights
from linnaea.errors import LinnaeaError


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    """Random weights of a ResNet-18, as a state dict: enough to tell whether each one arrives."""
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=10).state_dict()


def refusal(path: Path, name: str = "resnet18", **settings: int) -> str:
    with pytest.raises(LinnaeaError) as caught:
        build_backbone(name, weights=path, **settings)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped.pth"])
def test_every_tensor_of_a_file_arrives(kind: str, resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        save_file(resnet, path)
    else:
        # "module." before each name is what torch's DataParallel leaves behind.
        wrapped = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in resnet.items()}}
        torch.save(resnet if kind == "pth" else wrapped, path)
    network, _, told = build_backbone("resnet18", weights=path)
    assert network.num_classes == 10
    assert all(torch.equal(resnet[name], value) for name, value in network.state_dict().items())
    assert told == f"weights from {path}"


def test_a_classifier_layer_of_another_size_is_dropped_and_that_is_told(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(resnet, path)
    network, _, told = build_backbone("resnet18", weights=path, classes=42)
    assert told == f"weights from {path}; its layer for 10 classes was dropped"
    assert network.fc.weight.shape == (42, 512)
    assert torch.equal(network.layer4[1].conv2.weight, resnet["layer4.1.conv2.weight"])


def test_half_precision_is_read_as_single(resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    halves = {name: value.half() if value.is_floating_point() else value for name, value in resnet.items()}
    save_file(halves, tmp_path / "half.safetensors")
    network = build_backbone("resnet18", weights=tmp_path / "half.safetensors").network
    assert network.conv1.weight.dtype == torch.float32
    assert torch.equal(network.conv1.weight, halves["conv1.weight"].float())


def test_the_configuration_of_a_file_decides_the_network_and_the_preprocessing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = timm.create_model("mobilenetv1_100", num_classes=5).state_dict()
    config = {
        "architecture": "mobilenetv1_100",
        "model_args": {"pad_type": "same", "bn_eps": 0.001},
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.3, 0.4],
        "crop_pct": 0.9,
        "input_size": [3, 160, 160],
        "interpolation": "bilinear",
    }
    save_file(tensors, tmp_path / "v1.safetensors", {"pretrained_cfg": json.dumps(config)})
    network, preprocessing, _ = build_backbone("mobilenetv1", weights=tmp_path / "v1.safetensors")
    # TensorFlow's padding, one pixel more below and to the right, is a convolution class of its own in timm.
    assert type(network.conv_stem).__name__ == "Conv2dSame"
    assert network.bn1.eps == 0.001
    assert (preprocessing.size, preprocessing.crop_pct, preprocessing.interpolation) == (160, 0.9, "bilinear")
    assert (preprocessing.mean, preprocessing.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    smaller = build_backbone("mobilenetv1", weights=tmp_path / "v1.safetensors", size=96)
    assert smaller.preprocessing.size == 96


def test_missing_unexpected_and_misshapen_tensors_are_counted_and_listed(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    faulty = dict(resnet)
    for name in ("bn1.weight", "bn1.bias", "layer1.0.bn1.weight", "layer1.0.bn1.bias"):
        del faulty[name]
    faulty["extra"] = torch.zeros(1)
    faulty["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    path = tmp_path / "faulty.safetensors"
    save_file(faulty, path)
    assert refusal(path) == (
        f"{path} does not fit resnet18, which has 122 tensors: "
        "4 tensors missing (bn1.weight, bn1.bias, layer1.0.bn1.weight, …), 1 tensor unexpected (extra), "
        "1 tensor of another shape (conv1.weight 64×3×3×3 instead of 64×3×7×7). "
        "It probably belongs to another network: choose that one with --model, or pass another file."
    )


def test_a_file_without_its_classifier_layer_will_do_only_where_that_is_replaced(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "features.safetensors"
    save_file({name: value for name, value in resnet.items() if not name.startswith("fc.")}, path)
    network, _, told = build_backbone("resnet18", weights=path, classes=7)
    assert network.fc.weight.shape == (7, 512)
    assert told == f"weights from {path}, which holds no classifier layer"
    assert "2 tensors missing (fc.weight, fc.bias)" in refusal(path)


def test_counters_of_batches_may_be_missing(resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    # torch counts batches since version 0.4.1; older files have no such tensor.
    old = {name: value for name, value in resnet.items() if not name.endswith("num_batches_tracked")}
    save_file(old, tmp_path / "old.safetensors")
    assert build_backbone("resnet18", weights=tmp_path / "old.safetensors").network.num_classes == 10


def test_weights_of_another_architecture_are_refused_by_name(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "named.safetensors"
    save_file(resnet, path, {"pretrained_cfg": json.dumps({"architecture": "resnet18"})})
    assert refusal(path, "resnet34") == (
        f"{path} holds the weights of resnet18, not of resnet34. "
        "Pass --model resnet18, or the weights of resnet34."
    )


def test_weights_of_another_architecture_are_refused_by_their_tensors(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(resnet, tmp_path / "unnamed.safetensors")
    message = refusal(tmp_path / "unnamed.safetensors", "mobilenetv2", classes=3)
    assert "does not fit mobilenetv2_100, which has 312 tensors: " in message
    assert "It probably belongs to another network" in message


def test_the_weights_of_a_run_are_told_for_what_they_are(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    own = {name.replace("fc.", "fc.logits."): tensor for name, tensor in resnet.items()}
    path = tmp_path / "weights.safetensors"
    save_file(own, path)
    (tmp_path / "model.json").write_text("{}")
    assert refusal(path, classes=3) == (
        f"{path} holds a network that Linnaea trained, with its own head; weights to start from are those of "
        f"a pretrained network. linnaea predict {tmp_path} uses it, linnaea resume {tmp_path} goes on with a "
        "training that was stopped."
    )


class Malicious:
    """What an attacker would pickle: opening it calls a function of their choice."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("protocol", ["torch", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_runs_none(protocol: str, tmp_path: Path) -> None:
    path, target = tmp_path / "evil.pth", tmp_path / "was_here"
    if protocol == "torch":
        torch.save({"state_dict": Malicious(target)}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(target), protocol=2))
    assert refusal(path) == (
        f"{path} holds something other than tensors, or is damaged, and was not opened: "
        "it could run a program hidden in it. "
        "Use the safetensors file of the same weights, or save network.state_dict() alone."
    )
    assert not target.exists()


def test_damaged_files_are_named(resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    save_file(resnet, whole)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:5000])
    assert refusal(cut).startswith(f"{cut} is not a whole safetensors file (")
    torch.save(resnet, tmp_path / "whole.pth")
    cut = tmp_path / "cut.pth"
    cut.write_bytes((tmp_path / "whole.pth").read_bytes()[:5000])
    assert refusal(cut).startswith(f"{cut} could not be read as weights saved by torch (")
    empty = tmp_path / "empty.pth"
    empty.touch()
    assert refusal(empty).startswith(f"{empty} could not be read as weights saved by torch (")
    assert refusal(tmp_path / "none.pth") == (
        f"There is no weights file {tmp_path / 'none.pth'}. "
        "Pass --weights with a .safetensors or .pth file, or hub."
    )


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": 3}, tmp_path / "number.pth")
    assert "is not a state dict ('weights' is no tensor)" in refusal(tmp_path / "number.pth")
    torch.save({}, tmp_path / "nothing.pth")
    assert "is not a state dict (it is empty)" in refusal(tmp_path / "nothing.pth")


@pytest.mark.parametrize("metadata", ["{", "[1]"])
def test_a_configuration_that_is_no_json_object_is_refused(metadata: str, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "odd.safetensors", {"pretrained_cfg": metadata})
    assert "(metadata key pretrained_cfg) is not a JSON object" in refusal(tmp_path / "odd.safetensors")


def test_model_args_that_the_network_does_not_have_are_refused(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    config = json.dumps({"architecture": "resnet18", "model_args": {"wheels": 4}})
    save_file(resnet, tmp_path / "odd.safetensors", {"pretrained_cfg": config})
    message = refusal(tmp_path / "odd.safetensors")
    assert "asks for resnet18 with model_args {'wheels': 4}, which fails (" in message


def test_a_safetensors_header_is_read_without_trusting_its_length(tmp_path: Path) -> None:
    path = tmp_path / "long.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(LinnaeaError, match="not a whole safetensors file"):
        read_weights(path)
