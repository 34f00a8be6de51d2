"""RunFolder: everything a run leaves behind, as plain files that anybody can open."""

import contextlib
import csv
import hashlib
import html
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from linnaea import files, reading
from linnaea.errors import LinnaeaError, RunError
from linnaea.runs import checksums
from linnaea.runs.schema import (
    FORMAT_VERSION,
    Info,
    RunInfo,
    check_calibration,
    check_line,
    check_metrics,
    read_info,
)
from linnaea.text import command, elsewhere, option, percent

if TYPE_CHECKING:
    from pandas import DataFrame

LOCK = "run.lock"
"""Stands in a run folder while it is written; see guard.py."""
RESERVE = ".reserve"
"""Beside it: room that is given back when the run ends; see guard.py."""
MAX_HISTORY = 256 << 20  # bytes; a line has some 200
MAX_PAGE = 1 << 30  # bytes
_HEAD = 1 << 16  # bytes of a page within which its title ends
# What a folder with several runs of one recipe holds instead of run.json; see repeated.py.
GROUP_FILES = ("repeats.json", "folds.json")
# What the table, the page and the thumbnails of a group's label issues are called, in earlier versions last.
LABEL_ISSUES = ("label_issues", "label_errors")
# All that a run, or a group of them, writes by name beside what says that it is one.
FILES = (
    *("split.csv", "history.jsonl", "predictions.csv", "metrics.json", "report.html", "validation.csv"),
    *("calibration.json", "outliers.safetensors", "outliers.json", "weights.safetensors", "model.json"),
    *("check.json", "check.html", "folds.csv"),
    *(f"{name}{end}" for name in LABEL_ISSUES for end in (".csv", ".html")),
)
# Thumbnails, by their patterns.
PICTURES = tuple(
    f"{name}/*.{end}" for name in ("mistakes", "doubtful", "cells", *LABEL_ISSUES) for end in ("png", "jpg")
)
NETWORK = ("weights.safetensors", "model.json")
"""What a classifier saves."""
# What a run's numbers and answers rest on: each is used only as it was written.
CHECKED = (
    *(*NETWORK, "history.jsonl", "predictions.csv", "validation.csv", "metrics.json", "calibration.json"),
    *("outliers.safetensors", "outliers.json", "check.json", "folds.csv"),
    *(f"{name}.csv" for name in LABEL_ISSUES),
)
FOLDERS = ("checkpoint", "mistakes", "doubtful", "cells", *LABEL_ISSUES)


