"""Numbers, counts, lists, commands and options in words: the one place that says how they are written."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterable
from contextvars import ContextVar

command_line: ContextVar[str | None] = ContextVar("command_line", default=None)
"""What was typed, as a shell takes it; None where Python called."""


def plural(number: float, one: str, many: str = "") -> str:
    """Return one where number is 1, else many; many defaults to one with an s.

    For words without a number before them: plural(n, "is", "are").
    """
    return one if number == 1 else many or f"{one}s"


def counted(number: float, one: str, many: str = "") -> str:
    """Return "1 picture", "1,204 pictures" or "1.25 views"; many where an s does not make it."""
    return f"{number:,} {plural(number, one, many)}"


def listed(names: Iterable[object], limit: int = 10, last: str = ", ") -> str:
    """Return "a, b, c", or the first `limit` names and how many more there are.

    last: what stands before the last name where all are named: " and " inside a sentence.
    """
    words = [str(name) for name in names]
    if len(words) > limit:
        return f"{', '.join(words[:limit])} and {len(words) - limit:,} more"
    return last.join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return what names are sorted by where people read them: "class 2" before "class 10"."""
    # A number by its digits, however many: as an int, thousands of them would be refused.
    pieces = re.split("([0-9]+)", name)
    pieces[1::2] = [piece.lstrip("0") for piece in pieces[1::2]]
    return [*((len(piece) if place % 2 else 0, piece) for place, piece in enumerate(pieces)), (0, name)]


def classes_have(names: Iterable[str]) -> str:
    """Return "The class 'rose' has" or "2 classes ('rose', 'tulip') have", to begin a sentence with."""
    names = sorted(names, key=natural_order)
    quoted = listed(f"'{name}'" for name in names)
    return f"The class {quoted} has" if len(names) == 1 else f"{len(names):,} classes ({quoted}) have"


def is_unicode(text: str) -> bool:
    """Tell text that can be written as UTF-8 from a file's name with bytes of another encoding (PEP 383)."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def percent(share: float | None, decimals: int = 1) -> str:
    """Return 0.967 as "96.7 %"; a missing value as an en dash."""
    return "–" if share is None else f"{100 * share:.{decimals}f} %"


def gigabytes(number: float) -> str:
    """Return a number of bytes as "0.4 GB" or "1,234 GB"."""
    return f"{number / 1e9:,.{1 if number < 1e10 else 0}f} GB"


def duration(seconds: float) -> str:
    """Return "0.4 s", "42 s", "3 min", "3 min 12 s" or "1 h 4 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(whole / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def command(*words: object, windows: bool = os.name == "nt") -> str:
    """Return a command as it is typed into this system's shell: command("linnaea", "resume", path).

    words: the command and its arguments, each one word to the shell, whatever blanks it holds.
    """
    parts = [str(word) for word in words]
    return subprocess.list2cmdline(parts) if windows else shlex.join(parts)


def option(name: str, value: object = None) -> str:
    """Return how whoever called passes an option: "--split 0.7" in a shell, "split=0.7" in Python.

    value: None names the option alone; True is a flag, which takes none in a shell.
    """
    if command_line.get() is None:
        return name if value is None else f"{name}={value!r}"
    word = f"--{name.replace('_', '-')}"
    return word if value is None or value is True else f"{word} {value}"


def elsewhere(what: str = "another place", begin: str = "Choose") -> str:
    """Return "Choose another place with --out."; in Python, where the place is an argument, without it."""
    return f"{begin} {what}." if command_line.get() is None else f"{begin} {what} with --out."
