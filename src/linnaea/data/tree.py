"""What lies below a folder: its pictures, and what is left out, each by the reason why."""

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from linnaea import reading
from linnaea.data.decoding import SUFFIXES
from linnaea.errors import DataError
from linnaea.text import is_unicode

# Written by systems and viewers, not by people: counted as hidden.
_SYSTEM = {"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx"}

PROGRAMS = frozenset(
    [
        # Deleted files: Windows, Synology, QNAP, Linux.
        *("$recycle.bin", "recycler", "recycled", "#recycle", "@recycle", "lost+found"),
        # Restore points and snapshots.
        *("system volume information", "#snapshot", "@snapshot", "@sharesnap", "@recently-snapshot"),
        # Thumbnails and caches: Synology, QNAP, photo programs, Python.
        *("@eadir", "@__thumb", "@tmp", "thumbs", "_thumbs", "thumbnails", "_thumbnails", "cache", "_cache"),
        *("caches", "__cache__", "__pycache__", "pspbrwse", "zbthumbnail.info"),
    ]
)
"""Folders that programs make among people's pictures, in small letters."""

RUN_RECORDS = ("run.json", "repeats.json", "folds.json")
"""What says that a folder is a run, or several of one recipe."""
RUN_LOCK = "run.lock"
"""Stands in a run's folder while it is written, before its record does."""
RUN_FOLDERS = ("checkpoint", "mistakes", "doubtful", "cells", "label_issues", "label_errors")
"""A run's folders, with thumbnails of its pictures."""


@dataclass
class Tree:
    """What a walk through a folder came upon; every path starts from it, with slashes.

    pictures: files that are pictures by their ending
    folders: every folder, those without pictures included; "" for the folder itself
    hidden, others: files of the system; files with another ending than a picture's
    unnamed: pictures whose path is not Unicode
    again, upward: links to folders that are read under another name; to the folder itself or above it
    programs: folders in PROGRAMS, and hidden ones
    runs: folders of runs, and theirs; the pictures of the user that lie in them are among the pictures
    """

    pictures: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    upward: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)

    def left_out_runs(self) -> list[str]:
        """Return the outermost folders that hold runs and no pictures, and a run's own among pictures."""
        filled = {above for path in self.pictures + self.unnamed for above in parents(path)}
        outermost = set()
        for run in self.runs - filled:
            while (above := parent(run)) not in filled and above:
                run = above
            outermost.add(run)
        return sorted(outermost - {""})


def parent(path: str) -> str:
    """Return the folder that a path lies in, "" for the root."""
    return path.rpartition("/")[0]


def parents(path: str) -> list[str]:
    """Return every folder that a path lies in, the nearest first, the root, "", last."""
    above = []
    while path:
        path = parent(path)
        above.append(path)
    return above


def walk(root: Path, depth: int | None = None) -> Tree:
    """Return what lies below root. Links to folders are followed, but no folder is read twice.

    depth: how many levels of folders below root are looked into; None: all

    Raises DataError for a folder that may not be listed.
    """
    whole = root.resolve()
    above = {_identity(place) for place in (whole, *whole.parents)}
    tree, seen = Tree(), set[object]()
    # Own folders first: of a folder and a link to it, the link is the copy.
    waiting = deque([(root, False)])
    while waiting:
        folder, linked = waiting.popleft()
        waiting.extend((link, True) for link in _walk(folder, linked, root, tree, above, seen, depth))
    for paths in (tree.pictures, tree.hidden, tree.others, tree.unnamed, tree.programs):
        paths.sort()
    return tree


def _walk(
    folder: Path,
    linked: bool,
    root: Path,
    tree: Tree,
    above: set[object],
    seen: set[object],
    depth: int | None,
) -> list[Path]:
    """List a folder; return the links to folders in it, which come after all others."""

    def refuse(error: OSError) -> None:
        # os.walk would pass over a folder that it may not read, and the class would quietly shrink.
        raise DataError(
            f"The folder {error.filename} could not be listed ({error.strerror}).", "Check its permissions."
        ) from error

    links = []
    for place, inner, names in os.walk(folder, onerror=refuse):
        here = _below(Path(place), root)
        identity = _identity(place)
        # Only behind a link: a plain tree has no loops, whatever its file system says of its folders.
        if linked and (identity in above or identity in seen):
            (tree.upward if identity in above else tree.again).append(here)
            inner.clear()
            continue
        seen.add(identity)
        tree.folders.add(here)
        in_run = _is_run(Path(place), names)
        if in_run:
            tree.runs.add(here)
        inner[:] = [name for name in sorted(inner) if _is_walked(name, here, in_run, tree)]
        if depth is not None and len(parents(here)) >= depth:
            inner.clear()
        links += [Path(place, name) for name in inner if _is_link(Path(place, name))]
        for name in names:
            path = f"{here}/{name}" if here else name
            kind = _kind(name, path)
            # A run's own tables and pages are no news; the user's pictures beside them are.
            if kind in {"pictures", "unnamed"} or not in_run:
                getattr(tree, kind).append(path)
    return links


def _below(path: Path, root: Path) -> str:
    below = path.relative_to(root).as_posix()
    return "" if below == "." else below


def _is_walked(name: str, here: str, in_run: bool, tree: Tree) -> bool:
    """Tell a folder that may hold the user's pictures; write down why another is left out."""
    path = f"{here}/{name}" if here else name
    if _is_hidden(name) or name.lower() in PROGRAMS:
        tree.programs.append(path)
    elif in_run and name in RUN_FOLDERS:
        tree.runs.add(path)
    else:
        return True
    return False


def _is_run(place: Path, names: list[str]) -> bool:
    if RUN_LOCK in names:
        return True
    for name in RUN_RECORDS:
        if name in names:
            try:
                record = reading.read_json(place / name)
            except (OSError, ValueError, DataError):
                continue
            # Other programs have a run.json, too.
            if isinstance(record, dict) and "format_version" in record:
                return True
    return False


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM


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


def _kind(name: str, path: str) -> str:
    if _is_hidden(name):
        return "hidden"
    if PurePosixPath(name).suffix.lower() not in SUFFIXES:
        return "others"
    # A name in another encoding could not be written into split.csv and read again.
    return "pictures" if is_unicode(path) else "unnamed"