class RunFolder:
    """One run on disk. Reading and writing go through here, so that every file is whole.

    run.json · split.csv · history.jsonl · predictions.csv · metrics.json · weights.safetensors ·
    model.json · mistakes/ · report.html

    What run.json says is read once, and then kept in memory, in `info`; flush() writes it. So whoever writes
    a run holds its lock (guard.py).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checksums_on_disk: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows of a run: what became of it, its accuracy, and the way to its page."""
        words = [html.escape(str(self.path)), html.escape(self.info.state or "not begun"), *self._in_short()]
        page = self.path / "report.html"
        if page.is_file():
            words.append(f'<a href="{html.escape(quote(page.as_posix()))}">report</a>')
        return f"<p>{' · '.join(words)}</p>"

    def _in_short(self) -> list[str]:
        """Return the accuracy in HTML; nothing where there is none yet."""
        accuracy = self.metrics().get("accuracy")
        if accuracy is None:
            return []
        between = f"{percent(accuracy['low'])} to {percent(accuracy['high'])}"
        tested = f"{accuracy['pictures']:,} test pictures"
        return [f"<b>{percent(accuracy['value'])}</b> of {tested} right (95 % interval: {between})"]

    @property
    def predictions(self) -> "DataFrame":
        """The table of the test set: path, true and predicted class, a probability for each class.

        Raises RunError where the test set was not evaluated, or the table was edited since.
        """
        return self._table("predictions.csv")

    def _table(self, name: str) -> "DataFrame":
        import pandas

        self.refuse_changed(name)
        if not (self.path / name).exists():
            again = command("linnaea", "evaluate", self.path)
            raise RunError(f"{self.path} has not evaluated its test set.", f"Run: {again}.")
        # A class may be called "NA", or 007.
        names = {"path": str, "true": str, "predicted": str}
        return pandas.read_csv(self.path / name, dtype=names, keep_default_na=False)

    def __fspath__(self) -> str:
        """Return the path: what linnaea.train returns may be given to linnaea.load, predict and compare."""
        return str(self.path)

    @property
    def file(self) -> str:
        """The name of the file with the record of the run."""
        return "run.json"

    @staticmethod
    def refuse_taken(path: str | Path, *, overwrite: bool = False, cure: str = "") -> None:
        """Raise RunError where no run can begin: path contains a run (unless overwrite) or other files.

        A run that failed before its first line of history gives way. cure: what else to do about a run; by
        default to replace it, or to choose another folder.
        """
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{path} is a file, not a folder.", elsewhere())
        if folder.is_dir() and not all(_is_left_over(entry.name) for entry in folder.iterdir()):
            if not any((folder / name).exists() for name in ("run.json", *GROUP_FILES)):
                raise RunError(f"{path} contains other files and no run.", elsewhere("an empty folder"))
            if not overwrite and not _came_to_nothing(folder):
                overwriting = f"Pass {option('overwrite', True)} to replace it, or choose"
                cure = cure or elsewhere("another folder", begin=overwriting)
                # A finished run has no checkpoint any more.
                if (folder / "checkpoint").is_dir():
                    cure = (
                        f"Continue it: {command('linnaea', 'resume', path)}. Or {cure[0].lower()}{cure[1:]}"
                    )
                    raise RunError(f"{path} already contains a run that was stopped.", cure)
                raise RunError(f"{path} already contains a run.", cure)

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> "RunFolder":
        """Begin a run in path; overwrite removes an old run's files and no others.

        Raises RunError as refuse_taken does, and where the folder cannot be made.
        """
        cls.refuse_taken(path, overwrite=overwrite)
        run = cls(Path(path))
        run.check_parts()
        try:
            files.make_folder(run.path)
            if run._forget():
                run._clear()
                # Another run begins here: of the old one, not even the names of its runs stay.
                run.info = RunInfo(format_version=FORMAT_VERSION)
                run.flush()
                run.sync()
        except OSError as error:
            raise RunError(f"{path} cannot be made or cleared ({error.strerror}).", elsewhere()) from error
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """Open a run that exists. Raises RunError for anything else, or a newer format."""
        run = cls(Path(path))
        run.check_parts()
        if not (run.path / "run.json").is_file():
            several = [Path(name).stem for name in GROUP_FILES if (run.path / name).is_file()]
            if several:
                raise RunError(
                    f"{path} contains {several[0]}, and a single run was expected.",
                    f"Choose one of its runs, such as {run.path / '1'}.",
                )
            raise RunError(
                f"{path} is not a run folder (no run.json in it).", "Make one with: linnaea train."
            )
        run.info  # noqa: B018 (read, and so checked, before anything rests on it)
        return run

    def check_parts(self) -> None:
        """Raise RunError where something of another kind stands in the place of a file or folder of the run.

        A pipe would keep its reader waiting for ever; a link in the place of a folder, or of the history,
        would lead what is written or cleared there out of the run.
        """
        wanted = dict.fromkeys(FOLDERS, "folder") | dict.fromkeys(("run.json", *GROUP_FILES, *FILES), "file")
        for name, want in wanted.items():
            appended_to = name == "history.jsonl"
            kind = reading.kind_of(self.path / name, links=want == "file" and not appended_to)
            if kind not in (None, f"a {want}"):
                raise RunError(
                    f"{self.path / name} is {kind}; a run has a {want} of its own there.",
                    "Remove it, and have the run sent again.",
                )

    def check_there(self) -> None:
        """Raise RunError where the folder of the run is gone: it must not be made again with half a run."""
        if not self.path.is_dir():
            raise RunError(
                f"{self.path} is gone: it was removed or renamed while it was written.",
                f"Put it back and continue it: {command('linnaea', 'resume', self.path)}.",
            )

    def sync(self) -> None:
        """Flush the names of the run's files to the disk, so that they are there after a power cut."""
        for folder in (self.path, *(self.path / name for name in FOLDERS)):
            files.sync_folder(folder)

    @cached_property
    def info(self) -> RunInfo:
        """The record of the run, read and checked when it is first asked for; an empty one of a new run.

        Raises RunError where run.json is damaged, is of a newer format or holds what it cannot.
        """
        return self._read_info(RunInfo)

    def _read_info(self, kind: type[Info]) -> Info:
        path = self.path / self.file
        if not path.exists():
            return kind(format_version=FORMAT_VERSION)
        info = read_info(kind, path, self.read_json(path.name))
        self._checksums_on_disk = info.checksums
        return info

    def update_info(self, **changes: Any) -> None:
        """Change these keys of info, given as in JSON, and keep the others; flush() writes them."""
        changed = type(self.info).model_validate(files.finite(changes))
        for name in changes:
            setattr(self.info, name, getattr(changed, name))

    def flush(self) -> None:
        """Write info to the disk: at the end of a stage, and whenever the run ends."""
        self.write_json(self.file, self.info.as_json())
        self._checksums_on_disk = self.info.checksums

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Return metrics.json, checked; {} where the run was not evaluated yet."""
        path = self.path / "metrics.json"
        if not path.exists():
            return {}
        metrics = self.read_json(path.name, self._again())
        for name, entry in metrics.items():
            if not isinstance(entry, dict) or "value" not in entry:
                raise RunError(f"{path}: {name} has no value.", self._again())
        check_metrics(path, metrics, self._again())
        # Last: what is checked above is reported in more detail.
        self.refuse_changed(path.name, self._again())
        return metrics

    def calibration(self) -> dict[str, Any]:
        """Return calibration.json, checked; {} where there is none."""
        path = self.path / "calibration.json"
        if not path.exists():
            return {}
        calibration = self.read_json(path.name, self._again())
        check_calibration(path, calibration, self._again())
        self.refuse_changed(path.name, self._again())
        return calibration

    def outliers(self) -> dict[str, Any]:
        """Return outliers.json; {} where there is none. Raises RunError for one that was edited or lost."""
        values = self.read_json("outliers.json") if (self.path / "outliers.json").exists() else {}
        for name in ("outliers.json", "outliers.safetensors"):
            self.refuse_changed(name)
        return values

    def refuse_lost_numbers(self) -> None:
        """Raise RunError where numbers are gone: an evaluated run would look like one that was not."""
        for name in ("metrics.json", "calibration.json"):
            if not (self.path / name).exists():
                self.refuse_changed(name, self._again())

    def refuse_changed(self, name: str, cure: str = "Restore the file, or train again.") -> None:
        """Raise RunError where a file is not what its checksum in run.json says, or gone."""
        if fault := self.fault(name):
            raise RunError(f"{fault}.", cure)

    def fault(self, name: str) -> str:
        """Return how a file differs from what the run wrote, a sentence without full stop; "" if not.

        One that is gone differs, too. Of a file without a checksum (those of older runs): "".
        """
        expected = self.info.checksums.get(name)
        if expected is None:
            return ""
        if not (self.path / name).exists():
            return f"{self.path / name} is missing; {self.file} keeps its checksum"
        return checksums.mismatch(self.path / name, expected)

    def _again(self) -> str:
        return f"Make it again: {command('linnaea', 'evaluate', self.path)}."

    def read_json(self, name: str, cure: str = "Restore it, or train again.") -> dict[str, Any]:
        """Return one JSON file of the run. Raises RunError where it is missing or damaged."""
        path = self.path / name
        try:
            value = reading.read_json(path)
        except FileNotFoundError as error:
            raise RunError(f"{path} is missing.", "Repeat the step that makes it.") from error
        except (ValueError, OSError) as error:
            # A pipe or a device raises a DataError, which is a ValueError too.
            reason = error.message.rstrip(".") if isinstance(error, LinnaeaError) else error
            raise RunError(f"{path} cannot be read ({reason}).", cure) from error
        if not isinstance(value, dict):
            raise RunError(f"{path} is not a JSON object.", cure)
        return value

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one file of the run; its checksum goes into info if it is one of CHECKED."""
        self.check_there()
        if name in CHECKED:
            checksum = hashlib.sha256(content).hexdigest()
            self._forget_checksum(name, checksum)
            files.write_bytes(self.path / name, content)
            self.info.checksums = {**self.info.checksums, name: checksum}
        else:
            files.write_bytes(self.path / name, content)

    def write_text(self, name: str, text: str) -> None:
        """Write one text file of the run, as UTF-8; see write_bytes."""
        self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write one JSON file of the run; see write_bytes."""
        self.write_text(name, files.json_text(value))

    @contextlib.contextmanager
    def others_write(self, *names: str) -> Iterator[None]:
        """Let something else write these files of the run meanwhile; then keep their checksums."""
        self.check_there()  # or the folder might be made again
        for name in names:
            self._forget_checksum(name)
        yield
        there = [name for name in names if (self.path / name).exists()]
        written = {name: checksums.checksum(self.path / name) for name in there}
        self.info.checksums = {**self.info.checksums, **written}

    def _forget_checksum(self, name: str, coming: str | None = None) -> None:
        """Forget the checksum of a file that is written now, on the disk, too, unless the same one comes.

        Whoever is killed meanwhile leaves a file without a checksum, never with that of another content.
        """
        if name in self.info.checksums:
            others = {file: known for file, known in self.info.checksums.items() if file != name}
            self.info.checksums = others
        if self._checksums_on_disk.get(name) not in (None, coming):
            self.flush()

    def write_csv(self, name: str, header: list[str], rows: list[dict[str, Any]]) -> None:
        """Write one table of the run, its columns in the order of header."""
        text = io.StringIO()
        writer = csv.DictWriter(text, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_text(name, text.getvalue())

    def append_history(self, record: dict[str, Any]) -> None:
        """Add one line to history.jsonl."""
        self.check_there()
        files.append_text(self.path / "history.jsonl", json.dumps(files.finite(record)) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """Return the epochs of history.jsonl; a last line torn by a power cut is left out."""
        path = self.path / "history.jsonl"
        if not path.exists():
            self.refuse_changed(path.name)
            return []
        try:
            lines = reading.read_bytes(path, MAX_HISTORY).decode("utf-8", errors="replace").splitlines()
        except (LinnaeaError, OSError) as error:
            raise RunError(f"{path} cannot be read ({error}).", "Restore it, or train again.") from error
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                if number == len(lines):
                    break
                raise RunError(
                    f"{path}, line {number} is not JSON.", "Restore the file, or train again."
                ) from error
            check_line(path, number, record)
            records.append(record)
        # Of a training that is over. Last: what is checked above is reported in more detail.
        self.refuse_changed(path.name)
        return records

    def _forget(self) -> bool:
        """Leave of an old run's description only that there was a run; return whether there was one.

        So that --overwrite still knows the folder for a run's when it is killed while the files go, and
        nothing takes what is left of them for one.
        """
        old = [name for name in ("run.json", *GROUP_FILES) if (self.path / name).exists()]
        if old:
            inner = self._inner_names()
            for name in inner:
                RunFolder(self.path / name).check_parts()
            self.write_json("run.json", {"format_version": FORMAT_VERSION, "runs": inner})
            for name in GROUP_FILES:
                (self.path / name).unlink(missing_ok=True)
        return bool(old)

    def _inner_names(self) -> list[str]:
        """Return the folders of the runs of a group that may be cleared: plain names, no links."""
        names: list[Any] = []
        for file in ("run.json", *GROUP_FILES):
            with contextlib.suppress(RunError):
                named = self.read_json(file).get("runs")
                names += named if isinstance(named, list) else []
        # A path, or a link, would lead out of the group to somebody else's run.
        plain = [name for name in names if isinstance(name, str) and is_plain_name(name)]
        return [name for name in dict.fromkeys(plain) if not (self.path / name).is_symlink()]

    def _clear(self) -> None:
        """Remove the files of a run, or of a group and its runs, by name: other files beside them stay."""
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)
        self.sweep()
        self.clear_pictures()
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)
        # Only the runs that the group names: another folder "1" in there is somebody else's.
        for folder in (self.path / name for name in self._inner_names()):
            run = RunFolder(folder)
            if run._forget():
                run._clear()
                # Last, so that whoever is killed before knows that there is something to be cleared.
                (folder / "run.json").unlink()
            # The deepest first; a folder with other files in it is not empty and stays.
            for empty in [*folder.glob("*/"), folder]:
                with contextlib.suppress(OSError):
                    empty.rmdir()

    def sweep(self) -> None:
        """Remove the temporary files of a process that was killed as it wrote; only for the run's owner."""
        # Not in other folders below: another run may be written there.
        for folder in ("", *(f"{name}/" for name in FOLDERS), "checkpoint/*/"):
            for file in self.path.glob(f"{folder}.*.tmp"):
                if _is_left_over(file.name):
                    file.unlink(missing_ok=True)

    def clear_test_result(self) -> None:
        """Remove what an earlier network of this run made of the test set; that it was opened stays known."""
        for name in ("predictions.csv", "metrics.json"):
            (self.path / name).unlink(missing_ok=True)
        self.clear_pictures()
        self.update_info(baselines={}, baseline_differences={}, chosen={})

    def clear_pictures(self) -> None:
        """Remove the thumbnails, which are named by rows of predictions.csv, or of label_issues.csv."""
        for pattern in PICTURES:
            for picture in self.path.glob(pattern):
                picture.unlink()


