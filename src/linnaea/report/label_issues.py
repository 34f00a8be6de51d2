"""The page of label issues: a gallery with a decision for each picture."""

from pathlib import Path

from linnaea.evaluation.label_issues import LabelIssue, read_csv
from linnaea.report import formatting
from linnaea.report.gallery import probability
from linnaea.report.templates import link, write_page
from linnaea.report.thumbnails import Album, Thumbnail
from linnaea.runs.repeated import RunGroup
from linnaea.text import natural_order

THUMBNAIL_BYTES = 3_300_000  # base64 adds a third: the page stays under 5 MB
SIDE = 256  # pixels of a thumbnail's longer side, at most


def build_label_issues(group: RunGroup) -> Path:
    """Draw label_issues.html from label_issues.csv and the thumbnails, and return its path.

    Raises DataError or RunError where a file of the group is damaged or was edited; the old page then stays.
    """
    group.check_tables()
    info = group.info
    issues = read_csv(group.label_issues.with_suffix(".csv"))
    shown: list[tuple[LabelIssue, str, Thumbnail, str]] = []
    album = Album(THUMBNAIL_BYTES)
    for number, issue in enumerate(issues, start=1):
        thumbnail = album.take(group.label_issues / f"{number:06}.jpg", SIDE)
        if thumbnail is None:
            break
        file = None if info.data.root is None else Path(info.data.root) / issue.path
        original = "" if file is None or not file.is_file() else link(file, group.path)
        shown.append((issue, probability(issue.confidence), thumbnail, original))
    return write_page(
        group.label_issues.with_suffix(".html"),
        "labels.html.jinja",
        page_title=f"Label issues · {info.data.name or ''} · Linnaea",
        eyebrow=[info.data.name or "", formatting.counted(len(info.runs), "fold")],
        issues=shown,
        left=len(issues) - len(shown),
        total=len(issues),
        table=f"{group.label_issues.name}.csv",
        classes=sorted(info.classes, key=natural_order),
        relabel=info.relabel,
    )
