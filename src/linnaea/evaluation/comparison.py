"""Comparison: is one model better than the other on the same pictures, and could it be luck?"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from linnaea.errors import DataError
from linnaea.evaluation import clustered
from linnaea.evaluation.intervals import percentile_interval, wilson
from linnaea.evaluation.predictions import Predictions
from linnaea.random_streams import Purpose, stream
from linnaea.text import option

LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """Two models, a and b, on the same n pictures.

    both_right, only_a, only_b, both_wrong: int
        Pictures; together n.
    independent: float
        How many independent pictures carry as much information about the difference; n, where each stands
        alone.
    p_value: float
        McNemar's exact test, two-sided: the chance of a split of the discordant pictures at least this uneven
        if both models were equally good.
    difference, low, high: float
        Accuracy of a minus accuracy of b, -1..1, with its 95 % interval.
    bootstrap_low, bootstrap_high: float or None
        The same interval by drawing pictures again; None where no picture tells the two apart.
    """

    n: int
    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    independent: float
    p_value: float
    difference: float
    low: float
    high: float
    bootstrap_low: float | None = None
    bootstrap_high: float | None = None

    @property
    def decided(self) -> bool:
        """Whether the test and the interval both say that chance alone does not explain the difference."""
        return self.p_value < 1 - LEVEL and not self.low <= 0 <= self.high


def compare(a: Predictions, b: Predictions, *, common: bool = False) -> Comparison:
    """Compare two prediction tables picture by picture; their order and their class lists may differ.

    Pictures are known by their content where both tables have hashes, else by their path.

    McNemar's test, exact on the discordant pictures (McNemar 1947, Psychometrika 12:153-157), the interval
    for a paired difference (Newcombe 1998, Stat. Med. 17:2635-2650, method 10), which the sentence tells, and
    that of the paired bootstrap (Efron 1979, Ann. Stat. 7:1-26) beside it. Where pictures come in groups (by
    either table), whole groups change sides and are drawn, and the interval is that of as many pictures as
    are independent.

    Raises DataError where the tables hold different pictures (unless common, which compares those that
    both hold) or give the same picture different labels.
    """
    rows_a, rows_b = matching_rows(a, b, common)
    _refuse_other_labels(a, b, rows_a, rows_b)
    right_a = (a.predicted == a.true)[rows_a]
    right_b = (b.predicted == b.true)[rows_b]
    return compare_answers(right_a, right_b, clustered.joined(a.groups_of(rows_a), b.groups_of(rows_b)))


def compare_answers(right_a: np.ndarray, right_b: np.ndarray, groups: np.ndarray | None) -> Comparison:
    """Compare as compare does what two models had right of the same pictures, each bool (n,).

    groups: see clustered
    """
    both_right, only_a = int((right_a & right_b).sum()), int((right_a & ~right_b).sum())
    only_b, both_wrong = int((~right_a & right_b).sum()), int((~right_a & ~right_b).sum())
    gains = right_a.astype(np.float64) - right_b
    independent = clustered.independent(gains, groups)
    weight = independent / len(gains)
    low, high = paired_interval(*(weight * cell for cell in (both_right, only_a, only_b, both_wrong)))
    return Comparison(
        len(gains),
        both_right,
        only_a,
        only_b,
        both_wrong,
        independent,
        p_value=sign_flip_test(clustered.totals(gains, groups)[0]),
        difference=(only_a - only_b) / len(gains),
        low=low,
        high=high,
        **dict(zip(("bootstrap_low", "bootstrap_high"), paired_bootstrap(gains, groups), strict=True)),
    )


def sign_flip_test(gains: np.ndarray) -> float:
    """Return the exact two-sided p-value of the sum of gains, whole numbers (groups,).

    If both models were equally good, each group's gain would be as probable with the other sign (Fisher
    1935, The Design of Experiments, section 21). Of pictures that stand alone, whose gains are -1, 0 and 1,
    this is McNemar's exact test (McNemar 1947).
    """
    # scipy.stats takes as long to import as everything else that a command needs to begin.
    from scipy.stats import binom

    sizes = Counter(np.abs(gains).astype(int).tolist())
    sizes.pop(0, None)
    law = np.ones(1)  # of the sum of those that kept their sign, from 0
    for size, number in sizes.items():
        of_group = np.zeros(size * number + 1)
        of_group[::size] = binom.pmf(np.arange(number + 1), number, 0.5)
        law = np.convolve(law, of_group)
    sums = 2 * np.arange(len(law)) - (len(law) - 1)
    return float(min(law[np.abs(sums) >= abs(round(float(gains.sum())))].sum(), 1.0))


def paired_bootstrap(
    gains: np.ndarray, groups: np.ndarray | None = None, *, resamples: int = 10_000, seed: int = 0
) -> tuple[float | None, float | None]:
    """Return the 95 % percentile bootstrap interval of the mean of gains (n,), drawn with replacement.

    A picture is drawn with both answers to it, so the pairing is kept, and whole groups are drawn. Only a few
    kinds of group differ (by size and gain), so drawing them all is one draw from a multinomial.
    """
    kinds, counts = np.unique(np.stack(clustered.totals(gains, groups), axis=1), axis=0, return_counts=True)
    drawn = stream(seed, Purpose.BOOTSTRAP).multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    return percentile_interval((drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1]), LEVEL)


def paired_interval(
    both_right: float, only_a: float, only_b: float, both_wrong: float
) -> tuple[float, float]:
    """Return the 95 % interval of accuracy a minus accuracy b (Newcombe 1998, method 10), each end in -1..1.

    Of pictures, or of as many as are independent.

    Two Wilson intervals, joined with the correlation phi of the pair, which is corrected for continuity where
    it is positive.
    """
    n = both_right + only_a + only_b + both_wrong
    right_a, right_b = both_right + only_a, both_right + only_b
    excess = both_right * both_wrong - only_a * only_b
    # Integers of Python: the product of the four margins passes 64 bits from 60,000 pictures on.
    margins = right_a * (n - right_a) * right_b * (n - right_b)
    phi = (max(excess - n / 2, 0.0) if excess > 0 else excess) / math.sqrt(margins) if margins else 0.0
    (low_a, high_a), (low_b, high_b) = wilson(right_a, n, LEVEL), wilson(right_b, n, LEVEL)
    difference = (only_a - only_b) / n
    below = _joined(right_a / n - low_a, high_b - right_b / n, phi)
    above = _joined(high_a - right_a / n, right_b / n - low_b, phi)
    return difference - below, difference + above


def _joined(side_a: float, side_b: float, phi: float) -> float:
    return math.sqrt(max(side_a**2 - 2 * phi * side_a * side_b + side_b**2, 0.0))


def matching_rows(a: Predictions, b: Predictions, common: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a and of b that hold the same pictures, in the order of a.

    The same picture: the same content where both tables know it, whatever the path; else the same path.

    Raises DataError as compare does.
    """
    for which, table in (("first", a), ("second", b)):
        if len(set(table.paths)) != len(table):
            raise DataError(f"The {which} table names a picture more than once.", "Evaluate that run again.")
    pairs = _paired(a, b)
    alone_a = [path for row, path in enumerate(a.paths) if row not in pairs]
    in_pairs = set(pairs.values())
    alone_b = [path for row, path in enumerate(b.paths) if row not in in_pairs]
    changed = set(alone_a) & set(alone_b)
    if (alone_a or alone_b) and not common:
        changes = f", {_counted(sorted(changed))} under one path with different content" if changed else ""
        raise DataError(
            "The two tables hold different pictures: "
            f"{_counted([path for path in alone_a if path not in changed])} only in the first, "
            f"{_counted([path for path in alone_b if path not in changed])} only in the second{changes}.",
            "Give both models the same test set, or compare only the pictures that both have: "
            f"{option('common', True)}.",
        )
    if not pairs:
        raise DataError("The two tables have no picture in common.", "Give both models the same test set.")
    rows = sorted(pairs)
    return np.array(rows), np.array([pairs[row] for row in rows])


