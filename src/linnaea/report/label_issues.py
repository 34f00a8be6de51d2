"""The page of probable label errors: a gallery with a decision for each picture."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

from linnaea import files
from linnaea.evaluation.label_issues import read_csv
from linnaea.report import formatting, page
from linnaea.report.gallery import probability
from linnaea.report.thumbnails import Album
from linnaea.runs.repeated import RunGroup

THUMBNAIL_BYTES = 3_300_000  # base64 adds a third: the page stays under 5 MB
SIDE = 192  # pixels of a thumbnail's longer side, at most
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """One suspect, ready to be shown."""

    number: int
    path: str
    given: str
    suggested: str
    confidence: str
    source: str  # data URI
    tiny: bool


def build_label_errors(group: RunGroup) -> Path:
    """Draw label_errors.html from label_errors.csv and the thumbnails, and return its path.

    Raises DataError or RunError where a file of the group is damaged or was edited; the old page then stays.
    """
    group.check_tables()
    info = group.info.as_json()
    suspects = read_csv(group.path / "label_errors.csv")
    shown: list[Shown] = []
    album = Album(THUMBNAIL_BYTES)
    folder = group.path / "label_errors"
    for number, suspect in enumerate(suspects, start=1):
        thumbnail = album.take(folder / f"{number:06}.jpg", SIDE)
        if thumbnail is None:
            break
        confidence = probability(suspect.confidence)
        named = suspect.path, suspect.given, suspect.suggested
        shown.append(Shown(number, *named, confidence, thumbnail.source, thumbnail.tiny))
    data = info.get("data") or {}
    path = group.path / "label_errors.html"
    text = page.render(
        "labels.html.jinja",
        page_title=f"Probable label errors · {data.get('name', '')} · Linnaea",
        eyebrow=[str(data.get("name") or ""), formatting.counted(len(info.get("runs", [])), "fold")],
        suspects=shown,
        left=len(suspects) - len(shown),
        total=len(suspects),
        classes=info.get("classes", []),
        relabel=info.get("relabel"),
        labels_css=_inlined("labels.css"),
        labels_js=_inlined("labels.js"),
    )
    files.write_text(path, text)
    return path


@cache
def _inlined(name: str) -> Markup:
    return Markup((_HERE / name).read_text(encoding="utf-8"))
