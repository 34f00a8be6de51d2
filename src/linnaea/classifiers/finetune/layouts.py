"""How each family's paper lays out its table: which modules make a row, and what it is called."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from torch import nn

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
