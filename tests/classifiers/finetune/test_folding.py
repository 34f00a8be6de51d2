"""Batch norms folded into convolutions: the same function, the same gradients, the same names."""

import copy

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import nn

from linnaea.classifiers.finetune.folding import FoldedConv2dSame, fold_batch_norms


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    built = timm.create_model(name, num_classes=5).eval()
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Statistics of a network that has seen something, or the fold would have nothing to do.
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return built


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


# Plain padding, TensorFlow's padding, residual blocks with a batch norm on the shortcut.
@pytest.mark.parametrize(
    "name", ["mobilenetv2_050", "tf_efficientnet_lite0", "resnet18", "test_efficientnet"]
)
def test_outputs_and_gradients_stay_what_they_were(name: str) -> None:
    plain = network(name)
    folded = copy.deepcopy(plain)
    assert fold_batch_norms(folded) == norms(plain) > 0
    pictures = torch.randn(2, 3, 64, 64)
    expected, logits = plain(pictures), folded(pictures)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)
    expected.square().sum().backward()
    logits.square().sum().backward()
    gradients = dict(folded.named_parameters())
    for parameter_name, parameter in plain.named_parameters():
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(
            gradients[parameter_name].grad, parameter.grad, rtol=2e-3, atol=2e-3 * scale + 1e-5
        )


# Sides that leave TensorFlow's padding one pixel more behind than in front, none more, and different ones.
@pytest.mark.parametrize(("height", "width"), [(64, 64), (63, 63), (64, 63), (66, 70)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_tensorflows_padding_without_a_padded_copy_gives_the_same_sums(
    kernel: int, height: int, width: int
) -> None:
    torch.manual_seed(0)
    convolution = Conv2dSame(6, 6, kernel, stride=2, groups=6, bias=False)
    plain = nn.Sequential(convolution, nn.BatchNorm2d(6)).eval()
    nn.init.uniform_(plain[1].running_var, 0.5, 2)
    folded = copy.deepcopy(plain)
    folded[0] = FoldedConv2dSame(6, 6, kernel, stride=2, groups=6, bias=False).eval()
    folded[0].weight, folded[0].norm = convolution.weight, (plain[1],)
    pictures = torch.randn(2, 6, height, width).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(folded[0](pictures), plain(pictures), rtol=1e-5, atol=1e-5)


def test_names_and_values_are_untouched() -> None:
    plain = network("test_efficientnet")
    folded = copy.deepcopy(plain)
    fold_batch_norms(folded)
    assert list(folded.state_dict()) == list(plain.state_dict())
    assert all(
        torch.equal(a, b)
        for a, b in zip(folded.state_dict().values(), plain.state_dict().values(), strict=True)
    )


def test_in_training_mode_a_folded_norm_uses_its_batch() -> None:
    plain = network("test_efficientnet")
    folded = copy.deepcopy(plain)
    fold_batch_norms(folded)
    pictures = torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(folded.train()(pictures), plain.train()(pictures))
    torch.testing.assert_close(folded.bn1.running_mean, plain.bn1.running_mean)


def test_a_copy_folds_its_own_norms() -> None:
    folded = network("test_efficientnet")
    fold_batch_norms(folded)
    twin = copy.deepcopy(folded)
    pictures = torch.randn(1, 3, 64, 64)
    before = folded(pictures)
    nn.init.zeros_(twin.bn1.weight)
    torch.testing.assert_close(folded(pictures), before)
    assert not torch.allclose(twin(pictures), before)


def test_a_network_without_batch_norms_is_left_alone() -> None:
    transformer = timm.create_model("test_vit", num_classes=5)
    assert fold_batch_norms(transformer, size=160) == 0


def test_a_convolution_that_is_used_twice_is_not_folded() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, bias=False)
            self.norm = nn.BatchNorm2d(4)
            nn.init.constant_(self.norm.running_mean, 0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made = self.conv(x)
            return (self.norm(made) + made).mean((2, 3))

    twice = Twice().eval()
    pictures = torch.randn(1, 3, 64, 64)
    before = twice(pictures)
    assert fold_batch_norms(twice) == 0
    torch.testing.assert_close(twice(pictures), before)
