"""Pictures as people name them to be classified: files, folders, patterns and a list, in the order given."""

import codecs
import csv
import glob
import os
import re
import sys
import unicodedata
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatch
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from linnaea import reading
from linnaea.data import folders
from linnaea.data.columns import column_names
from linnaea.data.decoding import SUFFIXES
from linnaea.data.tables import told_separator
from linnaea.data.tree import Tree, walk
from linnaea.errors import DataError, UsageError, printable
from linnaea.text import option

STDIN = "-"
"""The list that is read from standard input."""

_BLOCK = 1 << 16  # bytes of a list that are read at a time
_MAX_NAME = 1 << 20  # characters without a new line: no list of names
_SAMPLE = 50  # names of a list that tell where all start
_SLASHES = r"[\\/]" if os.name == "nt" else "/"
_LISTS = (".txt", ".csv", ".tsv", ".lst")


class Named(NamedTuple):
    """A picture that was named.

    name: what its answer calls it
    file: where it lies
    within: what may be called like its class, the last first: the folders of a tree from the one that was
        named, or the label of a table; () where it was named by itself
    """

    name: str
    file: str
    within: tuple[str, ...] = ()


class NamedPictures:
    """The pictures of names and of a list, in the order given; a picture named twice comes twice.

    Names are looked up at once. A list is read while it is gone through, so that its length takes no memory;
    once, if it comes from standard input.

    total: how many there are; None where standard input has not said
    notes: what was left out of folders, in sentences
    """

    def __init__(self, names: Sequence[str | Path], listed: str | Path | None = None) -> None:
        self.notes: list[str] = []
        self._parts: list[Iterable[Named]] = []
        self._named = 0
        for name in names:
            self._add(str(name))
        self.total: int | None = self._named
        if listed is not None:
            lines = _List(str(listed))
            self._parts.append(lines)
            self.total = None if lines.length is None else self._named + lines.length
            self.notes += lines.notes
        if not self._parts:
            raise UsageError(
                "No pictures are named.",
                f"Name files, folders or patterns, or a list of names with {option('list')}.",
            )

    def __iter__(self) -> Iterator[Named]:
        return chain.from_iterable(self._parts)

    def _add(self, name: str) -> None:
        if not name:
            raise UsageError("The name of a picture is empty.", "Name files, folders or patterns.")
        if _is_list(name):
            raise UsageError(f"{name} is no picture.", f"For the names in it: {option('list', name)}.")
        if not os.path.lexists(name):
            # Where no shell has done it: in quotation marks, and on Windows.
            name = os.path.expanduser(name)
        if os.path.isdir(name):
            self._add_folder(name)
        elif glob.has_magic(name) and not os.path.lexists(name):
            self._add_pattern(name)
        else:
            self._extend([Named(name, name)])

    def _extend(self, pictures: "Sequence[Named] | _Below") -> None:
        self._named += len(pictures)
        self._parts.append(pictures)

    def _add_folder(self, name: str) -> None:
        tree = walk(Path(name))
        # A name that no table of training can hold can be answered all the same.
        tree.pictures, tree.unnamed = sorted(tree.pictures + tree.unnamed), []
        notes = _of(name, folders.left_out(tree))
        if not tree.pictures:
            raise DataError(f"{name} contains no pictures.", " ".join(notes) or "Check its name.")
        self.notes += notes
        self._extend(_Below(name, tree.pictures))

    def _add_pattern(self, pattern: str) -> None:
        """Add what a pattern matches: pictures by their ending, and folders with all that is in them.

        The rules for what is left out are those of a folder. ** is any folders, or none; it reaches into
        folders by itself.
        """
        root, words = _divided(pattern)
        deep = "**" in words
        if not os.path.isdir(root):
            raise DataError(f"No picture matches {pattern}: there is no folder {root}.", "Check its name.")
        tree = walk(Path(root), None if deep else len(words))
        pictures = [path for path in tree.pictures + tree.unnamed if _matches(path.split("/"), words)]
        inside = [] if deep else [path for path in tree.folders - {""} if _matches(path.split("/"), words)]
        # Hidden folders are not meant by a pattern, nor are those that it would not have reached.
        programs = [path for path in tree.programs if not path.rpartition("/")[2].startswith(".")]
        reached = Tree(
            pictures=tree.pictures,
            others=[path for path in tree.others if _matches(path.split("/"), words)],
            programs=[path for path in programs if _reaches(path.split("/"), words)],
            runs={path for path in tree.runs if _reaches(path.split("/"), words)},
            again=[path for path in tree.again if _reaches(path.split("/"), words)],
            upward=[path for path in tree.upward if _reaches(path.split("/"), words)],
        )
        notes = _of(pattern, folders.left_out(reached))
        if not pictures and not inside:
            raise DataError(f"No picture matches {pattern}.", " ".join(notes) or "Check its spelling.")
        self.notes += notes
        self._add_in_order(root, sorted(pictures), set(inside))

    def _add_in_order(self, root: str, pictures: list[str], inside: set[str]) -> None:
        """Add the pictures below root, and all that is in the folders inside, by their names."""
        if not inside:
            self._extend(_Below(root, pictures))
            return
        for path in sorted([*pictures, *inside]):
            if path in inside:
                self._add_folder(os.path.join(root, path))
            else:
                self._extend(_Below(root, [path]))


