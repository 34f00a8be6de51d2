"""What is wrong with a data set, as one page with the pictures themselves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from linnaea.data.dataset import Dataset
from linnaea.data.decoding import read_picture
from linnaea.data.problems import GROUPED, KINDS, SEVERITIES, UNUSABLE, Problem
from linnaea.errors import LinnaeaError
from linnaea.report import formatting
from linnaea.report.templates import link, write_page
from linnaea.report.thumbnails import Album, Thumbnail, of_pixels

SIDE = 256  # pixels of a thumbnail's longer side: two for each of the page's, on a sharp screen
ROOM = 3_000_000  # bytes of all thumbnails; base64 adds a third, and the page stays under 5 MB
MOST_GROUPS = 40  # of each kind of duplicates
MOST_OF_A_GROUP = 4
MOST_PICTURES = 16  # of every other kind
MOST_MESSAGES = 50

_LEAK = "Leave one of them out, or let Linnaea draw the split: it keeps copies together."
_DOUBT = "Look at them and correct a label: at least one is wrong, or the picture shows both."
_UNSEEN = "Look at them, and delete those in which nothing can be seen."

WHAT_TO_DO = {
    "unreadable": "They are left out of training. If one is damaged, restore it or delete it.",
    "missing_file": "They are left out of training. Restore them, or correct their paths in the table.",
    "one_class": "Add pictures of another class.",
    "exact_duplicate_across_splits": _LEAK,
    "near_duplicate_across_splits": _LEAK,
    "exact_duplicate_across_classes": _DOUBT,
    "near_duplicate_across_classes": _DOUBT,
    "exact_duplicate": "Delete all but one. Until then they count several times, but lie in one set.",
    "near_duplicate": (
        "Delete all but one: they are resized, recompressed, cropped, mirrored or brightened. Until then "
        "they count several times, but lie in one set."
    ),
    "similar_names": "Give them one name if they are one class.",
    "same_scene": (
        "Nothing, if the network will see the same scenes in use: on one background something was added, "
        "removed or exchanged, and these are not copies."
    ),
    "missing_from_split": "Move pictures of the class into that set, or let Linnaea draw the split.",
    "empty_class": "Add pictures, or remove the class.",
    "tiny_class": "Collect 20 pictures of it or more, or leave it out.",
    "small_class": "Collect more pictures; read the numbers of the class with their intervals.",
    "imbalance": "Collect more of the rare classes; read the accuracy averaged over classes.",
    "placeholder": "Look at them, and delete what only says that a picture was not found.",
    "blank": "Delete them, or repair how they were made.",
    "dark": _UNSEEN,
    "bright": _UNSEEN,
    "blurred": "Look at them, and keep what you can classify yourself. (A soft background is no blur.)",
    "odd_size": "Make sure that they are originals, and neither thumbnails nor scans of whole pages.",
    "odd_aspect": "Crop them to what they show.",
    "grey": "Make sure that one class does not have them all: the network would learn that.",
    "wrong_extension": "Nothing: they are read by their content.",
    "orientation": "Nothing: they are turned upright.",
    "converted": "Nothing, if the loss does not matter; else save them as RGB of 8 bits yourself.",
    "small_pictures": "Nothing: only exact duplicates are searched among them.",
    "crops_not_searched": "Nothing; or check some classes at a time.",
}
"""What a person does about each kind of problem, in a sentence or two."""


@dataclass(frozen=True)
class Shown:
    """One picture of the page: its thumbnail, None where it cannot be shown, and what is known of it.

    original: link to the picture where it lies; "" where it is no file, or there is none
    """

    picture: Thumbnail | None
    path: str
    label: str
    split: str
    original: str = ""


@dataclass(frozen=True)
class Section:
    """All problems of one kind."""

    kind: str
    severity: str
    title: str
    count: str
    about: str
    messages: list[str]
    groups: list[list[Shown]]
    pictures: list[Shown]
    left: str


class Pictures:
    """Thumbnails of a data set's pictures, as long as there is room.

    folder: of the page
    """

    def __init__(self, dataset: Dataset, folder: Path, room: int = ROOM) -> None:
        self.dataset, self.folder = dataset, folder
        self.album = Album(room)
        self.row_of = {path: row for row, path in enumerate(dataset.paths)}

    def show(self, path: str) -> Shown:
        """Return one picture; without its thumbnail where it cannot be read or no room is left."""
        row = self.row_of.get(path)
        if row is None:
            return Shown(None, path, "", "")
        label = str(self.dataset.labels[row])
        split = "" if self.dataset.splits is None else str(self.dataset.splits[row])
        if self.dataset.pixels is not None:
            picture = self.album.put(of_pixels(self.dataset.pixels[row], SIDE))
            return Shown(picture, path, label, split)
        file, value_range = self.dataset.files([row])[0], self.dataset.value_range
        try:
            pixels = read_picture(file, longest_side=SIDE, value_range=value_range)
        except LinnaeaError:
            return Shown(None, path, label, split)
        picture = self.album.put(of_pixels(pixels, SIDE))
        return Shown(picture, path, label, split, link(file, self.folder))


def build_check(dataset: Dataset, problems: Sequence[Problem], out: str | Path) -> Path:
    """Draw one page of a data set's problems, with the pictures, and return its path.

    dataset: as it was scanned, before anything was left out; pictures that it lacks are named without being
        shown.
    """
    sections = [*_sections(Pictures(dataset, Path(out).parent), problems)]
    context = {
        "page_title": f"{dataset.name} · check · Linnaea",
        "eyebrow": [
            dataset.source,
            formatting.counted(len(dataset), "picture"),
            formatting.counted(len(dataset.class_names), "class", "classes"),
        ],
        "verdict": verdict(problems),
        "sections": sections,
    }
    return write_page(Path(out), "check.html.jinja", **context)


def verdict(problems: Sequence[Problem]) -> str:
    """Return the first sentence: how many problems, the gravest first."""
    counts = {severity: sum(found.severity == severity for found in problems) for severity in SEVERITIES}
    counted = [formatting.counted(number, severity) for severity, number in counts.items() if number]
    if not counted:
        return "No problems were found."
    if counts["error"] + counts["warning"] == 0:
        return f"No problems were found, only {counted[0]}."
    return f"{formatting.listed(counted)}."


def by_kind(problems: Iterable[Problem]) -> list[tuple[str, str, list[Problem]]]:
    """Return (severity, kind, its problems), in the order in which they came: errors first."""
    found: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        found.setdefault((problem.severity, problem.kind), []).append(problem)
    return [(severity, kind, list(same)) for (severity, kind), same in found.items()]


def how_many(kind: str, problems: Sequence[Problem]) -> str:
    """Return what was found of a kind: "8 groups of 17 pictures", "3 pictures"; "" where none is named."""
    pictures = sum(len(found.paths) for found in problems)
    if kind in GROUPED:
        return f"{formatting.counted(len(problems), 'group')} of {formatting.counted(pictures, 'picture')}"
    return formatting.counted(pictures, "picture") if pictures else ""


def _sections(album: Pictures, problems: Sequence[Problem]) -> Iterable[Section]:
    sorted_out = by_kind(problems)
    kinds = [kind for _, kind, _ in sorted_out]
    for severity, kind, same in sorted_out:
        groups: list[list[Shown]] = []
        pictures: list[Shown] = []
        messages: list[str] = []
        left = ""
        if kind in GROUPED:
            groups = [
                [album.show(path) for path in found.paths[:MOST_OF_A_GROUP]] for found in same[:MOST_GROUPS]
            ]
            left = _and_more(len(same) - len(groups), "group")
        else:
            messages = [found.message for found in same[:MOST_MESSAGES]]
            left = _and_more(len(same) - len(messages), "message")
            if kind not in UNUSABLE:
                paths = [path for found in same for path in found.paths]
                pictures = [album.show(path) for path in paths[:MOST_PICTURES]]
                left = left or _and_more(len(paths) - len(pictures), "picture")
        yield Section(
            kind=f"{severity}-{kind}",
            severity=severity,
            # Whoever goes by headings must be able to tell two sections of one kind apart.
            title=KINDS[kind] if kinds.count(kind) == 1 else f"{KINDS[kind]} ({severity})",
            count=how_many(kind, same),
            about=WHAT_TO_DO[kind],
            messages=messages,
            groups=groups,
            pictures=[shown for shown in pictures if shown.picture],
            left=left,
        )


def _and_more(number: int, what: str) -> str:
    return (
        f"{formatting.counted(number, what)} more: linnaea check DATA --format json lists them all."
        if number > 0
        else ""
    )
