"""A live network → the table that papers print: stage, operator, sizes, parameters, multiply-adds.

Nothing is read from a list: sizes are those of a picture that is sent through on torch's meta device
(shapes without numbers), so the table is the network's own, whatever was built.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import torch
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from linnaea.errors import LinnaeaError

Size = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    stage, operator: str
        In the words of the family's paper (`NetworkTable.layout`).
    input_size, output_size: tuple of int
        (channels, height, width) of one picture; (features,) after pooling; of one repeat where rows repeat.
    repeats: int
        How many times the operator stands there in a row (n in the MobileNetV2 paper).
    parameters, multiply_adds: int
        Of all repeats together; parameters with biases and batch-norm's scales and shifts,
        multiply-adds of convolutions, dense layers and attention for one picture.
    stride: int or None
        How many times smaller the output's sides are than the input's; None where one of them has no sides.
    expansion: int or None
        By how much a bottleneck widens its input (t in the MobileNetV2 paper); None for anything else.
    """

    stage: str
    operator: str
    input_size: Size
    output_size: Size
    repeats: int
    parameters: int
    multiply_adds: int
    stride: int | None = None
    expansion: int | None = None


@dataclass(frozen=True)
class Measured:
    """What one module (by its name) was seen to do with one picture."""

    input_size: Size
    output_size: Size
    multiply_adds: int


Measures = dict[str, Measured]


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
    rows = ROWS[layout](network, measured)
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
    if not isinstance(network, EfficientNet) or not is_bottlenecked(network):
        return "modules"
    return "mobilenetv1" if is_separable(network) else "mobilenetv2"


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


def _row(
    network: nn.Module,
    measured: Measures,
    names: Sequence[str],
    stage: str,
    operator: str,
    repeats: int = 1,
    expansion: int | None = None,
) -> Row:
    """Return the row of some modules, which work one after the other."""
    seen = [measured[name] for name in names if name in measured]
    first, last = seen[0].input_size, seen[-1].output_size
    return Row(
        stage,
        operator,
        first,
        last,
        repeats,
        sum(p.numel() for name in names for p in network.get_submodule(name).parameters()),
        sum(one.multiply_adds for one in seen),
        stride=round(first[-1] / last[-1]) if len(first) == len(last) == 3 else None,
        expansion=expansion,
    )


def resnet_rows(network: Any, measured: Measures) -> list[Row]:
    """conv1, conv2_x … conv5_x, then the pool and the dense layers (He et al. 2015, Table 1)."""
    rows = [_row(network, measured, ["conv1", "bn1"], "conv1", "; ".join(_convolutions(network.conv1)))]
    for number in range(1, 5):
        name, stage = f"layer{number}", f"conv{number + 1}_x"
        layer = network.get_submodule(name)
        # The first block has its own stride and shortcut; the paper names what all of them share.
        operator = f"[{'; '.join(_convolutions(layer[-1]))}] ×{len(layer)}"
        if number == 1 and isinstance(network.maxpool, nn.MaxPool2d):
            operator = f"3×3 max pool, stride 2; {operator}"
        names = ["maxpool", name] if number == 1 else [name]
        rows.append(_row(network, measured, names, stage, operator))
    operator = ", ".join(["average pool", *_dense(network.fc)])
    return [*rows, _row(network, measured, ["global_pool", "fc"], "fc", operator)]


def mobilenetv1_rows(network: Any, measured: Measures) -> list[Row]:
    """One row a convolution, equal neighbours folded (Howard et al. 2017, Table 1)."""
    rows = [_row(network, measured, ["conv_stem", "bn1"], *_filter(network.conv_stem))]
    pairs = []
    for name in (f"blocks.{i}.{j}" for i, stage in enumerate(network.blocks) for j in range(len(stage))):
        block = network.get_submodule(name)
        depthwise = [f"{name}.{part}" for part in ("conv_dw", "bn1", "aa", "se") if hasattr(block, part)]
        pointwise = [f"{name}.{part}" for part in ("conv_pw", "bn2")]
        parts = (depthwise, block.conv_dw), (pointwise, block.conv_pw)
        pairs.append([_row(network, measured, names, *_filter(layer)) for names, layer in parts])
    for pair, equal in groupby(pairs):
        times = len(list(equal))
        rows += [_repeated(row, times) for row in pair]
    if isinstance(network.conv_head, nn.Conv2d):
        rows.append(_row(network, measured, ["conv_head", "bn2"], *_filter(network.conv_head)))
    sides = _sides(measured["global_pool"].input_size, " × ")
    rows.append(_row(network, measured, ["global_pool"], "Avg Pool / s1", f"Pool {sides}"))
    layers = [layer for layer in network.classifier.modules() if isinstance(layer, nn.Linear)]
    if layers:
        shapes = ", ".join(f"{layer.in_features} × {layer.out_features}" for layer in layers)
        rows.append(_row(network, measured, ["classifier"], "FC / s1", shapes))
    return rows


