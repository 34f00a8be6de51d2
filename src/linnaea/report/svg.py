"""An Altair chart → inline SVG that obeys the page's light and dark colours.

A chart is drawn with the light palette; inline() replaces each of those colours by the CSS variable of the
same name, so that page.css alone decides what a reader in the dark sees. Every chart is made for a phone, for
a wider page and for a desk, because text that shrinks with its chart cannot be read.
"""

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from linnaea.report.charts import DESK, NARROW, PALETTE, TEXT, WIDE, Drawing

# The first chart of a process takes a second, the others a twentieth; nothing that is alive takes a minute.
PATIENCE = 60.0
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


class Renderer:
    """The process that draws charts (renderer.py), started for the first page and kept for the others.

    One that died is not tried again before start: a page has all its charts or none of those that follow.
    """

    def __init__(self) -> None:
        self._problem = ""
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process if there is none, without waiting for it: it gets ready meanwhile."""
        self._problem = ""
        if self._process is not None:
            return
        modules = os.pathsep.join(filter(None, sys.path))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("renderer.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": modules},
                # Ctrl-C in a terminal is meant for the run, which still draws its page.
                start_new_session=True,
            )
        except OSError as error:
            self._problem = f"could not be started ({error.strerror})"

    def svg(self, specification: dict[str, Any]) -> str | None:
        """Return a Vega-Lite specification as SVG; None where it cannot be drawn here: see take_problem.

        Raises ValueError for a specification that is none.
        """
        with self._lock:
            if self._process is None and not self._problem:
                self.start()
            process = self._process
            if process is None or process.stdin is None or process.stdout is None:
                return None
            watch = threading.Timer(PATIENCE, process.kill)
            watch.start()
            line = ""
            try:
                print(json.dumps(specification), file=process.stdin, flush=True)
                line = process.stdout.readline()
            except BrokenPipeError:
                pass  # it died before it had read: told below
            except BaseException:
                # An answer that nobody took would be that to the next chart.
                self.stop()
                raise
            finally:
                watch.cancel()
            if not line:
                self._problem = _how_it_ended(process.wait())
                self.stop()
                return None
        answer: dict[str, str] = json.loads(line)
        if "error" in answer:
            raise ValueError(f"a chart could not be drawn: {answer['error']}")
        return answer["svg"]

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def take_problem(self) -> str:
        """Return why charts are missing since start, once: "ended with SIGABRT"; "" where none is."""
        problem, self._problem = self._problem, ""
        return problem


def _how_it_ended(code: int) -> str:
    """Return the end of a process in words: "ended with SIGABRT"."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"ended with {signal.Signals(-code).name}"
    except ValueError:
        return f"ended with signal {-code}"


renderer = Renderer()
atexit.register(renderer.stop)


def at_widths(
    draw: Callable[[int], Drawing], ident: str, title: str, description: str, *, square: bool = False
) -> Markup:
    """Return draw(width) as inline SVG for a phone, a wider page and a desk; page.css shows one of them.

    square: the drawing has a size of its own, so that a desk shows that of the wider page.
    Empty where charts cannot be drawn here, which templates.write_page tells.
    """
    widths = {"narrow": NARROW, "wide": WIDE} | ({} if square else {"desk": DESK})
    drawn = [
        inline(draw(width), f"{ident}-{name}", title, description, css_class=name, width=width)
        for name, width in widths.items()
    ]
    return Markup().join(drawn)


def inline(chart: Drawing, ident: str, title: str, description: str, *, css_class: str, width: int) -> Markup:
    """Return a chart as one SVG element with a title and a description for screen readers.

    ident begins every id inside, so that many charts can live in one page. width is the least the drawing
    takes, in its own pixels: the reader's font may be wider than the one measured here.
    """
    # Altair checks its charts once more here, at twice the cost of drawing; the tests draw every kind.
    text = renderer.svg(_styled(chart).to_dict(validate=False))
    if text is None:
        return Markup()
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
