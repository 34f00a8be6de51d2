"""What a user can mend: an error is one sentence on what is wrong and one on what to do.

LinnaeaError            could not (exit code 1)
├── DataError           the pictures, labels or arrays (also a ValueError)
│   └── NotNumbersError rows that hold something else than numbers (also a TypeError)
├── RunError            a run folder
├── WriteError          a file that the disk, or its folder, refuses
├── DivergenceError     the loss left the numbers
├── MissingExtraError   an optional dependency is not installed
└── UsageError          asked for wrongly (exit code 2)
    └── SettingError    a setting's name or value (also a ValueError)
"""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches


class LinnaeaError(Exception):
    """A problem that a user can mend.

    message: str
        One sentence: what was wrong, where, and what was received.
    cure: str
        One sentence: what to do.
    """

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(f"{message} {cure}".strip())
        self.message = message
        self.cure = cure


class DataError(LinnaeaError, ValueError):
    """Pictures, labels or arrays that cannot be used as they are."""


class NotNumbersError(DataError, TypeError):
    """Rows of something else than numbers; of two kinds, because scikit-learn's tools expect a TypeError."""


class RunError(LinnaeaError):
    """A run folder that cannot be read, or must not be written."""


class WriteError(LinnaeaError):
    """A file that could not be written: the disk is full, or the folder may not be written."""


class DivergenceError(LinnaeaError):
    """Training left the finite numbers."""


class MissingExtraError(LinnaeaError, ImportError):
    """An optional dependency is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed.", f"Install it: pip install 'linnaea[{extra}]'.")


class UsageError(LinnaeaError):
    """A command that was asked for wrongly."""

    exit_code = 2


class SettingError(UsageError, ValueError):
    """A setting whose name or value is refused."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'a' or 'b'?", or the whole list where nothing is near."""
    known = list(known)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(repr(word) for word in near)}?"
    return f"Known are: {', '.join(known)}."


def printable(text: str, keep: str = "\n\t") -> str:
    """Return text as a terminal may be shown it: what would steer the terminal is written out, as \\x1b.

    Names of files and classes come from strangers. Control characters could move the cursor, retitle the
    window or answer for the user (ECMA-48); marks of direction could let a name read backwards (Unicode
    Technical Report 36, section 2.5); bytes that are not Unicode could not be printed at all.

    keep: control characters that stay.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in keep or _harmless(letter) else _escaped(letter) for letter in text)


def _harmless(letter: str) -> bool:
    # Zs: blanks wider or narrower than the usual one, which isprintable counts out.
    return letter.isprintable() or unicodedata.category(letter) in {"Zs", "Cn", "Co"} or letter in _JOINERS


# Between the letters of some scripts, and within one emoji: harmless, and wanted.
_JOINERS = "\u200c\u200d"


def _escaped(letter: str) -> str:
    number = ord(letter)
    if 0xDC80 <= number <= 0xDCFF:
        # How Python carries a byte of a file name that is not UTF-8 (PEP 383).
        return f"\\x{number - 0xDC00:02x}"
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )
