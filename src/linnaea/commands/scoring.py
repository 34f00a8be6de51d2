"""The score of pictures whose class is given: by a folder that is called like it, or by a table."""

from collections.abc import Sequence
from functools import cached_property

from linnaea.commands import terminal
from linnaea.errors import DataError
from linnaea.evaluation.intervals import wilson
from linnaea.runs.folder import RunFolder
from linnaea.runs.tables import split_of
from linnaea.text import counted, listed, natural_order, plural

_NAMED = 3  # folders without a class that are named


class Score:
    """How many pictures with a given class are classified as it, counted as they come.

    Only new ones: those of the run's own sets are known by the hash of their content, and are left out. The
    network learned from them or was chosen on them; or they are its test set, whose openings are counted.
    """

    def __init__(self, run: RunFolder, classes: Sequence[str]) -> None:
        self._run, self._classes = run, set(classes)
        self._right = self._counted = self._own = 0
        self._elsewhere = 0
        self._others: dict[str, None] = {}
        self._unchecked = ""

    def class_of(self, within: Sequence[str]) -> str | None:
        """Return the class that a picture is given: by the innermost folder that is called like one.

        within: what Named.within holds.
        """
        return next((name for name in reversed(within) if name in self._classes), None)

    def add(self, within: Sequence[str], given: str | None, predicted: str, content: str) -> bool:
        """Count a picture, and return whether it counts for the score.

        given: its class_of; content: the hash of its file where it has a class
        """
        if given is None:
            if within:
                self._elsewhere += 1
                if len(self._others) <= _NAMED:
                    self._others[within[-1]] = None
            return False
        if content in self._known:
            self._own += 1
            return False
        self._counted += 1
        self._right += given == predicted
        return True

    @cached_property
    def _known(self) -> frozenset[str]:
        """The hashes of the content of the run's own pictures."""
        try:
            rows = split_of(self._run)
        except DataError as error:
            rows, self._unchecked = None, error.message
        else:
            self._unchecked = "" if rows else f"{self._run.path} has no split.csv."
        return frozenset(row["hash"] for row in rows or ())

    @property
    def accuracy(self) -> dict[str, float] | None:
        """The score as {"value", "low", "high", "pictures"}; None where no picture counts for it."""
        if not self._counted:
            return None
        share = self._right / self._counted
        low, high = wilson(self._right, self._counted)
        return {"value": share, "low": low, "high": high, "pictures": self._counted}

    def sentences(self) -> list[str]:
        """Return the score with its interval, and what it is of; nothing where no class is given."""
        if not self._counted and not self._own:
            return self._no_classes()
        own = f"{counted(self._own, 'picture')} of the run's own training, validation and test set"
        accuracy = self.accuracy
        if accuracy is None:
            return [f"none: all that have a given class (folder or label) are {own}"]
        number = terminal.interval(accuracy)
        of = f"{counted(self._counted, 'picture')} with a given class (folder or label)"
        words = [f"accuracy {number} on {of}"]
        if self._own:
            words.append(f"{own} {plural(self._own, 'is', 'are')} not counted")
        if self._elsewhere:
            words.append(
                f"{counted(self._elsewhere, 'picture')} without a class of this network "
                f"({self._without_class()}) {plural(self._elsewhere, 'is', 'are')} not counted"
            )
        if self._unchecked:
            words.append(f"whether they are the run's own was not checked: {self._unchecked}")
        words.append(
            "this is a test only if the pictures are new: independent of those in training (no copies, no "
            "others of one plant or one burst), and nothing was chosen on them"
        )
        return words

    def _no_classes(self) -> list[str]:
        if len(self._others) < 2:
            return []
        classes = sorted(self._classes, key=natural_order)
        return [
            f"none: the folders or labels ({self._without_class()}) are not called like this network's "
            f"classes ({listed(classes, 3)})"
        ]

    def _without_class(self) -> str:
        names = sorted(self._others, key=natural_order)
        return ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")
