"""What notebooks draw: charts, pictures and tables, each of which stands alone.

Each is one SVG, or Markdown. So whatever shows a stored notebook without running it shows them, too: such
pages leave style sheets, and drawings inside HTML, out of what they show.
"""

import io
import re
import textwrap
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from linnaea.data.dataset import Dataset
from linnaea.data.split import Split
from linnaea.evaluation.metrics import compute_metrics
from linnaea.evaluation.metrics import confusion as confusion_of
from linnaea.evaluation.predictions import Predictions
from linnaea.report.charts import PALETTE, RUN_COLOURS, WIDE, Bar, Line, level, shortened
from linnaea.report.figures import Figure, chart_figure, interval_figure
from linnaea.report.gallery import probability
from linnaea.report.svg import FONT
from linnaea.report.thumbnails import QUALITY, TINY, data_uri
from linnaea.text import counted

Reported = Mapping[str, Mapping[str, float]]
"""Name of a network → name of a metric → what somebody else measured."""

_MARGIN, _LINE, _TEXT, _GAP = 20, 18, 13, 16  # pixels
_LETTER = 6.6  # mean width of a letter at that size
_METRICS = {"accuracy": "Accuracy", "macro_auc": "Macro AUC", "log_loss": "Log loss"}
_INK, _SOFT = PALETTE["ink"], PALETTE["soft"]


@dataclass(frozen=True)
class Sheet:
    """A drawing on light paper, readable on a light and on a dark page; a notebook shows it."""

    title: str
    svg: str = field(repr=False)

    def _repr_svg_(self) -> str:
        return self.svg


@dataclass(frozen=True)
class Words:
    """Markdown; a notebook shows it."""

    markdown: str

    def _repr_markdown_(self) -> str:
        return self.markdown


def chart(figure: Figure) -> Sheet:
    """Return a figure of the report as a sheet, with its caption."""
    drawings = ElementTree.fromstring(f"<all>{figure.svg}</all>")
    for drawing in drawings:
        if "wide" in drawing.get("class", ""):
            width, height = (float(side) for side in drawing.get("viewBox", "").split()[2:])
            drawing.attrib |= {"width": f"{width:g}", "height": f"{height:g}"}
            text = ElementTree.tostring(drawing, encoding="unicode")
            inside = re.sub(r"var\(--([\w-]+)\)", lambda colour: PALETTE[colour[1]], text)
            return _sheet(figure.title, inside, max(width, WIDE), height, figure.caption)
    return _sheet(figure.title, "", WIDE, 0, "Charts cannot be drawn on this machine.")


