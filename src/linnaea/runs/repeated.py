"""RunGroup: a folder of several runs of one recipe, over seeds (repeats) or over folds."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from linnaea.errors import RunError
from linnaea.runs.folder import GROUP_FILES, LABEL_ISSUES, RunFolder, is_plain_name
from linnaea.runs.schema import GroupInfo
from linnaea.text import command, percent

if TYPE_CHECKING:
    from pandas import DataFrame

Kind = Literal["repeats", "folds"]
KINDS: tuple[Kind, ...] = ("repeats", "folds")


class RunGroup(RunFolder):
    """Runs 1, 2, … of one recipe, each a complete run folder, and what they say together.

    repeats.json or folds.json · report.html; of folds also folds.csv, label_issues.csv, label_issues.html and
    the thumbnails in label_issues/

    kind: "repeats" or "folds"
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        super().__init__(path)
        self.kind = kind

    @staticmethod
    def is_group(path: str | Path) -> bool:
        """Tell whether path is a folder of repeats or folds, and not a single run."""
        return any((Path(path) / name).is_file() for name in GROUP_FILES)

    @classmethod
    def around(cls, run: RunFolder) -> "RunGroup | None":
        """Return the group that a run belongs to; None for one that stands alone, or was taken out of its."""
        if run.info.one_of is None or not cls.is_group(run.path.parent):
            return None
        group = cls.open_group(run.path.parent)
        return group if run.path.name in group._named() else None

    @classmethod
    def begin(cls, path: str | Path, kind: Kind, *, overwrite: bool = False) -> "RunGroup":
        """Begin a group in path; overwrite removes the files of old runs and no others.

        Raises RunError as RunFolder.create does.
        """
        RunFolder.create(path, overwrite=overwrite)
        group = cls(Path(path), kind)
        if (group.path / "run.json").exists():
            # What is left of an old run says that there was one, until the group's own file does.
            group.flush()
            (group.path / "run.json").unlink()
        return group

    @classmethod
    def open_group(cls, path: str | Path) -> "RunGroup":
        """Open a group that exists. Raises RunError for anything else, or a newer format."""
        RunFolder(Path(path)).check_parts()
        there = [name for name in GROUP_FILES if (Path(path) / name).is_file()]
        if not there:
            raise RunError(
                f"{path} is not a folder of repeats or folds (neither {' nor '.join(GROUP_FILES)} in it).",
                "Make one with: linnaea train DATA --repeats 5.",
            )
        group = cls(Path(path), "repeats" if there[0] == "repeats.json" else "folds")
        group.info  # noqa: B018 (read, and so checked, before anything rests on it)
        return group

    @property
    def file(self) -> str:
        """The name of the file with the record of the group: repeats.json or folds.json."""
        return f"{self.kind}.json"

    @cached_property
    def info(self) -> GroupInfo:
        """The record of the group; see RunFolder.info."""
        return self._read_info(GroupInfo)

    @property
    def predictions(self) -> "DataFrame":
        """The tables of all folds in one, each picture once; see RunFolder.predictions.

        Raises RunError of repeats, whose tables may hold a picture several times.
        """
        if self.kind == "folds":
            return self._table("folds.csv")
        raise RunError(
            f"{self.path} contains repeats, each with a table of its own.", "Take them from its runs()."
        )

    def _in_short(self) -> list[str]:
        """Return the mean accuracy of the runs in HTML; nothing where none is evaluated yet."""
        accuracy = self.metrics().get("accuracy")
        runs = f"{len(self.runs())} {self.kind}"
        return [] if accuracy is None else [f"<b>{percent(accuracy['mean'])}</b> on average of {runs}"]

    def begun(self, number: int) -> RunFolder | None:
        """Return the run of this number if the group has begun it."""
        name = str(number)
        return RunFolder.open(self.path / name) if name in self._named() and self._has(name) else None

    def _has(self, name: str) -> bool:
        return (self.path / name / "run.json").is_file()

    def _named(self) -> list[str]:
        """Return the folders of the runs. Raises RunError for what is no folder of this group's own."""
        for name in self.info.runs:
            # A path, or a link, would show and rewrite a run that lies somewhere else.
            if not isinstance(name, str) or not is_plain_name(name) or (self.path / name).is_symlink():
                raise RunError(
                    f"{self.path / self.file} lists the run {name!r}, which is not a folder in {self.path}.",
                    "Restore it, or train again.",
                )
        return [str(name) for name in self.info.runs]

    def lost(self) -> list[str]:
        """Return the names of the runs that were made and are gone; of a group at work, none is missed."""
        if self.info.state != "finished":
            return []
        return [name for name in self._named() if not self._has(name)]

    def runs(self) -> list[RunFolder]:
        """Return the runs that were begun, in order. Raises RunError as _named, and for a strange run."""
        # The last may have been named and not been made, when the power went.
        runs = [RunFolder.open(self.path / name) for name in self._named() if self._has(name)]
        id_, again = self.info.id, command("linnaea", "resume", self.path)
        for run in runs:
            group = run.info.one_of and run.info.one_of.group
            # A mean over another recipe, or over one run twice, would be none of this one.
            if None not in (id_, group) and id_ != group:
                raise RunError(
                    f"{run.path} is not a run of {self.path}: it was made by another group.",
                    f"Put its own run back, or remove it and run: {again}.",
                )
        return runs

    def evaluated(self) -> list[RunFolder]:
        """Return the runs with an evaluated test set. Raises RunError for one that lost its numbers."""
        for run in self.runs():
            run.refuse_lost_numbers()
        return [run for run in self.runs() if (run.path / "metrics.json").exists()]

    def refuse_unevaluated(self, evaluated: Sequence[RunFolder]) -> None:
        """Raise RunError where none of the runs has evaluated its test set; evaluated: those that have."""
        if not evaluated:
            raise RunError(
                f"None of the {self.kind} in {self.path} has evaluated a test set.",
                f"Finish them: {command('linnaea', 'resume', self.path)}.",
            )

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Return the metrics of the evaluated runs taken together, computed again; see summary."""
        return summary([run.metrics() for run in self.evaluated()])

    @property
    def label_issues(self) -> Path:
        """The folder of the thumbnails of label issues; table and page are called so, with an ending."""
        return label_issues(self.path)

    def check_tables(self) -> None:
        """Raise RunError where folds.csv or label_issues.csv was edited since it was written, or is gone."""
        for name in ("folds.csv", *(f"{name}.csv" for name in LABEL_ISSUES)):
            self.refuse_changed(name)


def label_issues(group: Path) -> Path:
    """Return RunGroup.label_issues of the group in this folder: of an earlier version, by its older name."""
    for name in LABEL_ISSUES:
        if any((group / f"{name}{end}").exists() for end in (".csv", ".html")):
            return group / name
    return group / LABEL_ISSUES[0]


def summary(metrics: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return name → {"mean", "deviation", "min", "max", "values"}, and "wanted", of the metrics of runs.

    deviation is that of a sample (n - 1), None for a single run. A metric that some run lacks, or that
    answers another question there (its "wanted" is another), is left out: a mean would be another number.
    """
    together = {}
    for name in metrics[0] if metrics else ():
        if len({run.get(name, {}).get("wanted") for run in metrics}) > 1:
            continue
        received = [run.get(name, {}).get("value") for run in metrics]
        values = [float(value) for value in received if isinstance(value, (int, float))]
        if len(values) < len(received):
            continue
        wanted = metrics[0][name].get("wanted")
        together[name] = {
            **({} if wanted is None else {"wanted": wanted}),
            "mean": float(np.mean(values)),
            "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "min": min(values),
            "max": max(values),
            "values": values,
        }
    return together
