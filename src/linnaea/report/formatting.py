"""Numbers into words: how every figure on a page is written, and what each metric means."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from linnaea import text

# A number and its unit stay on one line.
NBSP = "\u00a0"


def count(number: int) -> str:
    """Return 21000 as '21,000'."""
    return f"{number:,}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return '1 picture' or '21,000 pictures'."""
    return text.counted(number, one, many).replace(" ", NBSP, 1)


def times(number: int) -> str:
    """Return how often: 'never', 'once', 'twice' or '12 times'."""
    few = ("never", "once", "twice")
    return few[number] if number < len(few) else f"{count(number)} times"


def numeral(number: int) -> str:
    """Return 3 as 'three'; past ten, figures."""
    return _NUMERALS[number] if number < len(_NUMERALS) else count(number)


def percent(share: float, decimals: int = 1) -> str:
    """Return 0.967 as '96.7 %'."""
    return unbroken(text.percent(share, decimals))


def unbroken(sentence: str) -> str:
    """Return a sentence from elsewhere with its percentages kept on one line."""
    return sentence.replace(" %", f"{NBSP}%")


def signed(value: float, decimals: int = 1) -> str:
    """Return a difference with its sign: '+2.1', '−0.4', '0.0'."""
    written = f"{value:+.{decimals}f}"
    return written[1:] if not float(written) else written.replace("-", "−")


def wanted_share(share: float) -> str:
    """Return a share that somebody asked for, with no more decimals than it has: 95 %, 99.9 %."""
    return f"{100 * share:.6g}{NBSP}%"


def decimals_for(low: float | None, high: float | None) -> int:
    """Return the decimals of a percentage: one, or two where one cannot tell the interval's ends apart."""
    return 2 if low is not None and high is not None and high - low < 0.002 else 1


def decimals_of(meaning: "Meaning", pictures: int | None) -> int:
    """Return the decimals of a plain number from so many pictures: no more than their number has digits."""
    return meaning.decimals if not pictures else min(meaning.decimals, max(len(str(pictures)), 2))


def number(value: float | None, decimals: int = 4) -> str:
    """Return a plain number, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 10 ** -(decimals + 1)):
        return f"{value:.3g}"
    return f"{value:.{decimals}f}"


def duration(seconds: float) -> str:
    """Return '0.4 s', '42 s', '3 min 12 s' or '1 h 4 min'."""
    return text.duration(seconds).replace(" ", NBSP)


def memory(mib: float) -> str:
    """Return '412 MiB' or '1.6 GiB'."""
    return f"{mib:.0f}{NBSP}MiB" if mib < 1024 else f"{mib / 1024:.1f}{NBSP}GiB"


def moment(iso: str | None) -> str:
    """Write '2026-01-01T10:00:00+00:00' as '2026-01-01 10:00 UTC'; what is not so written stays as it is."""
    text = iso or ""
    return f"{text[:10]} {text[11:16]} UTC" if text.endswith("+00:00") and len(text) >= 16 else text


def listed(names: Iterable[object], limit: int = 8) -> str:
    """Return 'a, b and c'; past the limit, 'a, b, … and 12 more'."""
    return text.listed(names, limit, " and ")


def cut_inside(text: str, letters: int) -> str:
    """Return text with its middle left out where it is longer: names of a kind often differ at their end."""
    if len(text) <= letters:
        return text
    head = letters // 2
    return f"{text[:head].rstrip()}…{text[head - letters + 1 :].lstrip()}"


@dataclass(frozen=True)
class Meaning:
    """How one metric is written: name, one line of plain meaning; as a percentage, in points or decimals."""

    title: str
    meaning: str
    percent: bool = False
    decimals: int = 4
    higher_is_better: bool = True
    points: bool = False  # a difference of shares, in hundredths


_MEANINGS = {
    "accuracy": Meaning(
        "Accuracy", "the share of test pictures that were classified correctly", percent=True
    ),
    "balanced_accuracy": Meaning(
        "Balanced accuracy", "mean accuracy over the classes: each class counts equally", percent=True
    ),
    "macro_f1": Meaning(
        "Macro F1", "harmonic mean of precision and recall, averaged over the classes; 1 is best"
    ),
    "macro_auc": Meaning(
        "Macro AUC",
        "how reliably pictures of a class score above all others; 0.5 is chance, 1 is best",
        decimals=5,
    ),
    "log_loss": Meaning(
        "Log loss",
        "cross-entropy in nats, which penalises confident mistakes; 0 is best",
        higher_is_better=False,
    ),
    "brier": Meaning(
        "Brier score", "mean squared error of the probabilities; 0 is best", higher_is_better=False
    ),
    "ece": Meaning(
        "Calibration error",
        "how far stated probabilities are from the observed accuracy, on average",
        points=True,
        higher_is_better=False,
    ),
    "accuracy_without_leaks": Meaning(
        "Without leaked pictures", "accuracy on the test pictures that are in no other set", percent=True
    ),
    "outliers": Meaning(
        "Flagged as unfamiliar (out-of-distribution)",
        "false-alarm rate: the share of test pictures, all of known classes, that prediction would flag",
        percent=True,
        higher_is_better=False,
    ),
    "ece_before": Meaning("Calibration error before temperature", "", points=True, higher_is_better=False),
    "ece_adaptive": Meaning("Calibration error, adaptive bins", "", points=True, higher_is_better=False),
    "ece_adaptive_before": Meaning(
        "Calibration error, adaptive bins, before", "", points=True, higher_is_better=False
    ),
    "answered": Meaning("Answered (coverage)", "", percent=True),
    "accuracy_answered": Meaning("Accuracy of answers", "", percent=True),
    "set_coverage": Meaning("Prediction sets that contain the true class", "", percent=True),
    "set_size": Meaning("Classes per prediction set", "", decimals=2, higher_is_better=False),
}
_NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def meaning_of(name: str, classes: int | None = None) -> Meaning:
    """Return how a metric is written; one this version does not know keeps its own name."""
    top = re.fullmatch(r"top_(\d+)", name)
    if top:
        k = int(top[1])
        return Meaning(f"Top {k}", f"the true class is among the {numeral(k)} most probable", percent=True)
    known = _MEANINGS.get(name)
    if known is None:
        return Meaning(name.replace("_", " "), "")
    if name == "log_loss" and classes and classes > 1:
        line = f"{known.meaning}, equal probabilities give {math.log(classes):.2f}"
        return Meaning(known.title, line, higher_is_better=False)
    return known


def title_of(name: str, wanted: float | None) -> str:
    """Return a metric's name with what was asked for, a share, where something was."""
    title = meaning_of(name).title
    if wanted is None:
        return title
    return f"{title}, {100 * wanted:.3g}{NBSP}% {'allowed' if name == 'outliers' else 'wanted'}"


