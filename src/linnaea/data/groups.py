"""Pictures that belong together, and so must stay in one set: copies, one patient, one burst."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from linnaea.data.dataset import Dataset
from linnaea.errors import DataError, SettingError, did_you_mean
from linnaea.text import counted, listed


@dataclass(frozen=True, eq=False)
class Groups:
    """Which pictures of a data set belong together.

    ids: ndarray of int64, (n,)
        Equal where pictures belong together, directly or through others.
    names: tuple of str, (n,)
        A name for each picture's group: the user's (of a column, of a pattern) where there is just one,
        else the group's first path; "" for a picture that stands alone.
    words: str
        By what they were found, for the report: "31 groups by patient, 2 groups of copies".
    asked_for: ndarray of int64, (n,), or None
        As ids, of what the user asked for alone; None where that is all.
    """

    ids: np.ndarray
    names: tuple[str, ...]
    words: str = ""
    asked_for: np.ndarray | None = None

    def divisible(self, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the ids of these rows, (m,), by which a draw may divide them; labels (m,): theirs.

        Copies that fill a whole class are taken apart, down to what the user asked for: without that, the
        class could not be divided at all. What a draw then lets through, Split.leaks returns.
        """
        ids = self.ids[rows]
        if self.asked_for is None:
            return ids
        filling = np.isin(ids, list(whole_class_groups(labels, ids).values()))
        return np.where(filling, ids.max(initial=0) + 1 + self.asked_for[rows], ids)


def find_groups(
    dataset: Dataset,
    *,
    copies: Sequence[int] | np.ndarray | None = None,
    taken: Sequence[tuple[str, float] | None] = (),
    column: str | None = None,
    pattern: str | None = None,
    seconds: float | None = None,
    kept: Sequence[str] | None = None,
) -> Groups:
    """Return the groups of a data set, joined over everything that is asked for.

    Joined means: two copies of one picture make one group of the two patients they were filed under.

    Parameters
    ----------
    copies: sequence of int, (n,), optional
        Equal for pictures that are the same (Scan.copies).
    taken: sequence of (str, float) or None, (n,)
        Camera and moment of each photograph (Header.taken), which `seconds` needs.
    column: str, optional
        A column of the CSV: equal values belong together, empty ones stand alone.
    pattern: str, optional
        A regular expression, searched in the path. Its first group, or all that it matches, names the group;
        a picture that it does not match stands alone.
    seconds: float, optional
        Pictures that one camera took within so many seconds of each other belong together, each with the
        next, by EXIF's DateTimeOriginal, Make and Model.
    kept: sequence of str, (n,), optional
        The names in the group column of an earlier split.csv; "" stands alone.

    Raises SettingError for a column that is not there or a pattern that is no regular expression or matches
    nothing, and DataError where no picture says when it was taken.
    """
    named = []
    if column is not None:
        named.append((f"by {column}", _column(dataset, column)))
    if pattern is not None:
        named.append((f"by the pattern {pattern}", _matched(dataset, pattern)))
    if kept is not None and any(kept):
        named.append(("of the earlier split", list(kept)))
    relations = [(word, numbered(values)) for word, values in named]
    if seconds is not None:
        relations.append((f"of pictures taken within {seconds:g} s", _bursts(dataset, taken, seconds)))
    asked_for = joined(len(dataset), [numbers for _, numbers in relations])
    if copies is not None:
        relations.append(("of copies", np.asarray(copies)))
    ids = joined(len(dataset), [numbers for _, numbers in relations])
    words = []
    for number, (word, numbers) in enumerate(relations):
        # Of the user's groups all are counted, one picture or more; of copies there must be two.
        by_user = number < len(named)
        sizes = Counter(numbers.tolist())
        alone = sum(not value for value in named[number][1]) if by_user else 0
        count = len(sizes) - alone if by_user else sum(size > 1 for size in sizes.values())
        words += [f"{counted(count, 'group')} {word}"] if count else []
    return Groups(ids, _names(dataset, ids, [values for _, values in named]), ", ".join(words), asked_for)


