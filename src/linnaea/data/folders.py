"""A folder of pictures becomes a Dataset: one folder a class, perhaps below train/, val/ and test/."""

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from linnaea.data.dataset import Dataset, counted, listed
from linnaea.data.pictures import SUFFIXES
from linnaea.errors import DataError

PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The folder names (and CSV values) that mean a part, and the part they mean."""

_LAYOUT = "Give each class a folder of its own (photos/rose/1.jpg, photos/tulip/2.jpg)."
# Written by systems and viewers, not by people: counted as hidden files.
_SYSTEM = {"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx"}


@dataclass
class _Listing:
    """What a walk through the folder found."""

    pictures: list[tuple[str, str, str]] = field(default_factory=list)  # path below root, label, part
    folders: set[str] = field(default_factory=set)  # every class that has a folder
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)


def open_folder(root: Path, source: str, *, strict: bool = False) -> Dataset:
    """Return the pictures below root, sorted by path; class names are folder names.

    A class folder may hold folders of its own; their pictures belong to the class. Hidden files, files that
    are not pictures by their ending, and pictures outside any class folder are left out and counted in the
    notes (strict: refused, hidden files apart).

    Raises DataError for a folder without pictures, without class folders or with one class only.
    """
    tops = _class_folders(root)
    listing = _Listing()
    parts_given = _are_parts(tops)
    for top in tops:
        part = PART_NAMES[top.name.lower()] if parts_given else ""
        # NFC: macOS stores é as two characters, Linux as one; the class must not depend on where it was
        # copied.
        for folder in _class_folders(top) if parts_given else [top]:
            _walk(folder, root, unicodedata.normalize("NFC", folder.name), part, listing)
        if parts_given:
            _sort_loose(top, root, listing)
    _sort_loose(root, root, listing)
    _check(root, source, listing, strict=strict)
    if parts_given:
        _check_parts(tops, source, listing)
    listing.pictures.sort()
    paths, labels, parts = zip(*listing.pictures, strict=True)
    # Only train/ there: a data set without an official division, whose classes happen to lie one level
    # deeper.
    divided = len(set(parts)) > 1
    empty = tuple(sorted(listing.folders - set(labels)))
    return Dataset(
        name=root.resolve().name,
        source=source,
        paths=paths,
        labels=np.array(labels),
        parts=np.array(parts) if divided else None,
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
    return [entry for entry in _entries(folder) if entry.is_dir() and not _is_hidden(entry.name)]


def _are_parts(tops: list[Path]) -> bool:
    """Tell train/, val/ and test/ with class folders below from classes that happen to be called so."""
    named = bool(tops) and all(top.name.lower() in PART_NAMES for top in tops)
    return named and any(_class_folders(top) for top in tops)


def _walk(folder: Path, root: Path, label: str, part: str, listing: _Listing) -> None:
    listing.folders.add(label)

    def refuse(error: OSError) -> None:
        # os.walk would pass over a folder that it may not read, and the class would quietly shrink.
        raise DataError(
            f"The folder {error.filename} could not be listed ({error.strerror}).", "Check its permissions."
        ) from error

    for place, inner, names in os.walk(folder, onerror=refuse):
        inner[:] = sorted(name for name in inner if not _is_hidden(name))
        for name in names:
            path = (Path(place) / name).relative_to(root).as_posix()
            kind = _kind(name)
            if kind == "picture":
                listing.pictures.append((path, label, part))
            else:
                getattr(listing, kind).append(path)


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
        if entry.is_dir():
            continue
        kind = _kind(entry.name)
        getattr(listing, "loose" if kind == "picture" else kind).append(entry.relative_to(root).as_posix())


def _check(root: Path, source: str, listing: _Listing, *, strict: bool) -> None:
    labels = sorted({label for _, label, _ in listing.pictures})
    if not labels:
        # The commonest mistake first: all pictures in one folder, the labels in their names or nowhere.
        if listing.loose:
            pictures = counted(len(listing.loose), "picture")
            raise DataError(f"{source} holds {pictures} and no class folders.", _LAYOUT)
        if listing.folders:
            count = counted(len(listing.folders), "class folder")
            raise DataError(f"{source} holds {count} and no picture in any of them.", _LAYOUT)
        raise DataError(f"{source} holds no pictures.", _LAYOUT)
    if len(labels) == 1:
        raise DataError(
            f"{source} holds pictures of one class only, '{labels[0]}'.",
            "Telling pictures apart needs two classes or more: add a folder for another class.",
        )
    # Hidden files are the system's, and nobody meant them as pictures: not even strict asks about them.
    left_out = listing.others + listing.loose + listing.unnamed
    if strict and left_out:
        raise DataError(
            f"{source} holds {counted(len(left_out), 'file')} that would be left out ({listed(left_out)}).",
            "Move them away, or leave --strict out.",
        )


def _check_parts(tops: list[Path], source: str, listing: _Listing) -> None:
    """Refuse a part's folder without pictures: the person meant to have that part."""
    filled = {part for _, _, part in listing.pictures}
    empty = sorted(top.name for top in tops if PART_NAMES[top.name.lower()] not in filled)
    if empty:
        verb = "hold" if len(empty) > 1 else "holds"
        raise DataError(
            f"{listed(f'{Path(source) / name}' for name in empty)} {verb} no pictures.",
            "Add pictures in class folders, or remove the empty part to have it drawn from the others.",
        )


def _notes(listing: _Listing, empty: tuple[str, ...]) -> list[str]:
    notes = []
    kinds = [
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