class _Below:
    """Pictures below a folder: their paths from there."""

    def __init__(self, root: str, paths: list[str]) -> None:
        self._root, self._paths = root, paths
        # Of "." too: somebody stands in it.
        self._own = _composed(os.path.basename(os.path.abspath(root)))

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Named]:
        for path in self._paths:
            name = os.path.join(self._root, *path.split("/")) if self._root != "." else path
            yield Named(name, name, (self._own, *map(_composed, path.split("/")[:-1])))


class _List:
    """A list of names: one a line, or the column path of a table, perhaps with the column label.

    length: how many lines; None where only reading them tells
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.length: int | None = None
        self.notes: list[str] = []
        self._root = ""
        if name == STDIN:
            if sys.stdin is None:
                raise UsageError("There is no standard input.", f"Pass a file with {option('list')}.")
            return
        if _ending(name) in SUFFIXES:
            raise UsageError(f"{name} is a picture, not a list.", f"Leave {option('list')} out.")
        try:
            self.length = sum(1 for _ in self)
            self._find_root()
        except IsADirectoryError as error:
            raise DataError(f"{name} is a folder, not a list.", f"Leave {option('list')} out.") from error
        except OSError as error:
            raise DataError(f"{name} could not be read ({error.strerror}).", "Check its name.") from error

    def __iter__(self) -> Iterator[Named]:
        return self._pictures()

    def _pictures(self) -> Generator[Named, None, None]:
        if self._name == STDIN:
            yield from self._named(sys.stdin.buffer)
        else:
            with reading.opened(self._name, reading.MAX_TABLE) as file:
                yield from self._named(file)

    def _find_root(self) -> None:
        """Let names start from where most of the first ones are: the working directory, or the list's."""
        own = os.path.dirname(self._name)
        with closing(self._pictures()) as pictures:
            names = [picture.name for picture in islice(pictures, _SAMPLE)]
        here, beside = (
            sum(os.path.isfile(os.path.join(folder, name)) for name in names) for folder in ("", own)
        )
        if beside > here:
            self._root = own
            self.notes.append(f"The names in {self._name} start from its own folder.")

    def _named(self, file: BinaryIO) -> Iterator[Named]:
        lines = _lines(file, self._name)
        first = next(lines, "")
        told = told_separator(first)
        if told:
            first = next(lines, "")
        columns = _columns(first, told, self._name)
        if columns is None and _ending(self._name) in {".csv", ".tsv"}:
            raise DataError(
                f"{self._name} has no column 'path' in its first line ({printable(first[:100])}).",
                "Name the columns there, or call a list of names .txt.",
            )
        if columns is None:
            for name in chain([first], lines):
                if name:
                    yield Named(name, os.path.join(self._root, name))
            return
        separator, places = columns
        try:
            # The lines of a quoted value are joined again by what stood between them.
            for row in csv.reader(
                (f"{line}\n" for line in lines), delimiter=separator, skipinitialspace=True
            ):
                path, label = (row[at].strip() if at is not None and at < len(row) else "" for at in places)
                # Tables made on Windows separate folders by backslashes.
                path = path.replace("\\", "/")
                if path:
                    within = (_composed(label),) if label else ()
                    yield Named(path, os.path.join(self._root, path), within)
        except csv.Error as error:
            raise DataError(f"{self._name} is not CSV ({error}).", "Correct it.") from error


