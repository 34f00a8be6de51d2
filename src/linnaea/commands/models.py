"""linnaea models: which networks can be fine-tuned, and where their weights come from."""

from typing import Any, Literal

from linnaea.commands import terminal
from linnaea.errors import UsageError


def models(*, search: str = "", format: Literal["table", "json"] = "table") -> list[dict[str, Any]]:
    """List the networks that --model accepts, by short name or by a search word.

    Parameters
    ----------
    search
        Part of a name, such as mobilenet; without it, the short names are listed.
    format
        Output format: table for people, json for programs.
    """
    from linnaea.classifiers.finetune.short_names import SHORT_NAMES

    names = [name for name in SHORT_NAMES if search.lower() in name]
    if search:
        # A second's import, which the short names do without.
        import timm

        # timm has an efficientnet_lite0 too; under that name --model takes the short name's.
        matching = timm.list_models(f"*{search.lower()}*")
        names += [name for name in matching if name not in SHORT_NAMES]
    if not names:
        raise UsageError(f"No network's name contains '{search}'.", "linnaea models lists the short names.")
    rows = [_row(name) for name in names]
    if format == "json":
        terminal.print_json(rows)
        return rows
    table = terminal.new_table()
    table.add_column("name", no_wrap=True)
    table.add_column("pixels", justify="right")
    table.add_column("weights", no_wrap=True)
    for row in rows:
        table.add_row(row["name"], str(row["size"]), row["weights"])
    terminal.results.print(table)
    if not search:
        terminal.print_line("", "and more than a thousand of timm's: linnaea models --search WORD")
    return rows


def _row(name: str) -> dict[str, Any]:
    """Return one network as plain values: name, timm's name, the side of its pictures, its weights."""
    from linnaea.classifiers.finetune.short_names import KNOWN, PACKAGED

    if name in KNOWN:
        known = KNOWN[name]
        weights = "installed with Linnaea" if known.timm == PACKAGED else f"hub: timm/{known.weights}"
        return {"name": name, "timm": known.timm, "size": known.size, "weights": weights}
    from linnaea.classifiers.finetune.backbones import resolve

    backbone = resolve(name)
    config = backbone.config
    if config.has_weights:
        weights = f"hub: {config.hf_hub_id}" if config.hf_hub_id else f"{config.url}"
    else:
        weights = "none; pass --weights FILE"
    return {"name": name, "timm": backbone.timm_name, "size": config.input_size[-1], "weights": weights}
