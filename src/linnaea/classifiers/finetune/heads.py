"""What stands on a backbone: from pooled features to one logit a class."""

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from linnaea.classifiers.finetune.backbones import classifier_name, feature_width
from linnaea.errors import SettingError


def build_head(
    features: int, classes: int, hidden: int | None = None, dropout: float = 0.2, *, seed: int = 0
) -> nn.Sequential:
    """Return the head: features (n, features) → logits (n, classes). Softmax is left to the loss.

    features: int
        Width of the pooled features; the backbone's global average pool comes before the head.
    hidden: int or None
        Units of a dense layer with ReLU before the dropout; None for no such layer.
    dropout: float
        Share of the inputs of the last layer that training sets to zero, 0 or more and below 1.
    seed: int
        Of the first weights: normal with deviation 0.01 and no bias for the last layer, so that at first
        all classes are about equally likely (loss ln(classes)); He et al. 2015 for the hidden layer.

    The original report's heads are `build_head(1280, classes)` for MobileNet (dropout 0.2, dense) and
    `build_head(2048, classes, hidden=30)` for ResNet50 (dense 30 ReLU, dropout 0.2, dense).
    Raises SettingError for a size below 1 or a dropout outside its range.
    """
    for name, value in (("features", features), ("classes", classes), ("head_hidden", hidden)):
        if value is not None and value < 1:
            raise SettingError(f"A head cannot be built with {name} = {value}.", "Pass 1 or more.")
    if not 0 <= dropout < 1:
        raise SettingError(f"A dropout of {dropout} is not possible.", "Pass 0 or more and less than 1.")
    generator = torch.Generator().manual_seed(seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if hidden is not None:
        layers["hidden"] = _dense(features, hidden, deviation=(2 / features) ** 0.5, generator=generator)
        layers["act"] = nn.ReLU()
    layers["dropout"] = nn.Dropout(dropout)
    layers["logits"] = _dense(hidden or features, classes, deviation=0.01, generator=generator)
    return nn.Sequential(layers)


def attach_head(network: Any, head: nn.Module) -> Any:
    """Put head where the network's classifier layer stands, and return the network.

    The features before it are pooled: (n, network.num_features) or (n, network.head_hidden_size).
    """
    network.set_submodule(classifier_name(network), head)
    return network


def put_head(network: Any, classes: int, hidden: int | None, dropout: float, seed: int) -> None:
    """Put a new head where the network's classifier stands, on the network's device."""
    where = next(network.parameters()).device
    _pool_all_tokens(network)
    head = build_head(feature_width(network), classes, hidden, dropout, seed=seed)
    attach_head(network, head.to(where))
    network.num_classes = classes


def pool_as_learned(network: Any, arrays: Mapping[str, Any], prefix: str = "") -> None:
    """Let a transformer's head see the class token alone where the one in these arrays was made for that.

    arrays: name → what has a shape; the head's names begin with prefix. Earlier versions knew no other.
    """
    head = f"{prefix}{classifier_name(network)}"
    first = arrays.get(f"{head}.hidden.weight", arrays.get(f"{head}.logits.weight"))
    if isinstance(network, VisionTransformer) and first is not None and first.shape[1] == network.embed_dim:
        transformer: Any = network
        transformer.class_token_alone = True
        transformer.__dict__.pop("pool", None)
        transformer.head_hidden_size = network.embed_dim


def _pool_all_tokens(network: Any) -> None:
    """Let the head of a transformer see the mean of the patches beside the class token.

    Of ViT-Tiny, a linear probe's validation accuracy rises from 97.5 to 98.0 % on Flowers-102, from 87.5 to
    91.8 % on waste and from 86.9 to 91.3 % on hands (python -m benchmarks pooling).
    """
    is_transformer = isinstance(network, VisionTransformer)
    if is_transformer and network.global_pool == "token" and not hasattr(network, "class_token_alone"):
        network.pool = partial(_class_token_and_mean, prefix=network.num_prefix_tokens)
        network.head_hidden_size = 2 * network.embed_dim


def _class_token_and_mean(tokens: Tensor, prefix: int) -> Tensor:
    """Return (n, 2 * width) of tokens (n, prefix + patches, width), each half standardised.

    The mean is smaller than a token: a probe, which punishes large weights, would hardly use it.
    """
    halves = tokens[:, 0], tokens[:, prefix:].mean(dim=1)
    return torch.cat([nn.functional.layer_norm(half, half.shape[-1:]) for half in halves], dim=1)


def logits_layer(network: Any) -> nn.Linear:
    """Return the dense layer that makes the logits."""
    return network.get_classifier().logits


def _dense(inputs: int, outputs: int, deviation: float, generator: torch.Generator) -> nn.Linear:
    # Made without torch's own first weights, which would draw from its global generator.
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    nn.init.normal_(layer.weight, std=deviation, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
