"""Pictures that a table names without their folder or their ending, found below the table's own folder."""

import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from linnaea.data.decoding import SUFFIXES
from linnaea.data.tree import walk

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


class FoundByName:
    """The pictures below a folder, by their names; they are listed when the first is looked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str) -> list[str]:
        """Return the paths below the folder, with slashes, that a name may mean.

        A name with a picture's ending means files of this name, any other those of this name with an ending;
        capitals count only where several differ in nothing else. Folders before it must agree as far as both
        go: a path that was written elsewhere, /kaggle/input/train/1.jpg, may begin above the folder. If none
        agree, those of an absolute path (/data/upload/1.jpg, C:/me/1.jpg) say nothing here.
        """
        parts = PurePosixPath(name).parts
        if not parts:
            return []
        whole = PurePosixPath(name).suffix.lower() in SUFFIXES
        inside = [part for part in parts[:-1] if part not in ("/", ".")]
        stem = PurePosixPath(name).stem if whole else parts[-1]
        called = [
            path
            for path in self._by_stem.get(stem.casefold(), ())
            if not whole or PurePosixPath(path).suffix.lower() == PurePosixPath(name).suffix.lower()
        ]
        called = [path for path in called if PurePosixPath(path).stem == stem] or called
        agreeing = [path for path in called if _agree(inside, path.split("/")[:-1])]
        return agreeing or (called if _ABSOLUTE.match(name) else [])

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        by_stem: dict[str, list[str]] = defaultdict(list)
        for path in walk(self._folder).pictures:
            by_stem[PurePosixPath(path).stem.casefold()].append(path)
        return by_stem


def _agree(named: list[str], there: list[str]) -> bool:
    """Tell folders of which the inner ones are the same, as far as both go."""
    both = min(len(named), len(there))
    return not both or named[-both:] == there[-both:]
