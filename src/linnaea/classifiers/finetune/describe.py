"""A live network → the table that papers print: stage, operator, sizes, parameters, multiply-adds.

Nothing is read from a list: sizes are those of a picture that is sent through on torch's meta device
(shapes without numbers), so the table is the network's own, whatever was built.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from linnaea.classifiers.finetune import layouts
from linnaea.classifiers.finetune.layouts import Measured, Measures, Row, Size
from linnaea.errors import LinnaeaError


@dataclass(frozen=True)
class NetworkTable:
    """The table of a network.

    layout: str
        "resnet": as Table 1 of He et al. 2015, arXiv 1512.03385. "mobilenetv1": as Table 1 of Howard et al.
        2017, arXiv 1704.04861. "mobilenetv2": as Table 2 of Sandler et al. 2018, arXiv 1801.04381, also for
        EfficientNet. "modules": the network's own parts, for every other family.
    size: int
        Side of the square picture, in pixels.
    parameters, multiply_adds: int
        Totals: the sums of the rows.
    """

    architecture: str
    layout: str
    size: int
    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int

    def as_dict(self) -> dict[str, Any]:
        """Return the table as plain JSON values."""
        return asdict(self)


def describe_network(network: nn.Module, size: int = 224) -> NetworkTable:
    """Return the table of a live network for one picture of size x size; the network is left as it was.

    Raises LinnaeaError where the network does not accept pictures of that size.
    """
    measured = _measure(network, size)
    layout = _layout(network)
    rows = layouts.ROWS[layout](network, measured)
    return NetworkTable(
        architecture=str(getattr(network, "default_cfg", {}).get("architecture", type(network).__name__)),
        layout=layout,
        size=size,
        rows=tuple(rows),
        parameters=sum(row.parameters for row in rows),
        multiply_adds=sum(row.multiply_adds for row in rows),
    )


def _layout(network: nn.Module) -> str:
    """Return the name of the layout whose parts the network has; "modules" fits all."""
    if isinstance(network, ResNet):
        return "resnet"
    if not isinstance(network, EfficientNet) or not layouts.is_bottlenecked(network):
        return "modules"
    return "mobilenetv1" if layouts.is_separable(network) else "mobilenetv2"


def _measure(network: nn.Module, size: int) -> Measures:
    """Send one picture without numbers through the network and note what each module did with it."""
    sizes: dict[str, tuple[Size, Size]] = {}

    def noting(name: str) -> Any:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs and isinstance(inputs[0], torch.Tensor) and isinstance(output, torch.Tensor):
                sizes[name] = tuple(inputs[0].shape[1:]), tuple(output.shape[1:])

        return note

    modules = dict(network.named_modules())
    was_training = [module for module in modules.values() if module.training]
    hooks = [module.register_forward_hook(noting(name)) for name, module in modules.items()]
    # Weights are exchanged for meta tensors during the call only: no copy of the network is made.
    state = {name: tensor.to("meta") for name, tensor in network.state_dict(keep_vars=True).items()}
    state |= {name: buffer.to("meta") for name, buffer in network.named_buffers()}
    picture = torch.empty(1, 3, size, size, device="meta")
    try:
        network.eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            torch.func.functional_call(network, state, (picture,))
    except (RuntimeError, AssertionError, ValueError) as error:
        own = getattr(network, "default_cfg", {}).get("input_size", (3, 224, 224))[-1]
        raise LinnaeaError(
            f"The network does not accept pictures of {size} pixels a side ({error}).",
            f"Pass --size {own}, which it was made for.",
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
        for module in was_training:
            module.training = True
    flops = counter.get_flop_counts()
    root = type(network).__name__
    # torch counts a multiplication and an addition as two operations; papers on these networks as one.
    return {
        name: Measured(*sides, sum(flops.get(f"{root}.{name}" if name else root, {}).values()) // 2)
        for name, sides in sizes.items()
    }
