"""linnaea relabel: the user's decisions on labels, written into a new table."""

from pathlib import Path

from linnaea import text
from linnaea.commands import terminal
from linnaea.errors import DataError, UsageError


def relabel(
    data: str,
    decisions: Path,
    /,
    *,
    out: Path | None = None,
    data_dir: Path | None = None,
    layout: str | None = None,
    label_column: str | None = None,
) -> Path:
    """Write a new table of a data set, with corrected labels.

    Nothing that exists is changed: neither the pictures nor their folders, nor an older table.

    Parameters
    ----------
    data
        Data set whose labels are corrected: flowers102, a folder, or a CSV.
    decisions
        CSV with the columns path and label, as saved by label_issues.html. An empty label leaves the picture
        out.
    out
        New CSV, for `linnaea train`. Default: the name of the data and -relabelled.csv, in the current
        folder.
    data_dir
        Folder of a named data set. Default: the cache.
    layout
        Meaning of the levels of folders, as it was given to `linnaea train`.
    label_column
        Column of the CSV with the classes, likewise.
    """

    from linnaea import files
    from linnaea.data import sources
    from linnaea.data.decisions import read_decisions, relabelled

    dataset = sources.open_dataset(data, data_dir=data_dir, layout=layout, label_column=label_column)
    target = out or Path(f"{dataset.name}-relabelled.csv")
    if target.suffix.lower() != ".csv":
        raise UsageError(
            f"{target} does not end in .csv.", "linnaea train recognises a table by that ending."
        )
    new = relabelled(dataset, read_decisions(decisions, dataset), target)
    if target.exists():
        raise DataError(f"{target} exists already.", text.elsewhere())
    files.write_text(target, new.text)
    summary = f"{new.changed:,} changed · {new.confirmed:,} confirmed · {new.left_out:,} left out"
    emptied = f"no picture is left of: {', '.join(new.emptied)}"
    terminal.print_line("Labels", summary, *([emptied] if new.emptied else []))
    typed = text.command("linnaea", "train", terminal.shown_path(target))
    terminal.print_line("Table", f"{terminal.shown_path(target)} · train on it: {typed}")
    return target