def pictures(
    shown: Iterable[tuple[np.ndarray, Sequence[str]]], title: str, *, columns: int = 6, about: str = ""
) -> Sheet:
    """Return pictures side by side, each with the lines of words below it.

    shown: uint8 (height, width) or (height, width, 3), all of one size, and its lines
    """
    items, wide = list(shown), (WIDE + _GAP) / columns - _GAP
    rows = max((len(words) for _, words in items), default=0)
    high = max((len(pixels) / pixels.shape[1] for pixels, _ in items), default=0.0) * wide
    each = high + rows * _LINE + _GAP
    drawn = []
    for number, (pixels, words) in enumerate(items):
        left, top = number % columns * (wide + _GAP), number // columns * each
        drawn.append(_picture(pixels, " · ".join(words) or title, left, top, wide))
        for row, line in enumerate(words):
            place = left, top + high + (row + 0.8) * _LINE
            colour = _INK if row == 0 else _SOFT
            drawn.append(_text(shortened(line, int(wide / _LETTER)), *place, colour=colour))
    below = -(-len(items) // columns) * each - _GAP
    return _sheet(title, "".join(drawn), WIDE, max(below, 0), about)


def learning_curves(
    networks: Mapping[str, Any], quantity: str, title: str, axis: str, *, held_out: str = "test"
) -> Sheet:
    """Return the curve of training, and the dashed one of a set held out, of each fitted network.

    quantity: "accuracy" (drawn in per cent) or "loss"; axis: the title of its axis
    held_out: what the validation_data of fit were: "test" or "validation"
    """
    share, several = quantity == "accuracy", len(networks) > 1
    lines, colours = [], iter(RUN_COLOURS)
    for name, network in networks.items():
        colour = next(colours)
        for of_set, what in (("train", "training"), ("val", held_out)):
            points = [
                (record.epoch, (100 if share else 1) * getattr(record, f"{of_set}_{quantity}"))
                for record in network.history_
            ]
            colour = colour if several or of_set == "train" else next(colours)
            words = f"{name}, {what}" if several else what
            lines.append(Line(words, colour, points, dashed=of_set == "val"))
    # Only a validation set may choose an epoch.
    chosen = None if several or held_out == "test" else next(iter(networks.values())).chosen_epoch_
    return chart(chart_figure(quantity, title, axis, lines, share=share, chosen=chosen))


def predicted(network: Any, X: Any, dataset: Dataset, rows: np.ndarray) -> Predictions:
    """Return what a network predicts of these rows of a data set; X: the same rows as it takes them."""
    names = tuple(dataset.paths[row] for row in rows)
    probabilities = np.asarray(network.predict_proba(X), dtype=np.float64)
    return Predictions(names, dataset.labels[rows], tuple(network.classes_), probabilities)


def sizes(dataset: Dataset, split: Split) -> Words:
    """Return in words how many pictures each set has, and what has to be said of the data."""
    sets = [("training", split.train), ("validation", split.val), ("test", split.test)]
    numbers = ", ".join(counted(len(rows), f"{name} picture") for name, rows in sets if len(rows))
    notes = [*dataset.notes]
    if dataset.name == "digits":
        notes.append(
            "**These are the 5,000 digits that need no download.** The numbers of the original report come "
            "from all 70,000. With fourteen times fewer pictures every network below does worse and the "
            "intervals are wider, but you see the same effects."
        )
    return Words("\n\n".join([f"{numbers} ({split.protocol}).", *notes]))


def scores(tables: Mapping[str, Predictions], reported: Reported | None = None) -> Words:
    """Return the numbers of several networks as a table, beside those that somebody else reported."""
    reported = reported or {}
    metrics = {name: compute_metrics(table) for name, table in tables.items()}
    heads, rows = ["", "Accuracy", "95 % interval"], [[name] for name in tables]
    for row, values in zip(rows, metrics.values(), strict=True):
        value, low, high = (100 * values["accuracy"][end] for end in ("value", "low", "high"))
        row += [f"**{value:.2f} %**", f"{low:.2f} to {high:.2f}"]
    for metric, title in _METRICS.items():
        if metric != "accuracy":
            heads.append(title)
            for row, values in zip(rows, metrics.values(), strict=True):
                number = values[metric]["value"]
                row.append("–" if number is None else f"{number:.5f}" if "auc" in metric else f"{number:.3f}")
        if any(metric in others for others in reported.values()):
            heads.append(f"{title}, original report")
            for row in rows:
                number = reported.get(row[0], {}).get(metric)
                written = f"{number:.2f} %" if metric == "accuracy" and number is not None else number
                row.append("–" if number is None else str(written))
    lines = [heads, [":--", *["--:"] * (len(heads) - 1)], *rows]
    return Words("\n".join(f"| {' | '.join(line)} |" for line in lines))


def intervals(tables: Mapping[str, Predictions], reported: Reported | None = None) -> Sheet:
    """Return the accuracy of each network with its 95 % interval; a diamond is what was reported."""
    bars = []
    for (name, table), colour in zip(tables.items(), RUN_COLOURS, strict=False):
        entry = compute_metrics(table)["accuracy"]
        value, low, high = (100 * entry[end] for end in ("value", "low", "high"))
        other = (reported or {}).get(name, {}).get("accuracy")
        bars.append(Bar(name, f"{value:.2f} %", value, low, high, colour, other))
    lowest = min(min(bar.low or 0, 100 if bar.reported is None else bar.reported) for bar in bars)
    title = "Accuracy with its 95 % interval" + "; the diamond is the original report" * bool(reported)
    return chart(interval_figure("headline", title, bars, (max(0, float(np.floor(lowest - 1))), 100)))


def confusion(table: Predictions, title: str) -> Sheet:
    """Return the confusion matrix with its counts, true classes in rows; for a dozen classes."""
    matrix, side, high = confusion_of(table), 54, 28
    drawn, first = [], max(len(name) for name in table.classes) * _LETTER + _GAP
    for i, name in enumerate(table.classes):
        drawn.append(_text(name, first + i * side + side / 2, _LINE, colour=_SOFT, anchor="middle"))
        drawn.append(_text(name, first - _GAP / 2, (i + 1) * high + _LINE, colour=_SOFT, anchor="end"))
        for j, count in enumerate(matrix[i]):
            if count:
                left, top = first + j * side, (i + 1) * high
                colour = PALETTE[level(count / matrix[i].sum(), right=i == j)]
                box = f'width="{side - 2}" height="{high - 2}" fill="{colour}"'
                drawn.append(f'<rect x="{left:g}" y="{top}" {box}/>')
                drawn.append(_text(f"{count:,}", left + side - 10, top + _LINE, anchor="end"))
    width, below = first + side * len(matrix), high * (len(matrix) + 1)
    about = "True classes in rows, predicted ones in columns. Blue: correct. Orange: mistakes."
    return _sheet(title, "".join(drawn), max(width, WIDE), below, about)


def worst(
    table: Predictions, pixels: Callable[[int], np.ndarray], *, most: int = 12, columns: int = 6
) -> Sheet:
    """Return the most certain mistakes as pictures; where they are few, the least certain right answers too.

    pixels: row of the table → uint8 (height, width) or (height, width, 3), all of one size
    """
    confidence, correct = table.confidence, table.predicted == table.true
    order = np.lexsort((np.where(correct, confidence, -confidence), correct))[:most]
    shown = []
    for row in order.tolist():
        true = "correct" if correct[row] else f"is {table.true[row]}"
        # A probability of 1 is a rounded one.
        likely = probability(min(confidence[row], 0.9999))
        words = [f"predicted {table.predicted[row]}", true, likely]
        shown.append((pixels(row), words))
    number = int((~correct).sum())
    of = f"{number:,} of {len(correct):,} test pictures are misclassified"
    title = f"{of}: those with the highest probability first"
    return pictures(shown, title, columns=columns)


def _picture(pixels: np.ndarray, words: str, left: float, top: float, wide: float) -> str:
    height, width = pixels.shape[:2]
    tiny, out = max(height, width) <= TINY, io.BytesIO()
    kind = "png" if tiny or pixels.ndim == 2 else "jpeg"
    options = {} if kind == "png" else {"quality": QUALITY, "optimize": True}
    Image.fromarray(pixels).save(out, kind, **options)
    place = f'x="{left:g}" y="{top:g}" width="{wide:g}" height="{wide * height / width:g}"'
    style = ' style="image-rendering:pixelated"' * tiny
    source = data_uri(out.getvalue(), kind)
    return f'<image {place}{style} href="{source}"><title>{escape(words)}</title></image>'


def _text(
    words: str, left: float, base: float, *, colour: str = _INK, anchor: str = "start", more: str = ""
) -> str:
    place = f'x="{left:g}" y="{base:g}" fill="{colour}" text-anchor="{anchor}"{more}'
    return f"<text {place}>{escape(words)}</text>"


def _sheet(title: str, inside: str, width: float, height: float, about: str = "") -> Sheet:
    first = _MARGIN + 2 * _LINE
    caption = textwrap.wrap(about, int(width / _LETTER))
    whole = f"{width + 2 * _MARGIN:g}", f"{first + height + len(caption) * _LINE + _MARGIN:g}"
    words = [_text(title, _MARGIN, _MARGIN + _LINE / 2, more=' font-weight="600" font-size="14"')]
    words += [
        _text(line, _MARGIN, first + height + (row + 0.9) * _LINE, colour=_SOFT)
        for row, line in enumerate(caption)
    ]
    size = f'width="{whole[0]}" height="{whole[1]}" viewBox="0 0 {whole[0]} {whole[1]}"'
    return Sheet(
        title,
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" font-size="{_TEXT}" role="img">'
        f'<title>{escape(title)}</title><rect width="100%" height="100%" rx="6" fill="{PALETTE["paper"]}"/>'
        f'{"".join(words)}<g transform="translate({_MARGIN} {first})">{inside}</g></svg>',
    )
