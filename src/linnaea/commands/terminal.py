"""What a person sees while a command works: little, in order, aligned."""

import csv
import io
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from linnaea.errors import printable
from linnaea.text import duration, percent

LABEL_WIDTH = 10

# Columns where nobody looks: a file or a pipe has no edge, and rich would take it for 80 wide.
UNBOUNDED = 200


class _Results(Console):
    def on_broken_pipe(self) -> None:
        # rich would leave with exit code 1; that a reader (head, say) has gone is no fault.
        raise BrokenPipeError


# Messages go to stderr and results to stdout, so that `linnaea predict … --format json | jq` works.
messages = Console(stderr=True, highlight=False, soft_wrap=True)
results = _Results(
    highlight=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else UNBOUNDED,
)


def print_line(label: str, *sentences: str) -> None:
    """Print sentences beside their label, the second and later ones below, aligned.

    On a terminal they are broken between words; a file keeps each on a line of its own.
    """
    head = label
    for sentence in sentences:
        for line in _lines(printable(sentence, keep="")):
            # In one piece: a progress bar below is drawn again after each.
            messages.print(Text.assemble((f"{head:<{LABEL_WIDTH}}", "bold"), line))
            head = ""


def _lines(sentence: str) -> list[str]:
    if not messages.is_terminal:
        return [sentence]
    room = max(messages.width - LABEL_WIDTH, 20)
    # A path is copied whole: it may be longer than the line.
    return textwrap.wrap(sentence, room, break_long_words=False, break_on_hyphens=False) or [""]


def interval(metric: dict[str, Any], digits: int = 1) -> str:
    """Return "96.5 % (95 %: 96.2 to 96.7)"."""
    if metric.get("low") is None:
        return percent(metric["value"], digits)
    low, high = 100 * metric["low"], 100 * metric["high"]
    return f"{percent(metric['value'], digits)} (95 %: {low:.{digits}f} to {high:.{digits}f})"


def shown_path(path: Path) -> str:
    """Return the path as short as it can be from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on a terminal what a person waits for, as long as it lasts; no bar may be shown meanwhile."""
    if not messages.is_terminal:
        yield
        return
    with messages.status(f"{what} …", spinner="line"):
        yield


class EpochBar:
    """One line that shows how far training is: a listener for on_epoch, and on_step where epochs are long.

    probed: epoch 0 is a probe, which only a higher accuracy replaces
    """

    def __init__(self, epochs: int, *, probed: bool = False) -> None:
        self.epochs, self.probed = epochs, probed
        self.plan: Any = None
        self.best: tuple[tuple[float, float], int] | None = None
        self._wide = messages.width >= 110
        self._progress = Progress(
            TextColumn(f"[bold]{'Epoch':<{LABEL_WIDTH}}[/bold]{{task.fields[epoch]}}/{{task.total:.0f}}"),
            BarColumn(
                bar_width=None if messages.is_terminal else 22 if self._wide else 8,
                complete_style="cyan",
                finished_style="cyan",
            ),
            TextColumn("{task.fields[status]}"),
            console=messages,
            # As wide as the terminal, whose width may change; a file has none.
            expand=messages.is_terminal,
        )
        self._task = self._progress.add_task("epoch", total=epochs, epoch=0, status="starting")
        self._seconds = 0.0
        self._done = 0
        self._status: list[str] = []
        self._speed: float | None = None

    def __call__(self, record: Any, pictures: int) -> None:
        """Show one epoch's record; pictures is how many one epoch trains on."""
        self._seconds += record.seconds if record.epoch else 0.0
        self._done = record.epoch
        self._status = [f"loss {record.train_loss:.3f}"]
        if record.val_accuracy is None:
            self._status.append(f"training {percent(record.train_accuracy)}")
        else:
            # As the classifiers choose: among equal accuracies the lower loss.
            score = (record.val_accuracy, 0.0 if self.probed and record.epoch == 0 else -record.val_loss)
            if self.best is None or score > self.best[0]:
                self.best = (score, record.epoch)
            self._status.append(f"validation {percent(record.val_accuracy)}")
            self._status.append(f"best {percent(self.best[0][0])} ({self.best[1]})")
        self._show(record.epoch, pictures / max(record.seconds, 1e-9) if record.epoch else None)

    def catch_up(self, records: list[Any], pictures: int) -> None:
        """Begin where a training that is continued had come to."""
        for record in records:
            self(record, pictures)

    def step(self, stage: str, done: int, total: int, seconds: float) -> None:
        """Show how far the work inside an epoch is.

        stage: what is done when no epoch is trained, such as "probe"; "" inside an epoch
        done, total: pictures
        seconds: since the stage began
        """
        speed = done / max(seconds, 1e-9)
        if stage:
            share = f"{stage}, {done:,} of {total:,} pictures   {speed:,.0f} pictures/s"
            left = f"   {duration((total - done) / speed)} left" if done < total else ""
            self._progress.update(self._task, completed=0, status=share + left)
        else:
            self._show(self._done + done / total, speed, self._seconds + seconds)

    def _show(
        self, epochs: float, speed: float | None, seconds: float | None = None, *, over: bool = False
    ) -> None:
        """Show the last record's numbers, with epochs (and a part of one) done; over: no more will come."""
        status = list(self._status)
        self._speed = speed
        seconds = self._seconds if seconds is None else seconds
        left = seconds / epochs * (self.epochs - epochs) if epochs else 0.0
        if self._wide and speed is not None:
            status.insert(0, f"{speed:,.0f} pictures/s")
        if epochs:
            status.append(f"{duration(left)} left" if left and not over else duration(seconds))
        shown = min(math.ceil(epochs), self.epochs)
        self._progress.update(self._task, completed=epochs, epoch=shown, status="   ".join(status))

    def follow(self, plan: Any) -> None:
        """Count to the epochs of a plan, which may be revised."""
        self.plan, self.epochs = plan, plan.epochs
        self._progress.update(self._task, total=plan.epochs)

    @contextmanager
    def shown(self) -> Iterator["EpochBar"]:
        """Show the line while training lasts, and leave its last state standing."""
        self._progress.start()
        try:
            yield self
            if self._done < self.epochs:
                # Stopped early: what is left of the epochs takes no time any more.
                self._show(self._done, self._speed, over=True)
        except BaseException:
            # "starting" above an error would be of no use.
            self._progress.update(self._task, visible=bool(self._status))
            raise
        finally:
            if self.epochs:
                self._progress.stop()
            else:
                # A probe alone has no epochs to show, and leaves no empty line in their place.
                self._progress.update(self._task, visible=False)
                self._progress.live.transient = True
                self._progress.live.stop()


