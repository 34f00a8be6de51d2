"""A folder of pictures becomes a Dataset: one folder a class, perhaps below train/, val/ and test/."""

import os
import unicodedata
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from linnaea.data.dataset import Dataset
from linnaea.data.decoding import SUFFIXES
from linnaea.errors import DataError
from linnaea.text import counted, listed, option

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The folder names (and CSV values) that mean a set, and the set they mean."""

_LAYOUT = "Give each class a folder of its own (photos/rose/1.jpg, photos/tulip/2.jpg)."
# Written by systems and viewers, not by people: counted as hidden files.
_SYSTEM = {"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx"}


@dataclass
class _Listing:
    """What a walk through the folder found."""

    pictures: list[tuple[str, str, str]] = field(default_factory=list)  # path below root, label, split
    folders: set[str] = field(default_factory=set)  # every class that has a folder
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)  # links to what is read under another name
    upward: list[str] = field(default_factory=list)  # links back to the root or above
    above: set[object] = field(default_factory=set)  # the root and all that it lies in, as _identity tells
    seen: set[object] = field(default_factory=set)


@dataclass(frozen=True)
class _Branch:
    """A folder to walk through, and what its pictures are; linked: reached by a link, perhaps from afar."""

    folder: Path
    label: str
    split: str
    linked: bool


def open_folder(root: Path, source: str, *, strict: bool = False) -> Dataset:
    """Return the pictures below root, sorted by path; class names are folder names.

    A class folder may hold folders of its own; their pictures belong to the class. Links to folders are
    followed, but no folder is read twice, and none that the root lies in. Such links, hidden files, files
    that are not pictures by their ending, and pictures outside any class folder are left out and counted in
    the notes (strict: refused, hidden files apart).

    Raises DataError for a folder without pictures, without class folders or with one class only.
    """
    tops = _class_folders(root)
    whole = root.resolve()
    listing = _Listing(above={_identity(place) for place in (whole, *whole.parents)})
    is_split = _are_splits(tops)
    branches: list[_Branch] = []
    for top in tops:
        linked = _is_link(top)
        if linked and _identity(top) in listing.above:
            listing.upward.append(top.relative_to(root).as_posix())
            continue
        split = SPLIT_NAMES[top.name.lower()] if is_split else ""
        # NFC: macOS stores é as two characters, Linux as one; the class must not depend on where it was
        # copied.
        branches += [
            _Branch(folder, unicodedata.normalize("NFC", folder.name), split, linked or _is_link(folder))
            for folder in (_class_folders(top) if is_split else [top])
        ]
        if is_split:
            _sort_loose(top, root, listing)
    # Own folders first: of a folder and a link to it, the link is the copy.
    waiting = deque(sorted(branches, key=lambda branch: branch.linked))
    while waiting:
        waiting.extend(_walk(waiting.popleft(), root, listing))
    _sort_loose(root, root, listing)
    _check(root, source, listing, strict=strict)
    if is_split:
        _check_splits(tops, source, listing)
    listing.pictures.sort()
    paths, labels, splits = zip(*listing.pictures, strict=True)
    # Only train/ there: a data set without a split, whose classes happen to lie one level
    # deeper.
    divided = len(set(splits)) > 1
    empty = tuple(sorted(listing.folders - set(labels)))
    return Dataset(
        name=root.resolve().name,
        source=source,
        paths=paths,
        labels=np.array(labels),
        splits=np.array(splits) if divided else None,
        split_name=f"your folders {listed((top.name for top in tops), last=' and ')}",
        root=root,
        notes=tuple(_notes(listing, empty)),
        empty_classes=empty,
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"The folder {folder} could not be listed ({error.strerror}).", "Check its permissions."
        ) from error


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM


def _class_folders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if os.path.isdir(entry) and not _is_hidden(entry.name)]


def _are_splits(tops: list[Path]) -> bool:
    """Tell train/, val/ and test/ with class folders below from classes that happen to be called so."""
    named = bool(tops) and all(top.name.lower() in SPLIT_NAMES for top in tops)
    return named and any(_class_folders(top) for top in tops)


def _walk(branch: _Branch, root: Path, listing: _Listing) -> list[_Branch]:
    """List the pictures of a folder; return the links to folders below it, which come after all others."""

    def refuse(error: OSError) -> None:
        # os.walk would pass over a folder that it may not read, and the class would quietly shrink.
        raise DataError(
            f"The folder {error.filename} could not be listed ({error.strerror}).", "Check its permissions."
        ) from error

    links = []
    for place, inner, names in os.walk(branch.folder, onerror=refuse):
        identity = _identity(place)
        # Only behind a link: a plain tree has no loops, whatever its file system says of its folders.
        if branch.linked and (identity in listing.above or identity in listing.seen):
            left_out = listing.upward if identity in listing.above else listing.again
            left_out.append(Path(place).relative_to(root).as_posix())
            inner.clear()
            continue
        listing.seen.add(identity)
        listing.folders.add(branch.label)
        inner[:] = sorted(name for name in inner if not _is_hidden(name))
        linked = [name for name in inner if _is_link(Path(place, name))]
        links += [replace(branch, folder=Path(place, name), linked=True) for name in linked]
        for name in names:
            path = (Path(place) / name).relative_to(root).as_posix()
            kind = _kind(name)
            if kind == "picture":
                listing.pictures.append((path, branch.label, branch.split))
            else:
                getattr(listing, kind).append(path)
    return links


def _is_link(path: Path) -> bool:
    # A junction is what Windows has for a link to a folder; Python knows of it since 3.12.
    return path.is_symlink() or getattr(os.path, "isjunction", lambda _: False)(path)


def _identity(path: Path | str) -> object:
    """Return what two names of one folder have in common."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    # File systems without such numbers give 0 for all.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def _kind(name: str) -> str:
    if _is_hidden(name):
        return "hidden"
    if Path(name).suffix.lower() not in SUFFIXES:
        return "others"
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        # Such a name (bytes of another encoding) could not be written into split.csv and read again.
        return "unnamed"
    return "picture"


