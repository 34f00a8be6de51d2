"""An Altair chart → inline SVG that obeys the page's light and dark colours.

A chart is drawn with the light palette; inline() replaces each of those colours by the CSS variable of the
same name, so that page.css alone decides what a reader in the dark sees. Every chart is made twice, for a
phone and for a wider page, because text that shrinks with its chart cannot be read.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import vl_convert
from markupsafe import Markup

from linnaea.report.charts import NARROW, PALETTE, TEXT, WIDE, Drawing

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def both_widths(draw: Callable[[int], Drawing], ident: str, title: str, description: str) -> Markup:
    """Return draw(width) as inline SVG for a wide page and for a phone; page.css shows one of the two."""
    wide = inline(draw(WIDE), f"{ident}-wide", title, description, css_class="wide", width=WIDE)
    narrow = inline(draw(NARROW), f"{ident}-narrow", title, description, css_class="narrow", width=NARROW)
    return wide + narrow


def inline(chart: Drawing, ident: str, title: str, description: str, *, css_class: str, width: int) -> Markup:
    """Return a chart as one SVG element with a title and a description for screen readers.

    ident begins every id inside, so that many charts can live in one page. width is the least the drawing
    takes, in its own pixels: the reader's font may be wider than the one measured here.
    """
    # Altair checks its charts once more here, at twice the cost of drawing; the tests draw every kind.
    text = vl_convert.vegalite_to_svg(_styled(chart).to_dict(validate=False))
    # Colours inside text would be a reader's own words: only attributes are touched, on the parsed tree.
    root = ElementTree.fromstring(text)
    names = {hex_code: f"var(--{name})" for name, hex_code in PALETTE.items()}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in list(element.attrib):
            value = element.attrib[key]
            if key == "role" or key.startswith("aria-"):
                del element.attrib[key]
            elif key == "id":
                element.set(key, f"{ident}-{value}")
            elif key in ("fill", "stroke"):
                element.set(key, names.get(value, value))
            elif key in ("d", "transform"):
                element.set(key, re.sub(r"\d+\.\d{2,}", lambda m: f"{float(m[0]):.1f}", value))
            elif value.startswith("url(#"):
                element.set(key, f"url(#{ident}-{value[5:]}")
    _name_for_readers(root, ident, title, description)
    _fit_to_column(root, width)
    root.set("class", f"chart {css_class}".strip())
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=True))


def _name_for_readers(root: ElementTree.Element, ident: str, title: str, description: str) -> None:
    root.set("role", "img")
    root.set("aria-labelledby", f"{ident}-title {ident}-desc")
    for place, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(tag, {"id": f"{ident}-{tag}"})
        element.text = words
        root.insert(place, element)


def _fit_to_column(root: ElementTree.Element, width: int) -> None:
    wide, high = max(float(root.get("width", width)), width), float(root.get("height", width))
    root.set("viewBox", f"0 0 {wide:g} {high:g}")
    # A phone's drawing may grow a little, to the column of a large phone.
    root.set("style", f"max-width:{wide * (1.3 if width <= NARROW else 1):.0f}px")
    # Without width and height the drawing takes the width of its column.
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)


def _styled(chart: Drawing) -> Drawing:
    soft, line = PALETTE["soft"], PALETTE["line"]
    return (
        chart.configure(
            background="transparent",
            font=FONT,
            padding={"left": 1, "right": 1, "top": 2, "bottom": 2},
            aria=False,
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=soft,
            titleColor=soft,
            gridColor=line,
            domainColor=line,
            tickColor=line,
            labelFontSize=TEXT,
            titleFontSize=TEXT,
            titleFontWeight="normal",
            labelPadding=6,
        )
        .configure_axisY(domain=False, ticks=False)
        .configure_axisX(titleAnchor="middle")
    )
