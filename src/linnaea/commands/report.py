"""linnaea report: draw the page of a run, or of repeats or folds, again."""

from pathlib import Path

from linnaea.commands import terminal
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup


def report(run: Path, /) -> Path:
    """Draw the report of a run again, from its run folder alone.

    Of repeats or folds: the page of all, the page of each, and the page of label issues.

    Parameters
    ----------
    run
        Run folder, or folder of repeats or folds.
    """
    page = _group_page(RunGroup.open_group(run)) if RunGroup.is_group(run) else _page(RunFolder.open(run))
    terminal.print_line("Report", terminal.shown_path(page))
    return page


def _page(run: RunFolder) -> Path:
    from linnaea.report.page import build_report

    return build_report(run)


def _group_page(group: RunGroup) -> Path:
    from linnaea.commands.repeating import sum_up
    from linnaea.report.groups import build_group
    from linnaea.report.label_issues import build_label_issues
    from linnaea.report.page import build_report

    if group.label_issues.with_suffix(".csv").exists() or group.info.label_issues is not None:
        build_label_issues(group)
    for run in group.runs():
        build_report(run)
    # Last: it links to the others. Summed up anew: one of them may have been continued by itself.
    sum_up(group)
    return build_group(group)
