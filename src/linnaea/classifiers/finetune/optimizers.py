"""Which parameters are trained, at which rate, by which solver; and the average of their weights."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from timm.models import group_parameters
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from linnaea.errors import SettingError

_LISTED = 20  # stages that an error lists one by one


def stages(network: Any) -> list[str]:
    """Return the network's parts in the order of the forward pass: "conv_stem", "blocks.0", …, "classifier".

    A part that is a numbered row of parts (blocks, layers) is listed by its members.
    """
    names = []
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential) and any(grand.isdigit() for grand, _ in child.named_children()):
            names += [f"{name}.{grand}" for grand, _ in child.named_children()]
        else:
            names.append(name)
    return [name for name in names if any(True for _ in network.get_submodule(name).parameters())]


def choose_trained(network: Any, train_from: str) -> list[str]:
    """Set requires_grad: "all", "head" (the classifier layer only), or everything from the named stage on.

    Returns the names of the parameters that are trained. Raises SettingError for a stage it does not have.
    """
    order = stages(network)
    head = network.pretrained_cfg["classifier"]
    if train_from not in ("all", "head", *order, *_parents(order)):
        # A deep network has fifty: then the rows that they are in.
        known = ["all", "head", *(order if len(order) <= _LISTED else _parents(order))]
        raise SettingError(f"The network has no stage '{train_from}'.", f"Its stages: {', '.join(known)}.")
    # "blocks" means from its first member on, "blocks.4" from that one.
    found = (i for i, name in enumerate(order) if _within(name, train_from) or _within(train_from, name))
    first = {"all": 0, "head": len(order)}.get(train_from)
    first = next(found) if first is None else first
    trained = []
    for name, parameter in network.named_parameters():
        place = next((i for i, stage in enumerate(order) if _within(name, stage)), 0)
        asked = place >= first or train_from == "all" or _within(name, head)
        parameter.requires_grad_(asked)
        if asked:
            trained.append(name)
    return trained


def _within(name: str, stage: str) -> bool:
    return name == stage or name.startswith(stage + ".")


def _parents(order: list[str]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in order))


def parameter_groups(network: Any, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Return groups with `weight_decay` and `lr_scale` = layer_decay^(layers above), by timm's group_matcher.

    Weight decay spares norms and biases, whatever has one dimension (He et al. 2019, arXiv 1812.01187,
    section 3.1). Layer-wise rates: Bao et al. 2022, arXiv 2106.08254; the head has scale 1.
    """
    return param_groups_layer_decay(
        network,
        weight_decay=weight_decay,
        no_weight_decay_list=getattr(network, "no_weight_decay", set)(),
        layer_decay=layer_decay,
    )


def layers(network: Any) -> int:
    """Return how many layers group_matcher tells apart, the head included."""
    return len(group_parameters(network, network.group_matcher(coarse=False)))


def build_optimizer(
    network: Any,
    *,
    solver: str,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    layer_decay: float,
) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019) or SGD with Nesterov momentum over the trained parameters.

    One fused kernel updates all parameters where torch has one for their device, else its foreach form.
    """
    groups = parameter_groups(network, weight_decay, layer_decay)
    if solver == "adamw":
        build: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW
        settings: dict[str, Any] = {}
    else:
        build = torch.optim.SGD
        settings = {"momentum": momentum, "nesterov": momentum > 0}
    try:
        return build(groups, lr=learning_rate, fused=True, **settings)
    except (RuntimeError, TypeError):
        return build(groups, lr=learning_rate, foreach=True, **settings)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of this step: the head's; every other group takes its share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


class WeightAverage:
    """shadow ← d·shadow + (1 - d)·weights after every step, with d = min(decay, (1 + t)/(10 + t)) at step t.

    Polyak and Juditsky 1992, as exponential average; the slow start is TensorFlow's: without it the first
    hundred steps would hold on to the weights from before training. Batch-norm statistics are averaged alike.

    network: Module
        Whose parameters and floating buffers are averaged.
    decay: float
        Between 0 and 1. 1/(1 - decay) steps are about the memory of the average.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        # state_dict lends the network's own memory, so these stay the weights of the moment.
        live = {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
        self.shadow: dict[str, Tensor] = {name: tensor.clone() for name, tensor in live.items()}
        self._live = live

    @torch.no_grad()
    def update(self, names: Iterable[str] | None = None) -> None:
        """Take in the weights after one more step.

        names: of those that the step can have changed; None: all. The average of the others stays the same.
        """
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        names = list(self.shadow if names is None else names)
        pair = [self.shadow[name] for name in names], [self._live[name] for name in names]
        get_ema_multi_avg_fn(decay)(*pair, None)

    @torch.no_grad()
    def resume(self, shadow: dict[str, Tensor], steps: int) -> None:
        """Take back an average that was made earlier, after so many steps."""
        self.steps = steps
        for name, tensor in self.shadow.items():
            tensor.copy_(shadow[name])