def _sort_loose(folder: Path, root: Path, listing: _Listing) -> None:
    for entry in _entries(folder):
        if os.path.isdir(entry):
            continue
        kind = _kind(entry.name)
        getattr(listing, "loose" if kind == "picture" else kind).append(entry.relative_to(root).as_posix())


def _check(root: Path, source: str, listing: _Listing, *, strict: bool) -> None:
    labels = sorted({label for _, label, _ in listing.pictures})
    links = _links_left_out(listing)
    if not labels:
        # The commonest mistake first: all pictures in one folder, the labels in their names or nowhere.
        if listing.loose:
            pictures = counted(len(listing.loose), "picture")
            raise DataError(f"{source} contains {pictures} and no class folders.", _LAYOUT)
        if listing.folders:
            count = counted(len(listing.folders), "class folder")
            raise DataError(f"{source} contains {count} and no picture in any of them{links}.", _LAYOUT)
        raise DataError(f"{source} contains no pictures{links}.", _LAYOUT)
    if len(labels) == 1:
        raise DataError(
            f"{source} contains pictures of one class only, '{labels[0]}'{links}.",
            "Classification needs two classes or more: add a folder for another class.",
        )
    # Hidden files are the system's, and nobody meant them as pictures: not even strict asks about them.
    left_out = listing.others + listing.loose + listing.unnamed + listing.again + listing.upward
    if strict and left_out:
        raise DataError(
            f"{source} contains {counted(len(left_out), 'file')} that would be left out "
            f"({listed(left_out)}).",
            f"Move them away, or leave {option('strict')} out.",
        )


def _check_splits(tops: list[Path], source: str, listing: _Listing) -> None:
    """Refuse a set's folder without pictures: the user meant to have that set."""
    filled = {split for _, _, split in listing.pictures}
    empty = sorted(top.name for top in tops if SPLIT_NAMES[top.name.lower()] not in filled)
    if empty:
        verb, links = "contain" if len(empty) > 1 else "contains", _links_left_out(listing)
        raise DataError(
            f"{listed(f'{Path(source) / name}' for name in empty)} {verb} no pictures{links}.",
            "Add pictures in class folders, or remove the empty folder to have its set drawn from others.",
        )


def _links_left_out(listing: _Listing) -> str:
    """Return the notes on links as the end of another sentence; "" where none was left out."""
    sentences = [
        note.rstrip(".") for note in _notes(_Listing(again=listing.again, upward=listing.upward), ())
    ]
    return "".join(f"; {note}" for note in sentences)


def _notes(listing: _Listing, empty: tuple[str, ...]) -> list[str]:
    notes = []
    kinds = [
        (listing.again, "link to a folder that is read already", "links to folders that are read already"),
        (listing.upward, "link back to this folder or above it", "links back to this folder or above it"),
        (listing.hidden, "hidden file", "hidden files"),
        (listing.others, "file that is not a picture", "files that are not pictures"),
        (listing.loose, "picture outside any class folder", "pictures outside any class folder"),
        (listing.unnamed, "picture whose name is not Unicode", "pictures whose names are not Unicode"),
    ]
    for paths, one, many in kinds:
        if paths:
            names = listed((path.encode("utf-8", "replace").decode() for path in paths), 3)
            notes.append(f"{counted(len(paths), one, many)} left out ({names}).")
    if empty:
        notes.append(f"{counted(len(empty), 'empty class folder')} left out ({listed(empty)}).")
    return notes
