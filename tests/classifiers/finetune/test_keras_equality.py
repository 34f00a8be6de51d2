"""The same weights in timm's networks and in Keras' own applications give the same outputs.

Random weights (and random batch-norm statistics) decide as well as trained ones whether two networks are the
same function; where trained ones are at hand they are compared too. Keras keeps a convolution as (height,
width, in, out), a depthwise one as (height, width, channels, 1), and a dense layer as (in, out).
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from sklearn.datasets import load_sample_images

from linnaea.classifiers.finetune.backbones import build_backbone
from linnaea.classifiers.finetune.preprocessing import Preprocessing

os.environ.setdefault("KERAS_BACKEND", "torch")
applications = pytest.importorskip("keras.applications", reason="Keras' applications are not installed")

# Keras asks NumPy for arrays without a copy in a way that torch's tensors do not know yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = 64


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Three photographs as the networks see them: float32 (3, 3, SIZE, SIZE)."""
    temple, flower = load_sample_images().images
    return Preprocessing(size=SIZE).apply([temple, flower, flower[:, :400]])


def make_up_norms(network: torch.nn.Module, pictures: torch.Tensor) -> None:
    """Give batch norms random scales and shifts, and the statistics that the pictures then have.

    Fresh ones (0 and 1) would hide a mix-up, and timm's fresh residual blocks end in a scale of 0: they do
    nothing at all, so that not even misplaced strides would show. Statistics at random would let the signal
    fade from layer to layer, until every picture gives the same.
    """
    generator = torch.Generator().manual_seed(0)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.0, generator=generator)
            norm.bias.uniform_(-0.5, 0.5, generator=generator)
            norm.momentum = None  # take the mean of all batches, here one
        network.train()(pictures)
    network.eval()


def kernel(layer: Any, weight: torch.Tensor) -> np.ndarray:
    """Return torch's weight (out, in, height, width) or (out, in) in the order of the Keras layer."""
    array = weight.detach().numpy()
    if type(layer).__name__ == "DepthwiseConv2D":
        return array.transpose(2, 3, 0, 1)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def copy_layers(pairs: list[tuple[Any, torch.nn.Module]], conv_bias: bool = False) -> None:
    """Copy torch's layers into Keras', pair by pair.

    conv_bias: Keras' convolutions have a bias where torch's have none. A batch norm follows each of them, so
    a bias b is undone by adding b to the running mean: a made-up b is put in both, and must not show.
    """
    generator = np.random.default_rng(0)
    bias = np.zeros(0)
    for keras_layer, layer in pairs:
        if isinstance(layer, torch.nn.BatchNorm2d):
            mean = layer.running_mean.numpy() + (bias if conv_bias else 0)
            keras_layer.set_weights(
                [layer.weight.detach().numpy(), layer.bias.detach().numpy(), mean, layer.running_var.numpy()]
            )
        elif isinstance(layer, torch.nn.Linear):
            keras_layer.set_weights([kernel(keras_layer, layer.weight), layer.bias.detach().numpy()])
        elif conv_bias:
            bias = generator.uniform(-0.5, 0.5, layer.out_channels).astype(np.float32)
            keras_layer.set_weights([kernel(keras_layer, layer.weight), bias])
        else:
            keras_layer.set_weights([kernel(keras_layer, layer.weight)])


def with_weights(module: torch.nn.Module) -> list[torch.nn.Module]:
    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear)
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def largest_difference(keras_model: Any, network: torch.nn.Module, pictures: torch.Tensor) -> float:
    """Return the largest difference of the two networks' logits, relative to the largest logit."""
    with torch.inference_mode():
        ours = network.eval()(pictures).numpy()
        theirs = np.asarray(keras_model(pictures.permute(0, 2, 3, 1).contiguous(), training=False))
    assert np.ptp(ours, axis=0).max() > 0.1, "the pictures must not all give the same"
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(ours).max()))


@pytest.fixture(scope="module")
def keras_mobilenet() -> Any:
    return applications.MobileNetV2(input_shape=(SIZE, SIZE, 3), weights=None, classifier_activation=None)


@pytest.mark.parametrize("trained", [False, True])
def test_mobilenet_v2_is_keras_own(
    trained: bool, keras_mobilenet: Any, pictures: torch.Tensor, request: Any
) -> None:
    # Keras pads as TensorFlow does (a stride of 2 takes its extra pixel below and to the right) and adds 1e-3
    # to the variances; with pad_type "same" and bn_eps 1e-3 timm's network does likewise.
    network = timm.create_model("mobilenetv2_100", pad_type="same", bn_eps=1e-3)
    padded_evenly = timm.create_model("mobilenetv2_100", bn_eps=1e-3)
    if trained:
        shared: Path = request.getfixturevalue("shared")
        weights = shared / "weights" / "mobilenetv2_100.tv_in1k.safetensors"
        network.load_state_dict(build_backbone("mobilenetv2", weights=weights).network.state_dict())
    else:
        make_up_norms(network, pictures)
    theirs = [layer for layer in keras_mobilenet.layers if layer.get_weights()]
    copy_layers(list(zip(theirs, with_weights(network), strict=True)))
    assert largest_difference(keras_mobilenet, network, pictures) < 1e-4
    # The measure sees one pixel of padding.
    padded_evenly.load_state_dict(network.state_dict())
    assert largest_difference(keras_mobilenet, padded_evenly, pictures) > 1e-2


def test_resnet50_is_keras_own(pictures: torch.Tensor) -> None:
    # Keras' ResNet50 is the paper's: it strides the first 1×1 convolution of a stage. timm's strides the 3×3
    # ("v1.5"), with weights of the same names and shapes. Moving the strides makes the two one function.
    network = build_backbone("resnet50", weights="none").network
    strided = [network.layer2[0], network.layer3[0], network.layer4[0]]
    for block in strided:
        block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
    make_up_norms(network, pictures)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.eps = 1.001e-5  # as in keras/applications/resnet.py
    model = applications.ResNet50(input_shape=(SIZE, SIZE, 3), weights=None, classifier_activation=None)
    names = {"conv1_conv": network.conv1, "conv1_bn": network.bn1, "predictions": network.fc}
    for stage in range(1, 5):
        for number, block in enumerate(network.get_submodule(f"layer{stage}"), start=1):
            stem = f"conv{stage + 1}_block{number}"
            parts = {1: (block.conv1, block.bn1), 2: (block.conv2, block.bn2), 3: (block.conv3, block.bn3)}
            if block.downsample is not None:
                parts[0] = tuple(block.downsample)
            for part, (convolution, norm) in parts.items():
                names |= {f"{stem}_{part}_conv": convolution, f"{stem}_{part}_bn": norm}
    assert len(names) == len(with_weights(network))
    assert set(names) == {layer.name for layer in model.layers if layer.get_weights()}
    copy_layers([(model.get_layer(name), layer) for name, layer in names.items()], conv_bias=True)
    assert largest_difference(model, network, pictures) < 1e-4
    # With the strides where timm puts them it is another function: ImageNet weights are not interchangeable.
    for block in strided:
        block.conv1.stride, block.conv2.stride = (1, 1), (2, 2)
    assert largest_difference(model, network, pictures) > 1e-2