def mobilenetv2_rows(network: Any, measured: Measures) -> list[Row]:
    """One row a stage with t, c, n, s (Sandler et al. 2018, Table 2)."""
    rows = [_row(network, measured, ["conv_stem", "bn1"], "stem", f"conv2d {_kernel(network.conv_stem)}")]
    for number, stage in enumerate(network.blocks):
        name, first = f"blocks.{number}", stage[0]
        rows.append(_row(network, measured, [name], name, _bottleneck(first), len(stage), _expansion(first)))
    if isinstance(network.conv_head, nn.Conv2d):
        operator = f"conv2d {_kernel(network.conv_head)}"
        rows.append(_row(network, measured, ["conv_head", "bn2"], "head", operator))
    sides = _sides(measured["global_pool"].input_size, "×")
    rows.append(_row(network, measured, ["global_pool"], "pool", f"avgpool {sides}"))
    if _dense(network.classifier):
        operator = ", ".join(_dense(network.classifier))
        rows.append(_row(network, measured, ["classifier"], "classifier", operator))
    return rows


def module_rows(network: nn.Module, measured: Measures) -> list[Row]:
    """One row a part that has or does something; a sequence of parts is opened by one level."""
    names: list[str] = []
    for name, child in network.named_children():
        opened = isinstance(child, (nn.Sequential, nn.ModuleList)) and len(child) > 1
        names += [f"{name}.{inner}" for inner, _ in child.named_children()] if opened else [name]
    rows = [
        _row(network, measured, [name], name, type(network.get_submodule(name)).__name__)
        for name in names
        if name in measured
    ]
    rows = [row for row in rows if row.parameters or row.multiply_adds or row.input_size != row.output_size]
    # What no row holds: tokens and position tables of the network itself, parts that return several tensors.
    whole = measured[""]
    parameters = sum(p.numel() for p in network.parameters()) - sum(row.parameters for row in rows)
    multiply_adds = whole.multiply_adds - sum(row.multiply_adds for row in rows)
    if parameters or multiply_adds:
        sizes = whole.input_size, whole.output_size
        rows.append(Row("(rest)", type(network).__name__, *sizes, 1, parameters, multiply_adds))
    return rows


ROWS = {
    "resnet": resnet_rows,
    "mobilenetv1": mobilenetv1_rows,
    "mobilenetv2": mobilenetv2_rows,
    "modules": module_rows,
}


def is_separable(network: Any) -> bool:
    """Tell whether every block is a depthwise and a pointwise convolution: a MobileNetV1."""
    return all(
        type(block).__name__ == "DepthwiseSeparableConv" for stage in network.blocks for block in stage
    )


def is_bottlenecked(network: Any) -> bool:
    """Tell whether every block has one kernel and one width, as rows with t, c, n, s need."""
    return all(isinstance(_main_layer(block), nn.Conv2d) for stage in network.blocks for block in stage)


def _repeated(row: Row, times: int) -> Row:
    parameters, multiply_adds = row.parameters * times, row.multiply_adds * times
    return replace(row, repeats=times, parameters=parameters, multiply_adds=multiply_adds)


def _main_layer(block: Any) -> nn.Module | None:
    """Return the convolution that looks at neighbours."""
    return next(
        (getattr(block, name) for name in ("conv_dw", "conv_exp", "conv") if hasattr(block, name)), None
    )


def _sides(size: Size, times: str) -> str:
    return times.join(str(side) for side in size[1:])


def _kernel(layer: Any) -> str:
    return "×".join(str(side) for side in layer.kernel_size)


def _convolutions(module: nn.Module) -> list[str]:
    """Return "3×3, 64" for each convolution, its stride where it is not 1; shortcuts are left out."""
    return [
        f"{_kernel(layer)}, {layer.out_channels}"
        + (f", stride {layer.stride[0]}" if layer.stride[0] > 1 else "")
        + (f", C={layer.groups}" if layer.groups > 1 else "")
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d) and not name.startswith(("downsample", "se"))
    ]


def _filter(layer: nn.Conv2d) -> tuple[str, str]:
    """Return the MobileNet paper's "Type / Stride" and "Filter Shape"."""
    kernel, stride = " × ".join(str(side) for side in layer.kernel_size), layer.stride[0]
    if layer.groups > 1:
        return f"Conv dw / s{stride}", f"{kernel} × {layer.out_channels} dw"
    return f"Conv / s{stride}", f"{kernel} × {layer.in_channels} × {layer.out_channels}"


def _bottleneck(block: Any) -> str:
    squeeze = getattr(block, "se", None)
    excited = squeeze is not None and not isinstance(squeeze, nn.Identity)
    return f"bottleneck {_kernel(_main_layer(block))}{', squeeze-excite' if excited else ''}"


def _expansion(block: Any) -> int:
    """Return t: by how much the block widens its input before the depthwise convolution; 1 for none."""
    # In a depthwise separable block conv_pw comes after the depthwise convolution, and narrows.
    if type(block).__name__ == "DepthwiseSeparableConv":
        return 1
    wide = getattr(block, "conv_pw", None) or getattr(block, "conv_exp", None)
    return round(wide.out_channels / wide.in_channels) if wide is not None else 1


def _dense(head: nn.Module) -> list[str]:
    return [f"{layer.out_features}-d fc" for layer in head.modules() if isinstance(layer, nn.Linear)]