def metric_text(meaning: Meaning, value: float | None, interval: tuple[float, float] | None = None) -> str:
    """Return one metric's value as it is printed."""
    if value is None:
        return "–"
    if meaning.percent:
        return percent(value, decimals_for(*(interval or (None, None))))
    if meaning.points:
        return f"{value * 100:.1f}{NBSP}points"
    return _plain(value, meaning.decimals)


def interval_text(meaning: Meaning, interval: tuple[float, float] | None) -> str:
    """Return '96.5 to 96.9' (of percent) or '0.9949 to 0.9957'; empty where there is no interval."""
    if interval is None:
        return ""
    low, high = interval
    if meaning.percent:
        return between(low, high, decimals_for(low, high))
    return f"{_plain(low, meaning.decimals)} to {_plain(high, meaning.decimals)}"


def _plain(value: float, decimals: int) -> str:
    """Return a number, or that it is less than its decimals show."""
    least = 10.0**-decimals
    return f"<{NBSP}{least:.{decimals}f}" if 0 < value < least / 2 else number(value, decimals)


def between(low: float, high: float, decimals: int = 1) -> str:
    """Return an interval of shares as '96.5 to 96.9 %'."""
    return f"{low * 100:.{decimals}f} to {percent(high, decimals)}"


@dataclass(frozen=True)
class Verdict:
    """The first sentence of a page; its number stands apart, and how sure it is."""

    words: str
    number: str = ""
    sure: str = ""

    def __str__(self) -> str:
        """Return all of it as one sentence."""
        sentence = f"{self.number} {self.words}".strip().rstrip(".")
        return f"{sentence}; {self.sure[0].lower()}{self.sure[1:]}" if self.sure else f"{sentence}."


def how_sure(interval: tuple[float, float]) -> str:
    """Return between what the true rate lies, a sentence."""
    low, high = interval
    decimals = decimals_for(low, high)
    return (
        f"With 95{NBSP}% confidence the true rate lies between {low * 100:.{decimals}f} and "
        f"{percent(high, decimals)}."
    )


def verdict(accuracy: float, interval: tuple[float, float] | None, tested: int | None) -> Verdict:
    """Return the page's first sentence, from the numbers alone."""
    decimals = decimals_for(*(interval or (None, None)))
    sure = ""
    if interval is not None:
        sure = how_sure(interval)
    if tested == 1:
        right = "correctly" if accuracy else "incorrectly"
        return Verdict(f"The only test picture was classified {right}.", sure=sure)
    pictures = counted(tested, "test picture") if tested else "the test pictures"
    return Verdict(f"of {pictures} were classified correctly", percent(accuracy, decimals), sure)