def whole_class_groups(labels: np.ndarray, ids: np.ndarray) -> dict[str, int]:
    """Return {class: its group} for each class of two pictures or more that lies in one group altogether."""
    whole = {}
    for name in np.unique(labels):
        groups = ids[labels == name]
        if len(groups) > 1 and (groups == groups[0]).all():
            whole[str(name)] = int(groups[0])
    return whole


def _column(dataset: Dataset, column: str) -> list[str]:
    columns = dataset.columns
    if not columns:
        raise SettingError(
            f"group_column is '{column}', and {dataset.source} has no columns beside path, label and split.",
            "Add the column to a CSV of the pictures, or name groups with group_pattern.",
        )
    # Column names are kept in small letters.
    values = columns.get(column.strip().lower())
    if values is None:
        raise SettingError(
            f"{dataset.source} has no column '{column}' to group by.", did_you_mean(column, columns)
        )
    named = [values.get(path, "") for path in dataset.paths]
    if not any(named):
        raise SettingError(
            f"The column '{column}' of {dataset.source} is empty: it groups nothing.",
            "Fill it in, or leave group_column out.",
        )
    return named


def _matched(dataset: Dataset, pattern: str) -> list[str]:
    try:
        searched = re.compile(pattern)
    except re.error as error:
        raise SettingError(
            f"group_pattern is not a regular expression ({error}): {pattern}",
            "Write, for example, 'plant(\\d+)' for pictures called plant7_1.jpg.",
        ) from error
    # An optional first group that took no part in the match is None.
    matches = [searched.search(path) for path in dataset.paths]
    values = [(match[1 if searched.groups else 0] or "") if match else "" for match in matches]
    if not any(values):
        raise SettingError(
            f"group_pattern '{pattern}' matches nothing: it was searched in {listed(dataset.paths, 3)}.",
            "It is a regular expression on the path below the data's folder.",
        )
    return values


def _bursts(dataset: Dataset, taken: Sequence[tuple[str, float] | None], seconds: float) -> np.ndarray:
    """Return numbers (n,), equal for pictures of one camera that follow each other within the seconds."""
    cameras: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for row, moment in enumerate(taken):
        if moment is not None:
            cameras[moment[0]].append((moment[1], row))
    if not cameras:
        raise DataError(
            f"group_seconds is {seconds:g}, and no picture of {dataset.source} records when it was taken "
            "(EXIF DateTimeOriginal).",
            "Leave group_seconds out, or use the photographs as the camera wrote them.",
        )
    numbers = np.arange(len(dataset))
    for pictures in cameras.values():
        pictures.sort()
        for (before, first), (after, row) in pairwise(pictures):
            if after - before <= seconds:
                numbers[row] = numbers[first]
    return numbers


def numbered(values: Sequence[str]) -> np.ndarray:
    """Return numbers (n,), equal where values are equal; each empty value has a number of its own."""
    known: dict[str, int] = {}
    return np.array(
        [
            known.setdefault(value, len(values) + len(known)) if value else row
            for row, value in enumerate(values)
        ],
        dtype=np.int64,
    )


def joined(n: int, relations: Iterable[np.ndarray]) -> np.ndarray:
    """Return ids (n,), equal for pictures that any relation puts together, directly or through others.

    relations: int (n,) each, equal for pictures that it puts together.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, others = [np.arange(0)], [np.arange(0)]
    for numbers in relations:
        # Each picture is tied to the first of its group: as many edges as pictures, however large the group.
        _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
        rows.append(np.arange(n))
        others.append(first[inverse])
    edges = np.concatenate(rows), np.concatenate(others)
    graph = coo_array((np.ones(len(edges[0]), bool), edges), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _names(dataset: Dataset, ids: np.ndarray, values: Sequence[Sequence[str]]) -> tuple[str, ...]:
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(ids.tolist()):
        members[group].append(row)
    names = {}
    for group, rows in members.items():
        given = {column[row] for column in values for row in rows} - {""}
        first = min(dataset.paths[row] for row in rows)
        names[group] = given.pop() if len(given) == 1 else first if given or len(rows) > 1 else ""
    # A column and a pattern can use one word for two things.
    times = Counter(name for name in names.values() if name)
    for group, name in names.items():
        if times[name] > 1:
            names[group] = min(dataset.paths[row] for row in members[group])
    return tuple(names[group] for group in ids.tolist())
