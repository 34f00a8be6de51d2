"""The page of new pictures with their answers: by predicted class, gathered while the answers come."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from itertools import count
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from linnaea.data.decoding import ValueRange, read_picture
from linnaea.errors import LinnaeaError, printable
from linnaea.machine import in_order
from linnaea.report import formatting, sentences
from linnaea.report.caveats import not_worth_using
from linnaea.report.facts import read_numbers
from linnaea.report.formatting import Verdict, counted, percent
from linnaea.report.gallery import LETTERS, Gallery, Shown, probability
from linnaea.report.templates import link, write_page
from linnaea.report.thumbnails import Album, Thumbnail, of_pixels
from linnaea.runs.folder import RunFolder
from linnaea.text import command_line, natural_order, plural

SIDE = 256  # pixels of a thumbnail's longer side
ROOM = 3_000_000  # bytes of all thumbnails; base64 adds a third, and the page stays under 5 MB
MOST = 24  # pictures of a class that are kept while answers come, and shown where there is room
MOST_IN_ALL = 600  # for very small pictures, whose words weigh more than they do
MOST_UNREAD = 50  # pictures that could not be read, with the reason
FIRST = 10  # of a class, shown at once, in whole rows of five; the others fold away
APART = 12  # of each kind that stands apart, before any class has its second picture
UNFAMILIAR, LIGHT, MISTAKES = "unfamiliar", "light", "mistakes"


class _Picture(NamedTuple):
    """A picture that may be shown: what stands below it, and where it lies, with the hash of its content."""

    path: str
    file: str
    content: str
    predicted: str
    probability: float
    given: str
    joined: str
    other: str
    other_probability: float | None
    remark: str


@dataclass
class _Few:
    """How many pictures of a kind there are, of which those with the smallest key are kept."""

    number: int = 0
    _heap: list[tuple[float, int, _Picture]] = field(default_factory=list)

    def add(self, key: float, picture: _Picture) -> None:
        # The largest of those that are kept stands first, and goes; of equal ones the last that came.
        entry = (-key, -self.number, picture)
        self.number += 1
        (heappush if len(self._heap) < MOST else heappushpop)(self._heap, entry)

    @property
    def least(self) -> float:
        """The smallest key."""
        return -max(self._heap)[0]

    def pictures(self) -> list[_Picture]:
        """Return what was kept, the smallest key first."""
        return [picture for *_, picture in sorted(self._heap, reverse=True)]


@dataclass
class _Class:
    """The answers of one predicted class, counted; few: those that do not stand apart."""

    few: _Few = field(default_factory=_Few)
    pictures: int = 0
    unsure: int = 0
    unfamiliar: int = 0
    given: int = 0
    right: int = 0


@dataclass(frozen=True)
class Said:
    """What is said of all answers together, in the words of the terminal; empty for nothing.

    accuracy: of the pictures with a given class: {"value", "low", "high", "pictures"}; None without
    look: which answers a person should look at
    score, alarms: on the pictures with a given class, and on how reliable the warning of unfamiliar ones is
    light: on pictures that are darker or brighter than those learned from
    """

    look: Sequence[str] = ()
    accuracy: Mapping[str, float] | None = None
    score: Sequence[str] = ()
    alarms: Sequence[str] = ()
    light: Sequence[str] = ()


class Answered:
    """The answers of a command, of which a bounded number is kept for its page, however many come.

    threshold: the confidence below which a person should look; None where the run has none
    value_range: as the pictures are read
    """

    def __init__(self, threshold: float | None, value_range: ValueRange | None) -> None:
        self._threshold, self._value_range = threshold, value_range
        self._classes: dict[str, _Class] = {}
        self._apart = {name: _Few() for name in (UNFAMILIAR, LIGHT, MISTAKES)}
        self._unread: list[str] = []
        self._unread_number = 0
        self._number = 0

    def add(self, answer: Mapping[str, Any], file: str, content: str, given: str | None) -> None:
        """Count an answer; given: the class of a picture that counts for the score, None of all others.

        file: where the picture lies; content: the hash of the file that was classified
        """
        self._number += 1
        if "error" in answer:
            self._unread_number += 1
            if len(self._unread) < MOST_UNREAD:
                self._unread.append(printable(str(answer["error"]), keep=""))
            return
        picture = _picture(answer, file, content, given)
        of_class = self._classes.setdefault(picture.predicted, _Class())
        unfamiliar, odd_light = bool(answer.get("ood")), "brightness" in answer
        of_class.pictures += 1
        of_class.unfamiliar += unfamiliar
        of_class.unsure += self._threshold is not None and picture.probability < self._threshold
        of_class.given += given is not None
        of_class.right += given == picture.predicted
        if given is not None and given != picture.predicted:
            self._apart[MISTAKES].add(-picture.probability, picture)
        if unfamiliar:
            remark = picture.remark.removeprefix("unfamiliar").removeprefix(", ")
            self._apart[UNFAMILIAR].add(-answer["ood_score"], picture._replace(remark=remark))
        elif odd_light:
            self._apart[LIGHT].add(picture.probability, picture)
        else:
            of_class.few.add(picture.probability, picture)

    def build(
        self,
        out: Path,
        run: RunFolder,
        classes: Sequence[str],
        said: Said,
        *,
        stopped: bool = False,
        total: int | None = None,
    ) -> Path:
        """Draw the page and return out, its path.

        Only the pictures that are shown are read again, and only where they are still those that were
        classified.

        run, classes: whose network answered, and its classes
        stopped: whether somebody ended the command; total: how many pictures were named, where it is known
        """
        named = sorted(self._classes, key=natural_order)
        never = sorted({*classes} - self._classes.keys(), key=natural_order)
        groups = {name: few for name, few in self._apart.items() if few.number}
        idents = {name: f"class-{number}" for number, name in enumerate(named)}
        groups |= {idents[name]: few for name in named if (few := self._classes[name].few).number}
        shown = _shown(groups, out.parent, self._value_range)
        by_class = [
            {
                "ident": idents[name],
                "name": name,
                "count": _how_many(self._classes[name].few.number, len(shown[idents[name]])),
                "gallery": Gallery(shown[idents[name]], FIRST),
            }
            for name in named
            if shown.get(idents[name])
        ]
        apart = {
            name: None
            if few.number == 0
            else {
                "count": _how_many(few.number, len(shown[name])),
                "gallery": Gallery(shown[name], FIRST),
            }
            for name, few in self._apart.items()
        }
        context = {
            "page_title": f"{counted(self._number, 'picture')} · {run.path.resolve().name} · Linnaea",
            "eyebrow": _eyebrow(run),
            "banner": self._banner(total) if stopped else "",
            "verdict": self._verdict(said.accuracy),
            "look": _sentences(said.look),
            "caveats": not_worth_using(read_numbers(run)),
            "apart": apart,
            "light": _sentences(said.light),
            "alarms": _sentences(said.alarms),
            # The first is the headline.
            "score": _sentences(said.score if said.accuracy is None else said.score[1:]),
            "columns": self._columns(),
            "rows": [self._row(name, idents[name] if shown.get(idents[name]) else "") for name in named],
            "never": formatting.listed(never),
            "by_class": by_class,
            "where": _where_all_are(),
            "unread": self._unread,
            "unread_more": self._unread_number - len(self._unread),
            "command": command_line.get(),
            "run": run.path,
            "run_link": link(page if (page := run.path / "report.html").exists() else run.path, out.parent),
        }
        contents = (
            (UNFAMILIAR, "Unfamiliar", apart[UNFAMILIAR]),
            (LIGHT, "Light", apart[LIGHT]),
            (MISTAKES, "Mistakes", apart[MISTAKES]),
            ("classes", "Classes", named),
            ("pictures", "Pictures", by_class),
            ("unread", "Not read", self._unread),
            ("made", "How it was made", True),
        )
        context["contents"] = [(ident, title) for ident, title, there in contents if there]
        return write_page(out, "predicted.html.jinja", **context)

    def _banner(self, total: int | None) -> str:
        of = "" if total is None else f" of {total:,}"
        unit = plural(total or self._number, "picture")
        return f"It was stopped after {self._number:,}{of} {unit}; this page shows what was answered so far."

    def _verdict(self, accuracy: Mapping[str, float] | None) -> Verdict:
        read = self._number - self._unread_number
        if accuracy is None:
            return Verdict(f"{counted(read, 'picture')} {plural(read, 'was', 'were')} classified.")
        interval = accuracy["low"], accuracy["high"]
        pictures = int(accuracy["pictures"])
        of = "" if pictures == read else f" (of {counted(read, 'picture')} classified)"
        return Verdict(
            f"of {counted(pictures, 'picture')} with a given class were classified correctly{of}",
            percent(accuracy["value"], formatting.decimals_for(*interval)),
            formatting.how_sure(interval),
        )

    def _columns(self) -> list[str]:
        """Return the headings of the table of classes that have something below them."""
        every = self._classes.values()
        below = "" if self._threshold is None else f"Below {percent(self._threshold)}"
        columns = ("Class", True), ("Pictures", True), (below, self._threshold is not None)
        more = ("Unfamiliar", self._apart[UNFAMILIAR].number), ("Given class", any(c.given for c in every))
        return [title for title, there in (*columns, *more, ("Right", any(c.given for c in every))) if there]

    def _row(self, name: str, ident: str) -> dict[str, Any]:
        """Return one line of the table of classes; ident: where its pictures stand, "" where none do."""
        each, columns = self._classes[name], self._columns()
        numbers = [each.pictures]
        numbers += [each.unsure] if self._threshold is not None else []
        numbers += [each.unfamiliar] if "Unfamiliar" in columns else []
        numbers += [each.given, each.right] if "Right" in columns else []
        return {"name": name, "ident": ident, "numbers": numbers}


def _picture(answer: Mapping[str, Any], file: str, content: str, given: str | None) -> _Picture:
    predicted, shares = str(answer["predicted"]), answer["probabilities"]
    wrong = given is not None and given != predicted
    joined, other, share = "or", "", None
    if wrong:
        joined, other, share = "is", str(given), shares.get(given)
    elif "set" in answer:
        other = ", ".join(name for name in answer["set"] if name != predicted)
    elif len(shares) > 1:
        other = max((name for name in shares if name != predicted), key=shares.__getitem__)
        share = shares[other]
    remarks = ["unfamiliar"] if answer.get("ood") else []
    remarks += [f"{answer['brightness']} than any learned from"] if "brightness" in answer else []
    return _Picture(
        path=printable(str(answer["path"]), keep=""),
        file=file,
        content=content,
        predicted=predicted,
        probability=answer["probability"],
        given=given or "",
        joined=joined,
        other=other,
        other_probability=share,
        remark=", ".join(remarks),
    )


def _shown(
    groups: Mapping[str, _Few], folder: Path, value_range: ValueRange | None
) -> dict[str, list[Shown]]:
    """Return the pictures of each group as far as there is room; folder: of the page."""

    def read(group: str, picture: _Picture) -> tuple[str, _Picture, Thumbnail | None]:
        try:
            pixels = read_picture(
                picture.file, longest_side=SIDE, known=picture.content, value_range=value_range
            )
        except LinnaeaError:  # it has gone, or is another one by now
            return group, picture, None
        return group, picture, of_pixels(pixels, SIDE)

    album, shown, numbers = Album(ROOM), {name: list[Shown]() for name in groups}, count()
    chosen = list(_in_turn(groups))
    for group, picture, thumbnail in in_order(read, *zip(*chosen, strict=True)) if chosen else ():
        if thumbnail is None:
            continue
        if album.put(thumbnail) is None:
            break  # of all groups: what is left out is the surest of each
        number = next(numbers)
        shown[group].append(_as_shown(picture, thumbnail, number, folder))
        if number + 1 == MOST_IN_ALL:
            break
    return shown


def _in_turn(groups: Mapping[str, _Few]) -> Iterator[tuple[str, _Picture]]:
    """Yield groups' pictures in the order in which they get room: first of each group, then second, …

    What stands apart comes first; of classes, the one with the least sure answer.
    """
    kept = {name: few.pictures() for name, few in groups.items()}
    apart = [name for name in kept if name in (UNFAMILIAR, LIGHT, MISTAKES)]
    classes = sorted((name for name in kept if name not in apart), key=lambda name: groups[name].least)
    for name in apart:
        yield from ((name, picture) for picture in kept[name][:APART])
    for rank in range(MOST):
        for name in [*apart, *classes]:
            place = rank + APART if name in apart else rank
            if place < len(kept[name]):
                yield name, kept[name][place]


def _as_shown(picture: _Picture, thumbnail: Thumbnail, number: int, folder: Path) -> Shown:
    share = picture.other_probability
    return Shown(
        row=number,
        ident=f"picture-{number}",
        path=picture.path,
        original=link(picture.file, folder),
        file=formatting.cut_inside(PurePath(picture.path).name, LETTERS),
        true=picture.given,
        predicted=picture.predicted,
        probability=probability(picture.probability),
        joined=picture.joined,
        other=picture.other,
        other_probability="" if share is None else probability(share),
        picture=thumbnail,
        remark=picture.remark,
    )


def _sentences(words: Sequence[str]) -> list[str]:
    return [formatting.unbroken(sentences.sentence(each)) for each in words]


def _how_many(number: int, shown: int) -> str:
    """Return "312 pictures, 24 of them shown"."""
    return counted(number, "picture") + ("" if shown == number else f", {shown:,} of them shown")


def _where_all_are() -> str:
    """Return where the answers are that have no picture here."""
    if command_line.get() is None:
        return "All answers are in the list that linnaea.predict returned."
    return "All answers are in the table that the command printed; --format csv prints one for programs."


def _eyebrow(run: RunFolder) -> list[str]:
    network = ((run.info.network and run.info.network.summary) or "").partition(" · ")[0]
    name = run.path.resolve().name
    return [item for item in (f"classified by {name}", run.info.data.name, network) if item]
