"""The gallery: the pictures that were named wrong most confidently, as data URIs."""

import base64
import struct
from dataclasses import dataclass

from linnaea.report import words
from linnaea.report.facts import RunFacts
from linnaea.report.words import percent

THUMBNAIL_BYTES = 2_700_000  # base64 adds a third: the page stays under 5 MB
FIRST_MISTAKES = 24  # shown at once; the others fold away
TINY = 64  # pixels; smaller pictures are enlarged without smoothing, so that their pixels are seen


@dataclass(frozen=True)
class Mistake:
    """One wrongly named picture, ready to be shown."""

    path: str
    true: str
    predicted: str
    probability: str
    true_probability: str
    source: str  # data URI
    tiny: bool


def mistake_pictures(facts: RunFacts) -> tuple[list[Mistake], int]:
    """Return the pictures named wrong most confidently, worst first, and how many thumbnails had no room."""
    table = facts.predictions
    if table is None:
        return [], 0
    confidence = table.confidence
    columns = {name: column for column, name in enumerate(table.classes)}
    shown: list[Mistake] = []
    room = THUMBNAIL_BYTES
    rows = sorted(facts.mistakes, key=lambda row: (-confidence[row], row))
    for row in rows:
        content = facts.mistakes[row].read_bytes()
        size = _png_size(content)
        if size is None or len(content) > room:
            continue
        room -= len(content)
        column = columns.get(str(table.true[row]))
        shown.append(
            Mistake(
                path=table.paths[row],
                true=str(table.true[row]),
                predicted=str(table.predicted[row]),
                probability=_probability(confidence[row]),
                true_probability="–" if column is None else _probability(table.probabilities[row, column]),
                source="data:image/png;base64," + base64.b64encode(content).decode("ascii"),
                tiny=max(size) <= TINY,
            )
        )
    return shown, len(rows) - len(shown)


def _probability(value: float) -> str:
    """Write a probability so that almost sure does not read as certain."""
    if 0.9995 <= value < 1:
        return f">{words.NBSP}{percent(0.999)}"
    if 0 < value < 0.0005:
        return f"<{words.NBSP}{percent(0.001)}"
    return percent(value)


def _png_size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) from a PNG's header (ISO/IEC 15948, 11.2.2), or None for anything else."""
    if len(content) < 24 or content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height
