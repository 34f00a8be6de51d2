"""linnaea describe: a network's table, as papers print it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from linnaea.commands import terminal
from linnaea.errors import SettingError
from linnaea.text import option

if TYPE_CHECKING:
    from linnaea.classifiers.finetune.describe import NetworkTable, Row, Size

# Which columns each layout's paper prints, ours (parameters, multiply-adds) behind them.
COLUMNS = {
    "resnet": ("stage", "sides", "operator"),
    "mobilenetv1": ("type / stride", "filter shape", "input", "n"),
    "mobilenetv2": ("input", "operator", "t", "c", "n", "s", "output"),
    "modules": ("stage", "operator", "input", "output"),
}


def describe(model: str, /, *, size: int = 224, format: Literal["table", "json"] = "table") -> Any:
    """Print a network's table as in papers: stages, sizes, parameters, multiply-adds.

    The table is measured on the network itself; no weights are loaded and nothing is computed. From Python
    the same table is returned, a NetworkTable.

    Parameters
    ----------
    model
        Backbone: a short name (see `linnaea models`) or the name of any network in timm.
    size
        Side of the square picture, in pixels. Default: 224.
    format
        Output format: table for people, json for programs.
    """
    if size < 1:
        raise SettingError(
            f"A picture cannot be {size} pixels a side.", f"Pass {option('size')} with 1 or more."
        )
    # Heavy imports wait until the command is really called: --help answers at once.
    import torch

    from linnaea.classifiers.finetune.backbones import build_backbone
    from linnaea.classifiers.finetune.describe import describe_network

    # On the meta device a network has shapes but no numbers: nothing to allocate, even for a large one.
    with torch.device("meta"):
        network = build_backbone(model, weights="none").network
    table = describe_network(network, size)
    if format == "json":
        terminal.print_json(table.as_dict())
    else:
        terminal.results.print(_drawn(table))
    return table


def millions(number: float) -> str:
    """Return 25557032 as "25.6 M" and 4089184256 as "4.09 G": three figures, as papers print them."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 0.9995 * unit:
            value = number / unit
            return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {name}"
    return str(number)


def _drawn(table: "NetworkTable") -> Any:
    columns = COLUMNS[table.layout]
    title = f"{table.architecture} · one picture of {table.size} × {table.size}"
    drawn = terminal.new_table(show_footer=True, title=title, title_justify="left")
    numbers = ("n", "t", "c", "s")
    for heading in columns:
        footer = "total" if heading == columns[0] else ""
        drawn.add_column(heading, footer, justify="right" if heading in numbers else "left")
    drawn.add_column("parameters", millions(table.parameters), justify="right")
    drawn.add_column("mult-adds", millions(table.multiply_adds), justify="right")
    for row in table.rows:
        cells = [_CELLS[heading](row) for heading in columns]
        drawn.add_row(*cells, millions(row.parameters), millions(row.multiply_adds))
    return drawn


def _size(size: "Size") -> str:
    """Return (64, 56, 56) as "56×56×64", the order of the papers; (1000,) as "1000"."""
    return "×".join(str(side) for side in (*size[1:], size[0]))


def _plain(value: int | None) -> str:
    return "–" if value is None else str(value)


_CELLS: dict[str, "Callable[[Row], str]"] = {
    "stage": lambda row: row.stage,
    "type / stride": lambda row: row.stage,
    "operator": lambda row: row.operator,
    "filter shape": lambda row: row.operator,
    "input": lambda row: _size(row.input_size),
    "output": lambda row: _size(row.output_size),
    # Table 1 of the ResNet paper gives heights and widths; the operators tell the channels.
    "sides": lambda row: "×".join(str(side) for side in row.output_size[1:]) or "1×1",
    "t": lambda row: _plain(row.expansion),
    "c": lambda row: str(row.output_size[0]),
    "n": lambda row: str(row.repeats),
    "s": lambda row: _plain(row.stride),
}
