"""What a person can mend: an error is one sentence on what is wrong and one on what to do.

LinnaeaError            could not (exit code 1)
├── DataError           the pictures, labels or arrays (also a ValueError)
├── RunError            a run folder
├── DivergenceError     the loss left the numbers
├── MissingExtraError   an optional dependency is not installed
└── UsageError          asked for wrongly (exit code 2)
    └── SettingError    a setting's name or value (also a ValueError)
"""

from collections.abc import Iterable
from difflib import get_close_matches


class LinnaeaError(Exception):
    """A problem that a person can mend.

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


class RunError(LinnaeaError):
    """A run folder that cannot be read, or must not be written."""


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
