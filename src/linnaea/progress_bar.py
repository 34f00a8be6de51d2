"""The one progress bar: on stderr, moving on a terminal and in a notebook, a single line in a log file."""

import time
from types import TracebackType
from typing import Any, Self

# Columns in a file, which has no edge.
_WIDTH = 120
# Seconds after which work is long enough to be shown.
_PATIENCE = 1.0


class ProgressBar:
    """How far some work is; begun with `with`. Its methods are those that pooch calls, too.

    label: str
        What stands before the bar.
    total: int or None
        How much there is to do; None where nobody knows. May be changed meanwhile.
    unit: str
        What is counted; of "bytes" the speed is shown as well.
    done: int
        What was over before.
    shown: bool
        Whether there is a bar at all.
    passing: bool
        Whether the bar is of no interest afterwards: it leaves nothing on a terminal.
    patient: bool
        Whether it is for people alone who wait: it is shown only after a second, and never in a file.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        *,
        unit: str = "",
        done: int = 0,
        shown: bool = True,
        passing: bool = False,
        patient: bool = False,
    ) -> None:
        self._progress: Any = None
        if shown:
            self._progress, watched = _made(total, unit, passing)
            self._task = self._progress.add_task(label, total=total, completed=done, numbers="")
            if patient and not watched:
                self._progress = None
        self._total, self._starts = total, time.monotonic() + (_PATIENCE if patient else 0.0)

    @property
    def total(self) -> int | None:
        """How much there is to do."""
        return self._total

    @total.setter
    def total(self, total: int | None) -> None:
        self._total = total
        if self._progress is not None:
            self._progress.update(self._task, total=total)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, number: int = 1) -> None:
        """Count so much more as done."""
        if self._progress is not None:
            self._progress.advance(self._task, number)
            self._start()

    def show(self, **numbers: float) -> None:
        """Let these numbers stand behind the bar."""
        if self._progress is not None:
            text = "  ".join(f"{name} {number:.3g}" for name, number in numbers.items())
            self._progress.update(self._task, numbers=text)

    def reset(self) -> None:
        """Count from nothing again."""
        if self._progress is not None:
            self._progress.reset(self._task)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._progress is not None and self._progress.live.is_started:
            self._progress.stop()
        self._progress = None

    def _start(self) -> None:
        waiting = self._progress is not None and not self._progress.live.is_started
        if waiting and time.monotonic() >= self._starts:
            self._progress.start()


def _made(total: int | None, unit: str, passing: bool) -> tuple[Any, bool]:
    """Return rich's bar, and whether somebody watches it: on a terminal or in a notebook."""
    # Here, because it takes a tenth of a second, and most work goes without a bar.
    import sys

    from rich import progress
    from rich.console import Console

    console = Console(stderr=True, width=None if sys.stderr.isatty() else _WIDTH)
    watched = console.is_terminal or console.is_jupyter
    clock: Any = progress.TimeRemainingColumn(elapsed_when_finished=True)
    if unit == "bytes":
        counts: list[Any] = [progress.DownloadColumn(), progress.TransferSpeedColumn()]
    else:
        counts = [progress.MofNCompleteColumn(), unit] if unit else [progress.MofNCompleteColumn()]
        clock = clock if total else progress.TimeElapsedColumn()
    return progress.Progress(
        "{task.description}",
        progress.BarColumn(bar_width=None if console.is_terminal else 24),
        *counts,
        clock,
        "{task.fields[numbers]}",
        console=console,
        expand=console.is_terminal,
        # In a file the last state is all there is.
        transient=passing and watched,
    ), watched
