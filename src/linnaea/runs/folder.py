"""RunFolder: everything a run leaves behind, as plain files that a person can open."""

import contextlib
import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

from linnaea import files, reading
from linnaea.errors import LinnaeaError, RunError
from linnaea.runs.schema import check_info

FORMAT_VERSION = 1
# What a run writes into or clears by name: a link in their place would lead that out of the folder.
LINK_FREE = ("checkpoint", "mistakes", "doubtful", "cells", "label_errors", "history.jsonl")
LOCK = "run.lock"
"""Stands in a run folder while it is written; see lock.py."""
RESERVE = ".reserve"
"""Beside it: room that is given back when the run ends; see reserve.py."""
MAX_HISTORY = 256 << 20  # bytes; a line has some 200
PICTURES = ("mistakes/*.png", "doubtful/*.png", "cells/*.png", "cells/*.jpg")
# What a folder with several runs of one recipe holds instead of run.json; see repeated.py.
GROUP_FILES = ("repeats.json", "folds.json")


class RunFolder:
    """One run on disk. Reading and writing go through here, so that every file is whole.

    run.json · split.csv · history.jsonl · predictions.csv · metrics.json · weights.safetensors ·
    model.json · mistakes/ · report.html
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @staticmethod
    def refuse_taken(path: str | Path, *, overwrite: bool = False) -> None:
        """Raise RunError where no run can begin: path holds a run (unless overwrite) or other files."""
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{path} is a file, not a folder.", "Choose another place with --out.")
        if folder.is_dir() and not all(_is_left_over(found.name) for found in folder.iterdir()):
            if not any((folder / name).exists() for name in ("run.json", *GROUP_FILES)):
                raise RunError(f"{path} holds other files and no run.", "Choose an empty folder with --out.")
            if not overwrite:
                # A finished run has no checkpoint any more.
                stopped = (folder / "checkpoint").is_dir()
                held, cure = ("a run that was stopped", f"Go on with it: linnaea resume {path}. Or pass")
                if not stopped:
                    held, cure = "a run", "Pass"
                raise RunError(
                    f"{path} already holds {held}.",
                    f"{cure} --overwrite to replace it, or choose another --out.",
                )

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> "RunFolder":
        """Begin a run in path; overwrite removes an old run's files and no others.

        Raises RunError as refuse_taken does, and where the folder cannot be made.
        """
        cls.refuse_taken(path, overwrite=overwrite)
        run = cls(Path(path))
        run.refuse_links()
        try:
            run._clear()
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{path} cannot be made or cleared ({error.strerror}).", "Choose another place with --out."
            ) from error
        return run

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open a run that exists. Raises RunError for anything else, or a newer format."""
        run = cls(Path(path))
        run.refuse_links()
        if not (run.path / "run.json").is_file():
            raise RunError(
                f"{path} is not a run folder (no run.json in it).", "Make one with: linnaea train."
            )
        info = run.info()
        version = info.get("format_version")
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise RunError(
                f"{path} was written in format {version}; this version reads up to {FORMAT_VERSION}.",
                "Update linnaea.",
            )
        check_info(run.path / "run.json", info)
        return run

    def refuse_links(self) -> None:
        """Raise RunError where a part of the run is a link: what is cleared or written there is elsewhere."""
        for name in LINK_FREE:
            if (self.path / name).is_symlink():
                raise RunError(
                    f"{self.path / name} is a link; a run's own folders and files are not.",
                    "Remove the link, and have the run sent again.",
                )

    def info(self) -> dict[str, Any]:
        """Return run.json."""
        return self.read_json("run.json")

    def update_info(self, **changes: Any) -> None:
        """Change these keys of run.json and keep the others."""
        known = self.info() if (self.path / "run.json").exists() else {"format_version": FORMAT_VERSION}
        files.write_json(self.path / "run.json", {**known, **changes})

    def read_json(self, name: str) -> dict[str, Any]:
        """Return one JSON file of the run. Raises RunError where it is missing or damaged."""
        path = self.path / name
        try:
            value = reading.read_json(path)
        except FileNotFoundError as error:
            raise RunError(f"{path} is missing.", "Repeat the step that makes it.") from error
        except (ValueError, OSError) as error:
            # A pipe or a device is told as a DataError, which is a ValueError too.
            told = error.message.rstrip(".") if isinstance(error, LinnaeaError) else error
            raise RunError(f"{path} cannot be read ({told}).", "Restore it, or train again.") from error
        if not isinstance(value, dict):
            raise RunError(f"{path} is not a JSON object.", "Restore it, or train again.")
        return value

    def write_json(self, name: str, value: Any) -> None:
        """Write one JSON file of the run."""
        files.write_json(self.path / name, value)

    def write_text(self, name: str, text: str) -> None:
        """Write one text file of the run."""
        files.write_text(self.path / name, text)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one binary file of the run."""
        files.write_bytes(self.path / name, content)

    def write_csv(self, name: str, header: list[str], rows: list[dict[str, Any]]) -> None:
        """Write one table of the run, its columns in the order of header."""
        text = io.StringIO()
        writer = csv.DictWriter(text, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_text(name, text.getvalue())

    def append_history(self, record: dict[str, Any]) -> None:
        """Add one line to history.jsonl."""
        try:
            with open(self.path / "history.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(files.finite(record)) + "\n")
        except OSError as error:
            raise files.refusal(self.path / "history.jsonl", error) from error

    def history(self) -> list[dict[str, Any]]:
        """Return the epochs of history.jsonl; a last line torn by a power cut is left out."""
        path = self.path / "history.jsonl"
        if not path.exists():
            return []
        try:
            lines = reading.read_bytes(path, MAX_HISTORY).decode("utf-8", errors="replace").splitlines()
        except (LinnaeaError, OSError) as error:
            raise RunError(f"{path} cannot be read ({error}).", "Restore it, or train again.") from error
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                if number == len(lines):
                    break
                raise RunError(
                    f"{path}, line {number} is not JSON.", "Restore the file, or train again."
                ) from error
        return records

    def _clear(self) -> None:
        """Remove the files of a run, by name: a person's own files beside them stay."""
        names = ["run.json", "split.csv", "history.jsonl", "predictions.csv", "metrics.json", "report.html"]
        names += ["validation.csv", "calibration.json", "outliers.safetensors", "outliers.json"]
        for name in [*names, "weights.safetensors", "model.json", "check.json", "check.html"]:
            (self.path / name).unlink(missing_ok=True)
        self.sweep()
        self.clear_pictures()
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)
        self._clear_group()

    def sweep(self) -> None:
        """Remove the temporary files of a process that was killed as it wrote; only for the run's owner."""
        # Not in other folders below: another run may be written there.
        for folder in ("", "mistakes/", "doubtful/", "cells/", "checkpoint/", "checkpoint/*/"):
            for file in self.path.glob(f"{folder}.*.tmp"):
                if _is_left_over(file.name):
                    file.unlink(missing_ok=True)

    def clear_pictures(self) -> None:
        """Remove the thumbnails of what was judged: they are named by rows of predictions.csv."""
        for pattern in PICTURES:
            for picture in self.path.glob(pattern):
                picture.unlink()

    def _clear_group(self) -> None:
        """Remove what lies beside the runs of a group, and those runs; a single run has none of it."""
        # Only the runs that the group names: another folder "1" in there is somebody else's.
        inner: list[Any] = []
        for name in GROUP_FILES:
            if (self.path / name).exists():
                with contextlib.suppress(RunError):
                    named = self.read_json(name).get("runs")
                    inner += named if isinstance(named, list) else []
        for name in (*GROUP_FILES, "folds.csv", "label_errors.csv", "label_errors.html"):
            (self.path / name).unlink(missing_ok=True)
        for picture in self.path.glob("label_errors/*.jpg"):
            picture.unlink()
        # A path, or a link, would lead out of the group to somebody else's run.
        plain = [self.path / name for name in inner if isinstance(name, str) and is_plain_name(name)]
        for folder in (folder for folder in plain if not folder.is_symlink()):
            if (folder / "run.json").exists():
                RunFolder(folder)._clear()
            # The deepest first; a folder with other files in it is not empty and stays.
            for empty in [*folder.glob("*/"), folder]:
                with contextlib.suppress(OSError):
                    empty.rmdir()


def _is_left_over(name: str) -> bool:
    """Tell what a process that was killed leaves where it had not even begun a run, from a person's files."""
    return name in (LOCK, RESERVE) or re.fullmatch(r"\..+\.[a-z0-9_]{8}\.tmp", name) is not None


def is_plain_name(name: str) -> bool:
    """Tell the name of a file or folder from a path that leads somewhere else."""
    return name not in {"", ".", ".."} and not set(name) & set("/\\:\0")
