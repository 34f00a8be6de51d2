"""Whole groups divided between two sides, each class as near its share as the groups allow."""

from collections import defaultdict
from fractions import Fraction

import numpy as np

TRIES = 8
"""Drawn beginnings, of which the best end is kept: with few large groups the first may lie far off."""
EXCHANGES = 24
"""So many of the best additions are tried with so many of the best removals, at each step."""
MOVES = 1000
"""Steps from one beginning, at most; a few dozen are usual."""

# Dearer than any deviation: a class that one side lacks, most of all the side that learns.
_LACKING_REST, _LACKING_TAKEN = 1e9, 1e6


def divide_groups(
    labels: np.ndarray, groups: np.ndarray, share: Fraction | float, generator: np.random.Generator
) -> np.ndarray:
    """Return which pictures are taken, so that no group is divided and each class gives its share.

    Groups with the same number of pictures of each class are alike: how many of each kind are taken is
    searched (from a drawn beginning, by single additions, removals and exchanges, while they help), then
    which ones is drawn. So bursts and single pictures, small groups and large, are represented on both sides.

    What is made small is Pearson's chi-square distance of the classes' numbers from their shares, and the
    same of the whole. A class that lies on one side only counts as worse than any deviation.

    Parameters
    ----------
    labels: ndarray, (n,)
        Of the class of each picture.
    groups: ndarray, (n,)
        Equal where pictures belong together. Only equality counts, and the order of first appearance.
    share: number between 0 and 1
        Of each class, to be taken.
    generator: Generator
        The only source of chance.

    Returns
    -------
    ndarray of bool, (n,)
    """
    kinds = _kinds(labels, groups)
    # (kinds, classes): pictures of each class in one group of the kind; (kinds,): how many such groups.
    pattern = np.zeros((len(kinds), len(np.unique(labels))))
    for number, key in enumerate(kinds):
        for place, count in key:
            pattern[number, place] = count
    many = np.array([len(members) for members in kinds.values()])
    wanted = float(share) * many
    search = _Search(pattern, many, float(share))
    best, least = many, np.inf
    for _ in range(TRIES):
        # Rounded up with the chance of the remainder, so that no group is favoured by its size.
        start = np.floor(wanted) + (generator.random(len(many)) < wanted - np.floor(wanted))
        choice, cost = search.climb(start.astype(np.int64))
        if cost < least:
            best, least = choice, cost
    chosen: list[int] = []
    for members, number in zip(kinds.values(), best, strict=True):
        chosen += generator.permutation(members)[:number].tolist()
    _, first = np.unique(groups, return_index=True)
    return np.isin(groups, groups[np.sort(first)][chosen])


def _kinds(labels: np.ndarray, groups: np.ndarray) -> dict[tuple[tuple[int, int], ...], list[int]]:
    """Return {((class, pictures), …): groups of that kind}, sorted; groups numbered as they first appear."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    # Numbered by appearance and not by value: the names of groups must not change the draw.
    numbers = np.argsort(np.argsort(first))[inverse]
    codes = np.unique(labels, return_inverse=True)[1]
    pairs, counts = np.unique(np.stack([numbers, codes]), axis=1, return_counts=True)
    keys: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for group, place, count in zip(pairs[0].tolist(), pairs[1].tolist(), counts.tolist(), strict=True):
        keys[group].append((place, count))
    kinds: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
    for group, key in keys.items():
        kinds[tuple(key)].append(group)
    return dict(sorted(kinds.items()))


class _Search:
    """The way downhill from one choice to the nearest that no step makes better."""

    def __init__(self, pattern: np.ndarray, many: np.ndarray, share: float) -> None:
        self.pattern = pattern
        self.many = many
        self.sizes = many @ pattern  # (classes,) pictures
        self.target = share * self.sizes

    def cost(self, taken: np.ndarray) -> np.ndarray:
        """Return the cost of taking so many pictures of each class: (…, classes) → (…)."""
        off = taken - self.target
        cost = (off**2 / self.sizes).sum(axis=-1) + off.sum(axis=-1) ** 2 / self.sizes.sum()
        cost += _LACKING_REST * (taken >= self.sizes).sum(axis=-1)
        return cost + _LACKING_TAKEN * (taken <= 0).sum(axis=-1)

    def climb(self, number: np.ndarray) -> tuple[np.ndarray, float]:
        """Return (how many groups of each kind, their cost) where no step from number on helps any more."""
        number = number.copy()
        cost = float(self.cost(number @ self.pattern))
        for _ in range(MOVES):
            taken = number @ self.pattern
            added = np.flatnonzero(number < self.many)
            removed = np.flatnonzero(number > 0)
            adding = self.cost(taken + self.pattern[added])
            removing = self.cost(taken - self.pattern[removed])
            # Steps as (cost, kind to add, kind to remove); -1 for none.
            steps = [(cost, -1, -1)]
            if len(added):
                steps.append((float(adding.min()), int(added[adding.argmin()]), -1))
            if len(removed):
                steps.append((float(removing.min()), -1, int(removed[removing.argmin()])))
            steps.append(self._exchange(taken, added, adding, removed, removing))
            least, more, less = min(steps, key=lambda step: step[0])
            # Not for a gain of rounding alone: it could go round in circles.
            if least >= cost - 1e-9:
                break
            cost = least
            if more >= 0:
                number[more] += 1
            if less >= 0:
                number[less] -= 1
        return number, cost

    def _exchange(
        self,
        taken: np.ndarray,
        added: np.ndarray,
        adding: np.ndarray,
        removed: np.ndarray,
        removing: np.ndarray,
    ) -> tuple[float, int, int]:
        """Return the best of adding one group and removing another at once."""
        if not len(added) or not len(removed):
            return np.inf, -1, -1
        ups = added[np.argsort(adding, kind="stable")[:EXCHANGES]]
        downs = removed[np.argsort(removing, kind="stable")[:EXCHANGES]]
        cost = self.cost(taken + self.pattern[ups][:, None] - self.pattern[downs][None])
        up, down = np.unravel_index(int(cost.argmin()), cost.shape)
        return float(cost[up, down]), int(ups[up]), int(downs[down])
