"""linnaea models: which networks can be fine-tuned, and where their weights come from."""

from typing import Any, Literal

from linnaea.commands import terminal
from linnaea.errors import UsageError


def models(*, search: str = "", format: Literal["table", "json"] = "table") -> list[dict[str, Any]]:
    """List the networks that --model accepts: those auto chooses from, and others by short name.

    Parameters
    ----------
    search
        Part of a name, such as mobilenet; without it, the short names are listed.
    format
        Output format: table for people, json for programs.
    """
    from linnaea.classifiers.finetune.short_names import CANDIDATES, SHORT_NAMES

    chosen_from = [candidate.name for candidate in CANDIDATES]
    others = [name for name in SHORT_NAMES if name not in chosen_from]
    names = [name for name in [*chosen_from, *others] if search.lower() in name]
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
    tried, by_name = ([row for row in rows if bool(row["purpose"]) is auto] for auto in (True, False))
    if tried:
        terminal.results.print("--model auto, the default, takes the best of these for your pictures:\n")
        _print_table(tried, "purpose")
        terminal.results.print()
    if tried and by_name:
        terminal.results.print("By name only:\n")
    if by_name:
        _print_table(by_name, "weights")
    if not search:
        terminal.print_line("", "and more than a thousand of timm's: linnaea models --search WORD")
    return rows


def _print_table(rows: list[dict[str, Any]], last: str) -> None:
    table = terminal.new_table()
    table.add_column("name", no_wrap=True)
    table.add_column("pixels", justify="right")
    table.add_column("MB", justify="right")
    table.add_column(last, no_wrap=True)
    for row in rows:
        megabytes = "–" if row["megabytes"] is None else str(row["megabytes"])
        table.add_row(row["name"], str(row["size"]), megabytes, row[last])
    terminal.results.print(table)


def _row(name: str) -> dict[str, Any]:
    """Return one network as plain values.

    name, timm's name, the side of its pictures, its weights and their size in megabytes; purpose: what it is
    there for where --model auto chooses from it, else None.
    """
    from linnaea.classifiers.finetune.short_names import CANDIDATES, KNOWN, PACKAGED

    if name in KNOWN:
        known = KNOWN[name]
        return {
            "name": name,
            "timm": known.timm,
            "size": known.size,
            "megabytes": known.megabytes,
            "weights": "installed with Linnaea" if known.timm == PACKAGED else f"hub: timm/{known.weights}",
            "purpose": next((each.purpose for each in CANDIDATES if each.name == name), None),
        }
    from linnaea.classifiers.finetune.backbones import resolve

    backbone = resolve(name)
    config = backbone.config
    if config.has_weights:
        weights = f"hub: {config.hf_hub_id}" if config.hf_hub_id else f"{config.url}"
    else:
        weights = "none; pass --weights FILE"
    row = {"name": name, "timm": backbone.timm_name, "size": config.input_size[-1], "megabytes": None}
    return row | {"weights": weights, "purpose": None}