def new_table(**more: Any) -> Table:
    """Return an empty table as all of Linnaea's are drawn: no lines, two blanks between columns."""
    return Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), **more)


def comparison_table(
    rows: list[dict[str, Any]],
    columns: dict[str, str],
    spare: tuple[str, ...] = (),
    long: tuple[str, ...] = (),
    *,
    words: tuple[str, ...] = (),
    widths: Mapping[str, int] | None = None,
    headed: bool = True,
) -> Table:
    """Return a table of rows; columns maps a key of the rows to its heading, the first one to the left.

    spare: keys of the columns that a narrow terminal goes without, the first to go first.
    long: keys of columns of words that a narrow terminal breaks into lines, as it does the first.
    words: keys of the other columns of words: these stand to the left, numbers to the right.
    widths: of columns, at least; headed: whether their headings stand above. For rows below earlier ones.
    """
    least = widths or {}
    rows = [{key: printable(str(row.get(key, "–")), keep="") for key in columns} for row in rows]
    width = {key: max(cell_len(str(row.get(key, "–"))) for row in [*rows, columns]) + 2 for key in columns}
    for key in spare:
        if sum(width.values()) > results.width:
            width.pop(key, None)
    table = new_table(show_header=headed)
    fits = sum(max(each, least.get(key, 0) + 2) for key, each in width.items()) <= results.width
    for number, key in enumerate(width):
        broken = number == 0 or key in long
        justify: Literal["left", "right"] = "left" if broken or key in words else "right"
        # A path has no blanks to be broken at.
        table.add_column(
            columns[key],
            justify=justify,
            no_wrap=not broken,
            overflow="fold",
            min_width=least.get(key) if fits else None,
        )
    for row in rows:
        table.add_row(*(Text(row[key]) for key in width))
    return table


def print_json(value: Any) -> None:
    """Print value as JSON for programs."""
    print(json_text(value))


def json_text(value: Any, indent: int | None = 2) -> str:
    """Return value as JSON; a control character in a name stands as its escape (RFC 8259)."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.isprintable():
        return text
    # Those of ASCII are escaped already; json leaves the others, and halves of surrogate pairs, as they are.
    return "".join(c if c == "\n" or printable(c) == c else json.dumps(c)[1:-1] for c in text)


def print_csv(rows: list[list[str]]) -> None:
    """Print rows as CSV: names as they are for a program, with control characters written out on a terminal.

    Bytes of a name that are not UTF-8 are written out everywhere, as \\x80.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if sys.stdout.isatty():
        rows = [[printable(cell, keep="") for cell in row] for row in rows]
    writer.writerows([[re.sub("[\ud800-\udfff]", lambda m: printable(m[0]), c) for c in row] for row in rows])
    print(text.getvalue(), end="")


def is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr.isatty()