def _columns(first: str, told: str | None, name: str) -> tuple[str, tuple[int, int | None]] | None:
    """Return the separator of a table, and which of its columns are path and label; None for a plain list.

    first: the line with the columns' names, told: the separator that a line before it names
    name: what the list is called

    Raises DataError where two columns may be the path, or the label.
    """
    separator = told or max(",;\t", key=first.count)
    try:
        names = column_names(next(csv.reader([first], delimiter=separator), []), name)
    except csv.Error:
        return None
    if "path" not in names:
        return None
    return separator, (names.index("path"), names.index("label") if "label" in names else None)


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of a list, however long, or what zero characters separate (find -print0).

    It is UTF-8, or UTF-16 with its mark, as PowerShell writes it; other bytes stay what they are in names of
    files (PEP 383). Raises DataError for what is no list of names.
    """
    # Part by part, as it comes: whoever writes into the pipe need not have ended.
    read = getattr(file, "read1", file.read)
    part = read(_BLOCK)
    utf_16 = part.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    errors = "strict" if utf_16 or os.name == "nt" else "surrogateescape"
    decoder = codecs.getincrementaldecoder("utf-16" if utf_16 else "utf-8-sig")(errors)
    separator, rest = "\n", ""
    try:
        while True:
            text = rest + decoder.decode(part, final=not part)
            if "\0" in text:
                separator = "\0"
            *lines, rest = text.split(separator)
            yield from lines if separator == "\0" else (line.removesuffix("\r") for line in lines)
            if len(rest) > _MAX_NAME:
                raise DataError(f"{name} is not a list of names, one a line.", "Check its name.")
            if not part:
                break
            part = read(_BLOCK)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not a list of names in UTF-8 ({error.reason}).", "Save it so.") from error
    if rest:
        yield rest.removesuffix("\r")


def _is_list(name: str) -> bool:
    return _ending(name) in _LISTS and os.path.isfile(name)


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _divided(pattern: str) -> tuple[str, list[str]]:
    """Return the folder that a pattern starts from, and its words below it."""
    words = re.split(_SLASHES, pattern)
    first = next(number for number, word in enumerate(words) if glob.has_magic(word))
    root = os.sep.join(words[:first])
    # "/*.jpg": what stands before the first slash is nothing.
    root = root or (os.sep if first else ".")
    return root, [word for word in words[first:] if word]


def _matches(parts: list[str], words: list[str]) -> bool:
    """Tell a path that a pattern matches, both in their parts."""
    if not words:
        return not parts
    if words[0] == "**":
        return _matches(parts, words[1:]) or (bool(parts) and _matches(parts[1:], words))
    return bool(parts) and fnmatch(parts[0], words[0]) and _matches(parts[1:], words[1:])


def _reaches(parts: list[str], words: list[str]) -> bool:
    """Tell a folder in or below which a pattern may match something."""
    if not parts or not words or words[0] == "**":
        return bool(words)
    return fnmatch(parts[0], words[0]) and (len(words) == 1 or _reaches(parts[1:], words[1:]))


def _of(name: str, notes: list[str]) -> list[str]:
    return [f"{name}: {note}" for note in notes]


def _composed(name: str) -> str:
    # As training composes the names of classes.
    return unicodedata.normalize("NFC", name)
