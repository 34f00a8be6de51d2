"""Confusions of classes: the matrix, the pictures behind each of its cells, and the worst pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from linnaea.evaluation.metrics import confusion, most_confused
from linnaea.evaluation.predictions import Predictions
from linnaea.report import formatting
from linnaea.report.charts import level
from linnaea.report.facts import RunFacts
from linnaea.report.figures import Figure, confusion_figure
from linnaea.report.formatting import count, counted, percent
from linnaea.report.gallery import probability
from linnaea.report.thumbnails import Album, Thumbnail
from linnaea.text import natural_order

# A matrix with numbers in it fits a column of 44rem up to here; past it, colours alone are drawn.
MOST_NUMBERED = 20
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
class Confusion:
    """The confusion matrix: numbered where it is small, else a heat map; its mistakes; the worst pairs."""

    classes: Sequence[str]
    heads: Sequence[str]  # the same names, cut where they are long
    cells: list[list[dict[str, Any]]]  # rows of {"count", "shade", "ident"}; empty for a large matrix
    short_heads: bool
    figure: Figure | None
    pairs: list[Cell]
    pairs_left: int
    described: str
    opens: bool  # some cell has something to open
    side_by_side: list[tuple[Side, Side]]
    first_pairs: int = FIRST_PAIRS


def confusion_section(facts: RunFacts) -> Confusion | None:
    """Return the confusion matrix, or None before the test set was evaluated."""
    table = facts.predictions
    if table is None or not len(table):
        return None
    place = _places(table.classes)
    back = np.argsort(place)
    matrix = confusion(table)[np.ix_(back, back)]
    classes = [table.classes[column] for column in back]
    small = len(classes) <= MOST_NUMBERED
    different = int((matrix > 0).sum() - (matrix.diagonal() > 0).sum())
    pairs = _cells_of_mistakes(facts, table)
    return Confusion(
        classes=classes,
        heads=[formatting.cut_inside(name, 20) for name in classes],
        cells=_grid(matrix, {cell.ident for cell in pairs if cell.shown}) if small else [],
        short_heads=max(map(len, classes)) <= 3,
        figure=None if small else confusion_figure(matrix),
        pairs=pairs,
        pairs_left=different - len(pairs),
        described=f"{counted(len(classes), 'class', 'classes')}, {counted(len(table), 'test picture')}",
        opens=any(cell.shown for cell in pairs),
        side_by_side=_side_by_side(facts, table, matrix, classes),
    )


def _places(classes: Sequence[str]) -> np.ndarray:
    """Return the place (k,) of each column of a table where people read the classes: 2 before 10."""
    order = sorted(range(len(classes)), key=lambda column: natural_order(classes[column]))
    return np.argsort(order)


def _grid(matrix: np.ndarray, opening: set[str]) -> list[list[dict[str, Any]]]:
    totals = matrix.sum(axis=1)
    return [
        [
            {
                "count": count(int(n)),
                "shade": level(n / totals[i], right=i == j) if n else "",
                "ident": _ident(i, j) if _ident(i, j) in opening else "",
            }
            for j, n in enumerate(row)
        ]
        for i, row in enumerate(matrix)
    ]


def _ident(row: int, column: int) -> str:
    return f"cell-{row}-{column}"


def _cells_of_mistakes(facts: RunFacts, table: Predictions) -> list[Cell]:
    """Return the kinds of mistakes, the most frequent first; those get the room for pictures first."""
    columns = dict(zip(table.classes, _places(table.classes).tolist(), strict=True))
    rows = _rows_of_mistakes(table)
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


def _rows_of_mistakes(table: Predictions) -> dict[tuple[int, int], list[int]]:
    """Return (true, predicted) places → rows of the table, the most confident first; right ones too."""
    place = _places(table.classes)
    confidence, predicted, true = (
        table.confidence,
        place[table.probabilities.argmax(axis=1)],
        place[table.true_index],
    )
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
    facts: RunFacts, table: Predictions, matrix: np.ndarray, classes: Sequence[str]
) -> list[tuple[Side, Side]]:
    """Return the pairs of classes that are most often mistaken for each other, both ways counted together."""
    both = np.triu(matrix + matrix.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[: SIDE_BY_SIDE * 3]
    rows = _rows_of_mistakes(table)
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
