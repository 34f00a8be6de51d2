"""Lengths of time as people write them."""

import re

_UNITS = {"h": 3600, "m": 60, "s": 1}
_NUMBER = re.compile(r"\d+(\.\d+)?")
_LENGTH = re.compile("".join(rf"((?P<{unit}>{_NUMBER.pattern}){unit})?" for unit in _UNITS))


def parse_duration(text: str | float) -> float:
    """Return the seconds in "90s", "10m", "2h", "1h30m", or in a plain number of seconds.

    Raises ValueError for anything else, and for nothing at all.
    """
    written = str(text).lower().replace(" ", "")
    # A number without a unit is seconds, but only alone: 1h30 could be meant either way.
    parts = _LENGTH.fullmatch(f"{written}s" if _NUMBER.fullmatch(written) else written)
    seconds = 0.0
    if parts is not None:
        seconds = sum(float(parts[unit]) * length for unit, length in _UNITS.items() if parts[unit])
    if seconds <= 0:
        raise ValueError("a length of time is written as 90s, 10m, 2h or 1h30m; a plain number is seconds")
    return seconds
