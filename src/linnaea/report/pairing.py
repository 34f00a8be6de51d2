"""Pairs of runs: which is better on the same pictures, in words, and could it be chance?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from linnaea.errors import DataError
from linnaea.evaluation.comparison import Comparison, compare
from linnaea.report import formatting, sentences
from linnaea.report.entries import Entry
from linnaea.report.formatting import count

# Up to here every pair is shown at once; past it, those of the most accurate run, and the others fold away.
PAIRS_AT_ONCE = 6


@dataclass(frozen=True)
class Pairing:
    """Two runs beside each other: the result in words, or why there is none."""

    first: Entry
    second: Entry
    result: Comparison | None
    refusal: str = ""

    @property
    def whole(self) -> bool:
        """Whether both were tested on the same pictures, and not only compared on the common ones."""
        tested = {self.first.facts.tested, self.second.facts.tested}
        return self.result is not None and tested == {self.result.n}

    @property
    def sentence(self) -> str:
        """Which is better and by how much, or why they cannot be compared."""
        if self.result is None:
            return f"They cannot be compared picture by picture. {self.refusal}"
        words = sentences.difference(self.result, self.first.name, self.second.name)
        if not self.whole:
            common = f"on the {formatting.counted(self.result.n, 'picture')} that both were tested on"
            words = f"{words}, {common}" if self.result.decided else f"no significant difference {common}"
        return f"{words}." if self.result.decided else f"{words[0].upper()}{words[1:]}."

    @property
    def details(self) -> str:
        """The difference with its interval, what each alone had right, and McNemar's p in words."""
        if self.result is None:
            return ""
        r, a, b = self.result, self.first.letter, self.second.letter
        sign = "+" if r.difference > 0 else "−" if r.difference < 0 else ""
        points = f"{sign}{abs(r.difference) * 100:.2f}"
        low, high = (f"{end * 100:+.2f}".replace("-", "−") for end in (r.low, r.high))
        # A decided sentence holds the difference already.
        difference = f"{a} − {b}: {points} points (95{formatting.NBSP}%: {low} to {high}). "
        drawn = ""
        if r.bootstrap_low is not None and r.bootstrap_high is not None:
            # From the better one's side where the sentence is.
            turn = -1 if r.decided and r.difference < 0 else 1
            ends = sorted(turn * end * 100 for end in (r.bootstrap_low, r.bootstrap_high))
            low, high = (f"{end:+.2f}".replace("-", "−") for end in ends)
            drawn = (
                "The paired bootstrap, more precise when many predictions differ, gives "
                f"{low} to {high} points. "
            )
        return (
            f"{'' if r.decided else difference}{drawn}"
            f"Only {a} was correct {formatting.times(r.only_a)}, only {b} {formatting.times(r.only_b)}; "
            f"{chance(r.p_value, 'McNemar' if r.independent == r.n else 'sign-flip test over groups,')}."
        )


def chance(p_value: float, test: str = "McNemar") -> str:
    """Return an exact test's p in words: how often chance alone would give such a difference."""
    if p_value >= 0.5:
        often = "by this much or more in most tests"
    elif p_value >= 0.0001:
        often = f"by this much once in {count(round(1 / p_value))} tests"
    else:
        often = "by this much less than once in 10,000 tests"
    shown = f"={formatting.NBSP}{p_value:.2g}" if p_value >= 0.0001 else f"<{formatting.NBSP}0.0001"
    return f"two equally good classifiers would differ {often} ({test} p{formatting.NBSP}{shown})"


def pairings(entries: Sequence[Entry], *, common: bool = False) -> tuple[list[Pairing], list[Pairing]]:
    """Return the pairs shown at once and those folded away; only tested runs have pairs.

    common: whether those tested on different pictures are compared on the common ones.
    """
    judged = [entry for entry in entries if entry.facts.predictions is not None]
    pairs = [_pairing(a, b, common) for a, b in combinations(judged, 2)]
    if len(pairs) <= PAIRS_AT_ONCE:
        return pairs, []
    best = max(judged, key=lambda entry: entry.accuracy or 0.0)
    first = [pair for pair in pairs if best in (pair.first, pair.second)]
    return first, [pair for pair in pairs if pair not in first]


def _pairing(a: Entry, b: Entry, common: bool) -> Pairing:
    table_a, table_b = a.facts.predictions, b.facts.predictions
    assert table_a is not None
    assert table_b is not None
    try:
        return Pairing(a, b, compare(table_a, table_b, common_only=common))
    except DataError as error:
        return Pairing(a, b, None, error.message)
