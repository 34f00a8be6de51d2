"""What predict says of all answers together: counted as they come, in words, and on a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from linnaea.commands import terminal
from linnaea.commands.scoring import Score
from linnaea.data.decoding import ValueRange
from linnaea.data.named import Named
from linnaea.errors import LinnaeaError
from linnaea.runs.folder import RunFolder
from linnaea.text import command, counted, option, percent, plural

if TYPE_CHECKING:
    from linnaea.evaluation.ood import OutlierScore
    from linnaea.report.predicted import Answered

PAGE = "predicted.html"
_NAMED = 3  # pictures that a sentence names
_MANY = 20  # answers, of which one may rather look through pictures than through rows


class Few:
    """Names, counted, of which only the first are kept."""

    def __init__(self) -> None:
        self.number = 0
        self._first: list[str] = []

    def add(self, name: str) -> None:
        """Count a name."""
        self.number += 1
        if len(self._first) < _NAMED:
            self._first.append(name)

    def __str__(self) -> str:
        more = self.number - len(self._first)
        return ", ".join(self._first) + (f" and {more:,} more" if more else "")


class _Page(NamedTuple):
    """The page that the answers are gathered for; total: how many were named, None where nobody knows."""

    answered: "Answered"
    out: Path
    total: int | None


class Summary:
    """What is said of all answers together, counted as they come.

    metrics: of the run; classes: of its network; ood_score: its out-of-distribution score, None without
    brightness: of the darkest and the brightest picture that it learned from; None in older runs
    threshold: the confidence below which a person should look; None where the run has none
    """

    def __init__(
        self,
        run: RunFolder,
        metrics: dict[str, Any],
        classes: Sequence[str],
        ood_score: "OutlierScore | None",
        brightness: tuple[float, float] | None,
    ) -> None:
        self.run, self.score = run, Score(run, classes)
        self.threshold = metrics.get("answered", {}).get("threshold")
        self._metrics, self._ood_score, self._brightness = metrics, ood_score, brightness
        self._classes = classes
        self._page: _Page | None = None
        self._answers = self._flagged = self._unsure = self._doubtful = 0
        self._unread, self._unusual = Few(), Few()

    def begin_page(self, out: Path, value_range: ValueRange | None, total: int | None) -> None:
        """Gather the answers that come for a page.

        value_range: as the pictures are read; total: how many were named, None where nobody knows
        """
        from linnaea.report.predicted import Answered

        self._page = _Page(Answered(self.threshold, value_range), out, total)

    @property
    def has_page(self) -> bool:
        """Whether the answers are gathered for a page."""
        return self._page is not None

    def add(self, answer: Mapping[str, Any], named: Named, given: str | None, content: str) -> None:
        """Count an answer; given, content: see Score.add."""
        self._answers += 1
        unfamiliar = bool(answer.get("ood"))
        unsure = self.threshold is not None and answer.get("probability", 1.0) < self.threshold
        self._flagged += unfamiliar
        self._unsure += unsure
        self._doubtful += unfamiliar or unsure
        if "brightness" in answer:
            self._unusual.add(answer["path"])
        if "error" in answer:
            self._unread.add(answer["path"])
            counts = False
        else:
            counts = self.score.add(named.within, given, answer["predicted"], content)
        if self._page is not None:
            self._page.answered.add(answer, named.file, content, given if counts else None)

    def raise_unread(self) -> None:
        """Raise the error that ends a command with pictures that could not be read, where there are any."""
        if self._unread.number:
            of = counted(self._answers, "picture")
            raise LinnaeaError(
                f"{self._unread.number:,} of {of} could not be read ({self._unread}).",
                "The reason stands in the row of each.",
            )

    def look(self) -> list[str]:
        """Return which answers a person should look at, in words, or nothing."""
        if not self._doubtful:
            return []
        why = ["unfamiliar"] if self._flagged else []
        if self._unsure:
            why.append(f"below the confidence threshold of {percent(self.threshold)}")
        of = counted(self._answers - self._unread.number, "answer")
        they_are = plural(self._doubtful, "it is", "they are")
        return [f"look at {self._doubtful:,} of {of} yourself: {they_are} {' or '.join(why)}"]

    def light(self) -> list[str]:
        """Return which pictures are of another brightness than those learned from, in words, or nothing."""
        low, high = self._brightness or (0.0, 0.0)
        number = self._unusual.number
        if not number:
            return []
        return [
            f"{counted(number, 'picture')} {plural(number, 'is', 'are')} far darker or brighter than any "
            f"that the network learned from, whose mean level is {low:.0f} to {high:.0f} of 255 "
            f"({self._unusual}): stored in other numbers, perhaps, or taken in another light"
        ]

    def alarms(self) -> list[str]:
        """Return how reliable the warning of unfamiliar pictures is, in words; nothing where it is."""
        from linnaea.report.sentences import false_alarms, shortfall

        if self._ood_score is None or self._unread.number == self._answers:
            return []
        short = shortfall(self._ood_score)
        words = [f"of unfamiliar pictures (out-of-distribution), {short}"] if short else []
        # Who was not warned need not hear that the warning comes too often.
        if self._flagged and (alarms := false_alarms(self._metrics)):
            words.append(f"when this network was evaluated, {alarms}")
        return words

    def next(self) -> list[str]:
        """Return what to do with the answers: look at the doubtful ones, and how to see the pictures."""
        lines = self.look()
        if self._page is not None:
            page = terminal.shown_path(self._page.out)
            lines.append(f"see the pictures: {command('linnaea', 'open', page)}")
        elif lines or self._unusual.number or self._answers >= _MANY:
            lines.append(f"see the pictures, class by class: the same with {option('page', PAGE)}")
        return lines

    def draw(self, *, stopped: bool = False) -> None:
        """Draw the page that was begun, if any, and print where it is.

        stopped: whether somebody ended the command before all was answered
        """
        if self._page is None:
            return
        from linnaea.report.predicted import Said

        said = Said(self.look(), self.score.accuracy, self.score.sentences(), self.alarms(), self.light())
        page = self._page
        with terminal.waiting("drawing the page"):
            page.answered.build(page.out, self.run, self._classes, said, stopped=stopped, total=page.total)
        terminal.print_line("Page", terminal.shown_path(page.out))
