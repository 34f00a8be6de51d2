"""The templates of this room → pages: one HTML file each that opens anywhere, without a connection."""

import os
import re
import warnings
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from linnaea import files
from linnaea.report.svg import renderer
from linnaea.report.words import words_of

_HERE = Path(__file__).parent


def write_page(path: Path, template: str, **context: Any) -> Path:
    """Fill one template of this room, write the page to path, and return path.

    Everything in context is escaped unless it is Markup. A page whose charts could not be drawn says so, and
    a RuntimeWarning does: in a batch job nobody opens it.
    """
    problem = renderer.take_problem()
    if problem:
        warnings.warn(
            f"{path.name} has no charts: the program that draws them {problem}.", RuntimeWarning, stacklevel=2
        )
    page = (
        _environment()
        .get_template(template)
        .render(
            css=Markup("\n").join(_inlined(name) for name in ("page.css", "pictures.css", "paper.css")),
            js=_inlined("page.js"),
            inlined=_inlined,
            words_of=words_of,
            version=metadata.version("linnaea"),
            without_charts=problem,
            drawn=datetime.now(UTC).strftime("%Y-%m-%d"),
            **context,
        )
    )
    files.write_text(path, page)
    return path


@cache
def _environment() -> Environment:
    # A name that a template asks for and nobody gives is our mistake: StrictUndefined says so at once.
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["options"] = _options
    environment.filters["breaking"] = breaking
    return environment


def link(target: Path | str, folder: Path) -> str:
    """Return the address of a file or folder from a page in folder."""
    there = os.path.realpath(target)
    try:
        way = os.path.relpath(there, folder.resolve())
    except ValueError:  # on another drive of Windows
        return Path(there).as_uri()
    # Bytes of a name that are no Unicode stay what they are.
    return quote(os.fsencode(Path(way).as_posix()))


def breaking(path: str) -> Markup:
    """Return a path that a page breaks behind its slashes, where a line is too short for it."""
    return Markup("/<wbr>").join(escape(part) for part in path.split("/"))


def _options(sentence: str) -> Markup:
    """Return a sentence with the options of a command as code: a browser breaks lines at their hyphens."""
    return Markup(
        re.sub(r"--[a-z][a-z-]*(?: (?:\w*\d\w*|true))?", r"<code>\g<0></code>", str(escape(sentence)))
    )


@cache
def _inlined(name: str) -> Markup:
    return Markup((_HERE / name).read_text(encoding="utf-8"))
