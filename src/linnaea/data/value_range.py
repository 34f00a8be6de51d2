"""Numbers of more than 8 bits: which of them are black and white, once for a whole data set."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from linnaea import reading
from linnaea.data.decoding import ValueRange, read_content, value_sample, without_fills
from linnaea.errors import LinnaeaError, SettingError
from linnaea.machine import in_order
from linnaea.text import option

# Files whose first bytes are looked at, and pictures that are decoded for the numbers in them.
LOOKED_AT, SAMPLE = 1000, 200
_HEAD = 26  # bytes: those of PNG up to the bits of a channel
# No other file is opened before the pass over all of them.
_ENDINGS = (".png", ".tif", ".tiff", ".pgm", ".pnm", ".ppm", ".jp2")
# The largest numbers of 8, 10, 12, 14 and 16 bits; floats come as shares, or as numbers of 8 or 16 bits. And
# what share of such a range must be used, or the numbers are something else: counts, degrees. A dark scan of
# 16 bits, or a dark float, still has the levels that it needs.
_WHOLE = {255.0: 1 / 2, 1023.0: 1 / 2, 4095.0: 1 / 2, 16383.0: 1 / 2, 65535.0: 1 / 4}
_FLOAT = {1.0: 1 / 4, 255.0: 1 / 4, 65535.0: 1 / 4}

_LARGEST = 1e300  # twice as much is still a number

Asked = ValueRange | Literal["auto"]


def parse(text: str) -> Asked:
    """Return what the setting value_range asks for: "auto", "picture", or (low, high) for "100,300".

    Raises SettingError for anything else.
    """
    if text in ("auto", "picture"):
        return text  # type: ignore[return-value]
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = 0.0
    if not -_LARGEST < low < high < _LARGEST:
        raise SettingError(
            f"value_range is '{text}'.",
            f"Give the number that is black and the one that is white, such as {option('value_range')} "
            "0,4095.",
        )
    return low, high


def in_words(value_range: ValueRange) -> str:
    """Return "0 to 4,095", or "its own darkest to its own brightest"."""
    if value_range == "picture":
        return "its own darkest to its own brightest"
    low, high = value_range
    return f"{low:,.6g} to {high:,.6g}" if max(abs(low), abs(high)) < 1e6 else f"{low:g} to {high:g}"


def find_range(files: Sequence[Path | str]) -> tuple[tuple[float, float], int, list[float]] | None:
    """Return one range for all pictures of more than 8 bits, and how many of them it was found from.

    And the numbers that it leaves out, because they stand for no value (see decoding.without_fills). None
    where there are no such pictures among a sample of the files, or none with anything to be seen in it. The
    same files in the same order give the same range.
    """
    may_be = [file for file in files if str(file).lower().endswith(_ENDINGS)]
    deep = [file for file in _evenly(may_be, LOOKED_AT) if _may_be_deep(file)]
    found = [each for each in in_order(_sample, _evenly(deep, SAMPLE)) if each is not None]
    if not found:
        return None
    samples, fills = without_fills([sample for sample, _ in found])
    lows, highs = (np.array([sample[end] for sample in samples]) for end in (0, -1))
    value_range = choose(lows, highs, whole=all(whole for _, whole in found))
    return None if value_range is None else (value_range, len(found), fills)


def choose(lows: np.ndarray, highs: np.ndarray, *, whole: bool) -> tuple[float, float] | None:
    """Return the range for pictures with these lowest and highest numbers; None where all are even.

    It is the smallest of the usual ranges (8, 10, 12, 14, 16 bits; 0 to 1) that holds them, where they fill
    enough of it; otherwise from the lowest to the highest. A picture that lies far from nineteen in twenty
    others has no say: one on another scale would leave all others dark.
    """
    low, high = np.percentile(lows, 5), np.percentile(highs, 95)
    spread = max(high - low, 0.0)
    low, high = lows[lows >= low - spread].min(), highs[highs <= high + spread].max()
    if not high > low:
        return None
    usual = _WHOLE if whole else _FLOAT
    top = next((top for top in usual if low >= 0 and high <= top), None)
    if top is not None and high - low >= usual[top] * top:
        return 0.0, top
    # Outwards to a hundredth: 280.1 to 315.8, and not twelve digits.
    step = 10.0 ** (np.floor(np.log10(high - low)) - 2)
    step = max(step, 1.0) if whole else step
    return float(f"{np.floor(low / step) * step:.12g}"), float(f"{np.ceil(high / step) * step:.12g}")


def _sample(file: Path | str) -> tuple[np.ndarray, bool] | None:
    try:
        return value_sample(read_content(file))
    except (OSError, ValueError, LinnaeaError):
        return None


def _may_be_deep(file: Path | str) -> bool:
    """Return whether the first bytes are of a format with more than 8 bits; of PNG, whether it has them."""
    try:
        with reading.opened(file, reading.MAX_PICTURE) as opened:
            head = opened.read(_HEAD)
    except (OSError, ValueError, LinnaeaError):
        return False
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10"
    # TIFF in either order of bytes, PGM and its like, JPEG 2000 with and without a box around it.
    return head.startswith((b"II", b"MM", b"P", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"))


def _evenly(files: Iterable[Path | str], most: int) -> list[Path | str]:
    files = list(files)
    rows = np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int))
    return [files[row] for row in rows.tolist()]