def _is_left_over(name: str) -> bool:
    """Return whether a file is left over by a process killed before it began a run, and not the user's."""
    return name in (LOCK, RESERVE) or re.fullmatch(r"\..+\.[a-z0-9_]{8}\.tmp", name) is not None


def _came_to_nothing(folder: Path) -> bool:
    """Tell a run that failed before anything was learned: nobody misses it."""
    if any((folder / name).exists() for name in ("history.jsonl", "checkpoint", *GROUP_FILES)):
        return False
    try:
        return reading.read_json(folder / "run.json").get("state") == "failed"
    except (OSError, ValueError, AttributeError):
        return False


def place_of_page(out: Path, name: str) -> Path:
    """Return where a page goes: out, or name in it where out is a folder, there already or not.

    Raises RunError as refuse_own_file does.
    """
    page = out / name if out.is_dir() or not out.suffix else out
    refuse_own_file(page)
    return page


def refuse_own_file(path: Path) -> None:
    """Raise RunError where a page to be written would replace a file of a run, or no page of Linnaea's."""
    in_run = any((path.parent / name).exists() for name in ("run.json", *GROUP_FILES))
    if in_run and path.name in ("run.json", *GROUP_FILES, *FILES):
        raise RunError(f"{path} is a file of the run in {path.parent}.", elsewhere())
    if path.is_file() and not _is_page(path):
        raise RunError(f"{path} exists already and is not a page of Linnaea's.", elsewhere())


def _is_page(path: Path) -> bool:
    """Tell a page that was drawn here, by the end of its title, from any other file."""
    try:
        with reading.opened(path, MAX_PAGE) as file:
            return b"Linnaea</title>" in file.read(_HEAD)
    except (LinnaeaError, OSError):
        return False


def is_plain_name(name: str) -> bool:
    """Tell the name of a file or folder from a path that leads somewhere else."""
    return name not in {"", ".", ".."} and not set(name) & set("/\\:\0")
