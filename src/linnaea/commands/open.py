"""linnaea open: show the page of a run in the browser."""

import os
import sys
import webbrowser
from pathlib import Path

from linnaea.commands import terminal
from linnaea.errors import LinnaeaError, RunError
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup
from linnaea.text import command

PAGES = (".html", ".htm")


def open(run: Path, /) -> Path:
    """Open the page of a run in the browser.

    Where there is no browser, or no display, the page's path is printed, and the exit code is 1.

    Parameters
    ----------
    run
        Run folder, folder of repeats or folds, or a page such as check.html or comparison.html.
    """
    page = _page_of(run)
    terminal.results.print(terminal.shown_path(page), markup=False)
    if not (_has_display() and webbrowser.open(page.resolve().as_uri())):
        raise LinnaeaError(
            "There is no browser here, or no display for one.",
            f"Copy {terminal.shown_path(page)} to where there is one: it is a single file.",
        )
    return page


def _page_of(run: Path) -> Path:
    """Return the page to open. Raises RunError where there is none."""
    if run.is_file() and run.suffix.lower() in PAGES:
        return run
    folder = RunGroup.open_group(run).path if RunGroup.is_group(run) else RunFolder.open(run).path
    page = folder / "report.html"
    if not page.is_file():
        raise RunError(f"{run} has no report yet.", f"Draw it: {command('linnaea', 'report', run)}")
    return page


def _has_display() -> bool:
    """Tell whether a browser could show its window; BROWSER names one that needs none."""
    if sys.platform in ("win32", "darwin"):
        return True
    # Without a display, webbrowser would hand the page to a browser in the terminal.
    return any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
