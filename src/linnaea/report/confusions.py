"""Confusions of classes: the matrix, the pictures behind each of its cells, and the worst pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from linnaea.evaluation import class_order
from linnaea.evaluation.metrics import confusion, most_confused
from linnaea.evaluation.predictions import Predictions
from linnaea.report import findings, formatting
from linnaea.report.charts import level
from linnaea.report.facts import RunFacts
from linnaea.report.figures import Figure, confusion_figure
from linnaea.report.formatting import count, counted, percent
from linnaea.report.gallery import probability
from linnaea.report.thumbnails import Album, Thumbnail
from linnaea.text import natural_order

# A matrix with numbers in it fits a column of 44rem up to here; past it, all of it is drawn in colours alone.
MOST_NUMBERED = 20
MOST_SHOWN = 15  # of a larger one, the classes that are confused most, in numbers
FIRST_PAIRS = 12  # shown at once below a matrix without numbers
MOST_PAIRS = 400  # all 380 cells of a numbered matrix; of a larger one, the rest stay in predictions.csv
MOST_IN_CELL = 12
CELL_BYTES = 1_000_000  # before base64; see thumbnails.Album
EXAMPLE_BYTES = 300_000
CELL_SIDE = 96  # pixels; thumbnails of cells are 64 and are not enlarged
SIDE_BY_SIDE = 5
EXAMPLES = 4
PAIR_BYTES = 250_000


@dataclass(frozen=True)
class CellPicture:
    """One picture behind a cell; without a thumbnail, its path alone."""

    path: str
    probability: str
    picture: Thumbnail | None


@dataclass(frozen=True)
class Cell:
    """One kind of mistake: how often, its pictures, the most confident first, and one of the other class."""

    ident: str
    true: str
    predicted: str
    pictures: int
    share: str
    shown: list[CellPicture]
    example: (
        CellPicture | None
    )  # of the predicted class, classified correctly: what the others were mistaken for

    @property
    def left(self) -> int:
        """How many pictures of this cell are not among those shown."""
        return self.pictures - len(self.shown)


@dataclass(frozen=True)
class Side:
    """One class of a confused pair: its pictures that were classified correctly, and as the other."""

    name: str
    taken: int
    of: int
    right: list[CellPicture]
    wrong: list[CellPicture]


@dataclass(frozen=True)
class Grid:
    """A confusion matrix in numbers: of all classes, or of those that are confused most."""

    classes: Sequence[str]
    heads: Sequence[str]  # the same names, cut where they are long
    cells: list[list[dict[str, Any]]]  # rows of {"count", "shade", "ident"}
    others: list[
        str
    ]  # of each row, the pictures that went to classes that are not shown; empty where all are
    short_heads: bool


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix, confused classes side by side: in numbers, and a heat map where it is large.

    title: what it shows, see findings.of_confusions.
    """

    title: str
    classes: int
    grid: Grid | None
    figure: Figure | None
    pairs: list[Cell]
    pairs_left: int
    described: str
    alike_together: bool  # the order is that of their confusions, not of their names
    opens: bool  # some cell has something to open
    side_by_side: list[tuple[Side, Side]]
    first_pairs: int = FIRST_PAIRS


def confusion_section(facts: RunFacts) -> Confusion | None:
    """Return the confusion matrix, or None before the test set was evaluated."""
    table = facts.predictions
    if table is None or not len(table):
        return None
    counts = confusion(table)
    back = columns_in_order(table.classes, counts)
    place = np.argsort(back)
    matrix = counts[np.ix_(back, back)]
    classes = [table.classes[column] for column in back]
    small = len(classes) <= MOST_NUMBERED
    different = int((matrix > 0).sum() - (matrix.diagonal() > 0).sum())
    pairs = _cells_of_mistakes(facts, table, place)
    title = findings.of_confusions(matrix, classes)
    shown = np.arange(len(classes)) if small else class_order.most_confused(matrix, MOST_SHOWN)
    return Confusion(
        title=title,
        classes=len(classes),
        grid=_grid(matrix, classes, shown, {cell.ident for cell in pairs if cell.shown})
        if len(shown)
        else None,
        figure=None if small else confusion_figure(matrix, title),
        pairs=pairs,
        pairs_left=different - len(pairs),
        described=f"{counted(len(classes), 'class', 'classes')}, {counted(len(table), 'test picture')}",
        alike_together=not all(name.isdecimal() for name in classes) and len(classes) > 2,
        opens=any(cell.shown for cell in pairs),
        side_by_side=_side_by_side(facts, table, matrix, classes, place),
    )


