"""linnaea check: what is wrong with a data set, before any training."""

from pathlib import Path
from typing import Any, Literal

from linnaea.commands import terminal


def check(
    data: str, /, *, data_dir: Path | None = None, format: Literal["table", "json"] = "table"
) -> list[Any]:
    """Find a data set's problems before any training.

    Parameters
    ----------
    data
        digits, mnist, a folder of class folders, or a CSV.
    data_dir
        Where a named data set lies.
    format
        table for people; json for programs: a list of {"kind", "severity", "paths", "message"}.
    """
    from linnaea.data.problems import scan
    from linnaea.data.sources import open_dataset

    dataset = open_dataset(data, data_dir=data_dir)
    found = scan(dataset)
    if format == "json":
        told = [
            {"kind": p.kind, "severity": p.severity, "paths": list(p.paths), "message": p.message}
            for p in found
        ]
        terminal.print_json(told)
        return found
    terminal.say("Data", f"{dataset.source} · {len(dataset):,} pictures · {len(dataset.class_names)} classes")
    for problem in found:
        terminal.say(problem.severity.capitalize(), problem.message)
    if not found:
        terminal.say("Check", "nothing found")
    return found
