"""The galleries: the most confident mistakes and the least confident correct predictions, with heat maps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from linnaea.report import formatting
from linnaea.report.facts import RunFacts
from linnaea.report.formatting import percent
from linnaea.report.templates import link
from linnaea.report.thumbnails import Album, Thumbnail

# Bytes of pictures, before base64. With those of the confusion matrix the page stays under 5 MB.
MISTAKE_BYTES = 1_500_000
DOUBTFUL_BYTES = 500_000
STRIP_BYTES = 150_000
STRIP = 5  # of the mistakes, below the headline
STRIP_SIDE = 192  # pixels
FIRST_MISTAKES = 20  # shown at once, in whole rows of four or five; the others fold away
FIRST_WITH_HEAT = 6  # in rows of two or three
FEWEST_FILTERED = 7  # pictures from which on a choice of one class is offered
MOST_DOUBTFUL = 12
LETTERS = 24  # of a file's name


@dataclass(frozen=True)
class Shown:
    """One picture with its answer, ready to be shown.

    original: link from the page's folder to the picture where it lies; "" where it is not there any more.
    true: its class, "" where nobody knows it
    joined, other: a mistake "is" its true class; another answer was "nearly", or is "or", the second class
    remark: what else is known of it, in a few words
    """

    row: int  # of predictions.csv
    ident: str  # on the page
    path: str
    original: str
    file: str  # its name, short enough to stand below it
    true: str
    predicted: str
    probability: str
    joined: str
    other: str
    other_probability: str
    picture: Thumbnail
    heat: Thumbnail | None = None
    remark: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures in order, how many are shown at once, and what became of the others, a sentence."""

    pictures: list[Shown]
    first: int = FIRST_MISTAKES
    left: str = ""

    @property
    def heats(self) -> bool:
        """Whether a heat map stands beside some picture."""
        return any(shown.heat for shown in self.pictures)

    @property
    def short_names(self) -> bool:
        """Whether names and probabilities fit on one line each."""
        return max((len(p.predicted + p.other) for p in self.pictures), default=0) <= 8

    @property
    def filtered(self) -> bool:
        """Whether there are so many that a class can be chosen."""
        return len(self.pictures) >= FEWEST_FILTERED


def mistakes(facts: RunFacts) -> Gallery:
    """Return the misclassified pictures, the most confident first."""
    if facts.predictions is None:
        return Gallery([])
    confidence = facts.predictions.confidence
    rows = sorted(facts.mistakes, key=lambda row: (-confidence[row], row))
    album = Album(MISTAKE_BYTES)
    shown = [_shown(facts, album, row, wrong=True) for row in rows]
    pictures = [picture for picture in shown if picture is not None]
    return _gallery(pictures, _left(len(rows) - len(pictures)))


def worst(facts: RunFacts, shown: Sequence[Shown]) -> list[Shown]:
    """Return the first of the mistakes that are shown, with pictures as small as a strip of them is."""
    album = Album(STRIP_BYTES)
    strip = []
    for mistake in shown[:STRIP]:
        picture = album.take(facts.mistakes[mistake.row], STRIP_SIDE)
        if picture is not None:
            strip.append(replace(mistake, picture=picture, heat=None))
    return strip


def doubtful(facts: RunFacts) -> Gallery:
    """Return the pictures classified correctly, the least confident first."""
    if facts.predictions is None:
        return Gallery([])
    confidence = facts.predictions.confidence
    rows = sorted(facts.doubtful, key=lambda row: (confidence[row], row))[:MOST_DOUBTFUL]
    album = Album(DOUBTFUL_BYTES)
    shown = [_shown(facts, album, row, wrong=False) for row in rows]
    return _gallery([picture for picture in shown if picture is not None])


def _gallery(pictures: list[Shown], left: str = "") -> Gallery:
    heats = any(shown.heat for shown in pictures)
    return Gallery(pictures, FIRST_WITH_HEAT if heats else FIRST_MISTAKES, left)


def _left(number: int) -> str:
    if number == 1:
        return "One more is in the folder mistakes/: it did not fit on this page, or is not a picture."
    more = f"{number} more are in the folder mistakes/: they did not fit on this page, or are not pictures."
    return more if number else ""


def _shown(facts: RunFacts, album: Album, row: int, *, wrong: bool) -> Shown | None:
    table = facts.predictions
    if table is None:
        return None
    picture = album.take((facts.mistakes if wrong else facts.doubtful)[row])
    if picture is None:
        return None
    probabilities = table.probabilities[row]
    if wrong:
        # A class that training never had has no column, and so no probability.
        other = str(table.true[row])
        column = table.classes.index(other) if other in table.classes else None
    else:
        column = int(probabilities.argsort()[-2]) if len(probabilities) > 1 else None
        other = "" if column is None else table.classes[column]
    return Shown(
        row=row,
        ident=f"{'mistake' if wrong else 'doubtful'}-{row}",
        path=table.paths[row],
        original=_original(facts, table.paths[row]),
        file=formatting.cut_inside(PurePath(table.paths[row]).name, LETTERS),
        true=str(table.true[row]),
        predicted=str(table.predicted[row]),
        probability=probability(table.confidence[row]),
        joined="is" if wrong else "nearly",
        other=other,
        other_probability="–" if column is None else probability(probabilities[column]),
        picture=picture,
        heat=album.take(facts.heats.get(row)),
    )


def _original(facts: RunFacts, path: str) -> str:
    """Return the link to a picture where it lies, from the page's folder."""
    root = facts.info.data.root
    return "" if root is None or not (Path(root) / path).is_file() else link(Path(root) / path, facts.path)


def probability(value: float) -> str:
    """Write a probability so that 99.99 % does not read as certain."""
    if 0.9995 <= value < 1:
        return f">{formatting.NBSP}{percent(0.999)}"
    if 0 < value < 0.0005:
        return f"<{formatting.NBSP}{percent(0.001)}"
    return percent(value)
