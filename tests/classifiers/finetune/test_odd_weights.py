"""State dicts as nobody should save them, and configurations of any kind: one sentence each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from linnaea.classifiers.finetune.backbones import build_backbone
from linnaea.cli import main
from linnaea.errors import LinnaeaError

NAME = "conv1.0.weight"  # the first convolution of test_resnet


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """Random weights of timm's test_resnet, 0.5 million numbers."""
    torch.manual_seed(0)
    return timm.create_model("test_resnet").state_dict()


def changed(edit: Callable[[torch.Tensor], Any], name: str = NAME) -> Callable[[dict[str, Any]], Any]:
    return lambda tensors: {**tensors, name: edit(tensors[name])}


def filled(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: torch.full(tensor.shape, value, dtype=torch.float64)


PLAIN = "Save the weights as plain float32 tensors."
ALONE = "Save network.state_dict() alone."
NO_WEIGHTS = (
    "so that every answer would be not-a-number. "
    "Take the weights from before the training went wrong, or others."
)
ODD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "numbers as names": (
        lambda t: dict(enumerate(t.values())),
        f"is not a state dict (it has a int in the place of a tensor's name). {ALONE}",
    ),
    "a tuple as a name": (lambda t: {**t, (1, 2): 3}, "(it has a tuple in the place of a tensor's name)"),
    "a tensor alone": (lambda t: t[NAME], "is not a state dict (it holds a Tensor)"),
    "a list": (lambda t: list(t.values()), "is not a state dict (it holds a list)"),
    "nothing": (lambda t: None, "is not a state dict (it holds a NoneType)"),
    "a wrapped list": (lambda t: {"state_dict": [1, 2]}, "('state_dict' is no tensor)"),
    "a dict in a dict in a dict": (lambda t: {"model": {"model": t}}, "('model' is no tensor)"),
    "a dict of nothing": (lambda t: {"state_dict": {}}, "is not a state dict (it is empty)"),
    "a number": (changed(lambda t: 3), f"('{NAME}' is no tensor)"),
    "a long name": (lambda t: {**t, "x" * 10_000: torch.ones(1)}, f"1 tensor unexpected ({'x' * 100})"),
    "meta": (
        changed(lambda t: t.to("meta")),
        f"holds '{NAME}' as a meta tensor, which has a shape and no numbers. {PLAIN}",
    ),
    "sparse": (changed(lambda t: t.to_sparse()), f"holds '{NAME}' as a sparse tensor. {PLAIN}"),
    "quantized": (
        changed(lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8)),
        f"holds '{NAME}' as a quantized tensor. {PLAIN}",
    ),
    "complex": (changed(lambda t: t + 1j), f"holds '{NAME}' as complex64 numbers. {PLAIN}"),
    "eight bits": (
        changed(lambda t: t.to(torch.float8_e4m3fn)),
        f"holds '{NAME}' as float8_e4m3fn numbers. {PLAIN}",
    ),
    "integers": (
        changed(lambda t: t.to(torch.int8)),
        f"1 tensor of integers in the place of weights ({NAME})",
    ),
    "nested": (
        changed(lambda t: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
        "holds something other than tensors, or is damaged, and was not opened",
    ),
    "one number everywhere": (
        changed(lambda t: torch.ones(1).expand(2**40)),
        f"1 tensor of another shape ({NAME} 1099511627776 instead of ",
    ),
    "NaN": (changed(filled(float("nan"))), f": {NAME} holds NaN or infinity, {NO_WEIGHTS}"),
    "infinity": (changed(filled(float("-inf"))), f": {NAME} holds NaN or infinity, {NO_WEIGHTS}"),
    "beyond float32": (changed(filled(1e300)), f": {NAME} holds NaN or infinity, {NO_WEIGHTS}"),
    "variance": (
        changed(filled(-1.0), "bn1.running_var"),
        f": bn1.running_var holds a negative variance, {NO_WEIGHTS}",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_state_dict_is_refused_with_a_sentence(
    case: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    make, reason = ODD[case]
    path = tmp_path / "odd.pth"
    torch.save(make(tensors), path)
    with pytest.raises(LinnaeaError) as caught:
        build_backbone("test_resnet", weights=path, classes=3)
    assert str(caught.value).startswith(str(path))
    assert reason in str(caught.value)


# Finite, and beyond float32 after a few layers.
LARGE = {
    "large": (
        lambda tensors: {n: t * 1e20 if n.endswith("weight") else t for n, t in tensors.items()},
        "The network answers pictures with numbers that are not finite. Its weights are damaged or belong to",
    )
}


@pytest.mark.parametrize("case", ["numbers as names", "sparse", "NaN", "variance", "large"])
def test_the_command_refuses_it_though_nothing_would_be_trained(
    case: str, tensors: dict[str, torch.Tensor], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, reason = {**ODD, **LARGE}[case]
    torch.save(make(tensors), tmp_path / "odd.pth")
    for number in range(12):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (20 * number, 100 * (number % 2), 0)).save(folder / f"{number}.png")
    options = ["--model", "test_resnet", "--weights", str(tmp_path / "odd.pth"), "--epochs", "0"]
    code = main(["train", str(tmp_path / "photos"), *options, "--out", str(tmp_path / "run")])
    assert (code, reason in capfd.readouterr().err) == (1, True)


def test_views_of_one_large_storage_arrive(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    # As a flattened optimizer leaves them: one array, of which each weight is a piece.
    sizes = [value.numel() for value in tensors.values() if value.is_floating_point()]
    names = [name for name, value in tensors.items() if value.is_floating_point()]
    flat = torch.cat([tensors[name].flatten() for name in names] + [torch.zeros(10_000_000)])
    pieces = flat.split([*sizes, 10_000_000])[:-1]
    views = {name: piece.view(tensors[name].shape) for name, piece in zip(names, pieces, strict=True)}
    torch.save(views, tmp_path / "views.pth")
    network = build_backbone("test_resnet", weights=tmp_path / "views.pth").network
    assert all(torch.equal(network.state_dict()[name], tensors[name]) for name in names)


def with_config(config: Any, tensors: dict[str, torch.Tensor], path: Path) -> str:
    """Return why a file with this configuration is refused; "" where it is not."""
    save_file(tensors, path, {"pretrained_cfg": json.dumps(config)})
    try:
        build_backbone("test_resnet", weights=path, classes=3)
    except LinnaeaError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"crop_pct": 0.001}, "crop_pct must be a number from 0.5 to 1; received 0.001"),
        ({"crop_pct": "x"}, "crop_pct must be a number from 0.5 to 1; received 'x'"),
        ({"crop_pct": -1}, "crop_pct must be a number from 0.5 to 1; received -1"),
        ({"input_size": [3, 4096, 4096]}, "sides from 1 to 2,048; received [3, 4096, 4096]"),
        ({"input_size": [3, 100000, 100000]}, "sides from 1 to 2,048; received [3, 100000, 100000]"),
        ({"input_size": 224}, "must be [3, height, width] with sides from 1 to 2,048; received 224"),
        ({"input_size": [3, 224]}, "received [3, 224]"),
        ({"mean": [0.5] * 4}, "mean must be three numbers (red, green, blue) of at most 1e6; received [0"),
        ({"mean": {"red": 1}}, "received {'red': 1}"),
        ({"std": [0.2, 0, 0.2]}, "std must be three numbers (red, green, blue) from 1e-6 to 1e6; received"),
        ({"std": 0.5}, "std must be three numbers"),
        ({"interpolation": "cubic"}, "There is no interpolation 'cubic'"),
        ({"interpolation": ["bicubic"]}, "There is no interpolation ['bicubic']"),
        ({"crop_mode": "centre"}, "There is no crop_mode 'centre'"),
        ({"architecture": 5}, "architecture must be text"),
        ({"model_args": {"layers": [9000] * 4}}, "test_resnet has far more weights than the"),
        ({"model_args": {"stem_width": 16384}}, "test_resnet has far more weights than the"),
        ({"model_args": {"in_chans": 1}}, "does not fit test_resnet"),
        ({"model_args": {"act_layer": [[]]}}, "which fails ("),
    ],
)
def test_a_configuration_names_its_fault(
    config: dict[str, Any], reason: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    told = with_config(config, tensors, path)
    assert str(path) in told
    assert reason in told


KEYS = ["mean", "std", "crop_pct", "input_size", "interpolation", "crop_mode", "scale", "architecture"]
PLAIN_VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    st.sampled_from(["bicubic", 224]),
)
VALUES = st.recursive(
    PLAIN_VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(config=st.dictionaries(st.sampled_from([*KEYS, "model_args"]), VALUES, max_size=4))
def test_no_configuration_ends_in_anything_but_a_network_or_a_sentence(
    config: dict[str, Any], tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    # A network, with pictures that it can be given; or LinnaeaError, and nothing else.
    with_config(config, tensors, tmp_path / "w.safetensors")
