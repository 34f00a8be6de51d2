"""linnaea report: draw a run's page again."""

from pathlib import Path

from linnaea.commands import terminal
from linnaea.runs.folder import RunFolder


def report(run: Path, /) -> Path:
    """Draw the report of a run again, from the run folder and from nothing else.

    Parameters
    ----------
    run
        A run folder.
    """
    from linnaea.report.page import build_report

    page = build_report(RunFolder.open(run))
    terminal.say("Report", terminal.shown_path(page))
    return page