def on_common_pictures(tables: Sequence[Predictions]) -> list[Predictions]:
    """Return the tables with the pictures alone that all of them hold, in the order of the first.

    Raises DataError where there is none, and as compare does for a picture that a table names twice.
    """
    if len(tables) < 2:
        return list(tables)
    pairs = [_paired_once(tables[0], table) for table in tables[1:]]
    rows = [row for row in range(len(tables[0])) if all(row in pair for pair in pairs)]
    if not rows:
        raise DataError(
            "There is no picture that all of these runs were tested on.", "Compare them two at a time."
        )
    chosen = [rows, *([pair[row] for row in rows] for pair in pairs)]
    return [_with_rows(table, np.array(own)) for table, own in zip(tables, chosen, strict=True)]


def _paired_once(a: Predictions, b: Predictions) -> dict[int, int]:
    rows_a, rows_b = matching_rows(a, b, common=True)
    return dict(zip(rows_a.tolist(), rows_b.tolist(), strict=True))


def _with_rows(table: Predictions, rows: np.ndarray) -> Predictions:
    return replace(
        table,
        paths=tuple(table.paths[row] for row in rows),
        true=table.true[rows],
        probabilities=table.probabilities[rows],
        hashes=tuple(table.hashes[row] for row in rows) if table.hashes else (),
        groups=table.groups_of(rows),
    )


def _paired(a: Predictions, b: Predictions) -> dict[int, int]:
    """Return the row of b for each row of a whose picture b holds too."""
    row_in_b = {path: row for row, path in enumerate(b.paths)}
    pairs = {row: row_in_b[path] for row, path in enumerate(a.paths) if path in row_in_b}
    if not (a.hashes and b.hashes):
        return pairs
    pairs = {row: other for row, other in pairs.items() if a.hashes[row] == b.hashes[other]}
    # A folder that was moved: by content. Copies of one picture are told apart by the order of their paths,
    # which a move keeps.
    paired = set(pairs.values())
    free: dict[str, list[int]] = defaultdict(list)
    for other in sorted(range(len(b)), key=b.paths.__getitem__, reverse=True):
        if other not in paired:
            free[b.hashes[other]].append(other)
    for row in sorted(range(len(a)), key=a.paths.__getitem__):
        if row not in pairs and free.get(a.hashes[row]):
            pairs[row] = free[a.hashes[row]].pop()
    return pairs


def _refuse_other_labels(a: Predictions, b: Predictions, rows_a: np.ndarray, rows_b: np.ndarray) -> None:
    differing = np.flatnonzero(a.true[rows_a] != b.true[rows_b])
    if len(differing):
        shown = ", ".join(
            f"{a.paths[rows_a[i]]}: '{a.true[rows_a[i]]}' and '{b.true[rows_b[i]]}'" for i in differing[:3]
        )
        raise DataError(
            f"The two tables give {len(differing):,} of {len(rows_a):,} pictures different labels "
            f"({shown}{', …' if len(differing) > 3 else ''}).",
            "Give both models the same labels.",
        )


def _counted(paths: list[str]) -> str:
    shown = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
    return f"{len(paths):,} ({shown})" if paths else "none"