def columns_in_order(classes: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Return the columns (k,) of a table in the order of the confusion matrix: confused classes together.

    Classes that are numbers keep their order, which people know. counts: confusion of the table.
    """
    named = sorted(range(len(classes)), key=lambda column: natural_order(classes[column]))
    if all(name.isdecimal() for name in classes):
        return np.array(named)
    return np.array(named)[class_order.by_confusion(counts[np.ix_(named, named)])]


def _grid(matrix: np.ndarray, classes: Sequence[str], shown: np.ndarray, opening: set[str]) -> Grid:
    """Return the matrix of the classes that are shown, places in it; opening: the cells with pictures."""
    totals = matrix.sum(axis=1)
    names = [classes[place] for place in shown]
    cells = [
        [
            {
                "count": count(int(matrix[i, j])),
                "shade": level(matrix[i, j] / totals[i], right=bool(i == j)) if matrix[i, j] else "",
                "ident": _ident(i, j) if _ident(i, j) in opening else "",
            }
            for j in shown
        ]
        for i in shown
    ]
    others = totals[shown] - matrix[np.ix_(shown, shown)].sum(axis=1)
    return Grid(
        classes=names,
        heads=[formatting.cut_inside(name, 20) for name in names],
        cells=cells,
        others=[count(int(n)) for n in others] if len(shown) < len(classes) else [],
        short_heads=max(map(len, names)) <= 3,
    )


def _ident(row: int, column: int) -> str:
    return f"cell-{row}-{column}"


def _cells_of_mistakes(facts: RunFacts, table: Predictions, place: np.ndarray) -> list[Cell]:
    """Return the kinds of mistakes, the most frequent first; those get the room for pictures first.

    place: of each column of the table, in the matrix.
    """
    columns = dict(zip(table.classes, place.tolist(), strict=True))
    rows = _rows_of_mistakes(table, place)
    album, examples = Album(CELL_BYTES), Album(EXAMPLE_BYTES)
    cells = []
    for pair in most_confused(table, MOST_PAIRS):
        true, predicted = columns[pair["true"]], columns[pair["predicted"]]
        known = [row for row in rows[true, predicted] if row in facts.cells or row in facts.mistakes]
        shown = _shown(facts, table, album, known[:MOST_IN_CELL])
        of_other = [row for row in rows.get((predicted, predicted), []) if _has_picture(facts, row)]
        cells.append(
            Cell(
                ident=_ident(true, predicted),
                true=pair["true"],
                predicted=pair["predicted"],
                pictures=pair["pictures"],
                share=percent(pair["share"]),
                shown=shown,
                # Where the cell opens at all.
                example=next(iter(_shown(facts, table, examples, of_other[:1])), None) if shown else None,
            )
        )
    return cells


def _rows_of_mistakes(table: Predictions, place: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Return (true, predicted) places → rows of the table, the most confident first; right ones too."""
    confidence, predicted = table.confidence, place[table.probabilities.argmax(axis=1)]
    true = place[table.true_index]
    rows: dict[tuple[int, int], list[int]] = {}
    for row in np.argsort(-confidence, kind="stable").tolist():
        rows.setdefault((int(true[row]), int(predicted[row])), []).append(row)
    return rows


def _shown(facts: RunFacts, table: Predictions, album: Album, rows: Sequence[int]) -> list[CellPicture]:
    """Return the pictures of rows; one whose thumbnail is damaged or has no room is left out."""
    shown = []
    for row in rows:
        small = facts.cells.get(row) or facts.mistakes.get(row) or facts.doubtful.get(row)
        picture = album.take(small, CELL_SIDE)
        if picture is not None:
            shown.append(CellPicture(table.paths[row], probability(table.confidence[row]), picture))
    return shown


def _side_by_side(
    facts: RunFacts, table: Predictions, matrix: np.ndarray, classes: Sequence[str], place: np.ndarray
) -> list[tuple[Side, Side]]:
    """Return the pairs of classes that are most often mistaken for each other, both ways counted together."""
    both = np.triu(matrix + matrix.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[: SIDE_BY_SIDE * 3]
    rows = _rows_of_mistakes(table, place)
    album = Album(PAIR_BYTES)
    pairs: list[tuple[Side, Side]] = []
    for first, second in zip(*np.unravel_index(order, both.shape), strict=True):
        # One picture taken for another is an accident, not a pair that is confused.
        if both[first, second] < 2 or len(pairs) == SIDE_BY_SIDE:
            break
        sides = tuple(
            Side(
                name=classes[own],
                taken=int(matrix[own, other]),
                of=int(matrix[own].sum()),
                right=_examples(facts, table, album, rows.get((own, own), [])),
                wrong=_examples(facts, table, album, rows.get((own, other), [])),
            )
            for own, other in _worse_first(matrix, int(first), int(second))
        )
        if any(side.right or side.wrong for side in sides):
            pairs.append((sides[0], sides[1]))
    return pairs


def _worse_first(matrix: np.ndarray, first: int, second: int) -> list[tuple[int, int]]:
    ways = [(first, second), (second, first)]
    return sorted(ways, key=lambda way: -int(matrix[way]))


def _examples(facts: RunFacts, table: Predictions, album: Album, rows: Sequence[int]) -> list[CellPicture]:
    return _shown(facts, table, album, [row for row in rows if _has_picture(facts, row)][:EXAMPLES])


def _has_picture(facts: RunFacts, row: int) -> bool:
    return row in facts.cells or row in facts.mistakes or row in facts.doubtful
