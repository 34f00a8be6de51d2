"""A split as it stands on disk: written once to split.csv, refused when its pictures have changed."""

import csv
import io
from collections import Counter
from collections.abc import Sequence

import numpy as np

from linnaea.data.dataset import SPLITS, Dataset, path_order
from linnaea.data.groups import Groups, joined, numbered
from linnaea.data.split import Split, check_sets
from linnaea.errors import DataError
from linnaea.hashing import text_hash
from linnaea.text import counted, listed

COLUMNS = ("path", "hash", "label", "split", "group")
"""The columns of split.csv. Older files have no group, and call the split a part."""

NAMED = 10
"""So many changed pictures an error names; a whole folder that vanished is reported by its number."""


def split_rows(dataset: Dataset, split: Split, hashes: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of split.csv, sorted by path: path, hash (of the content), label, split, group.

    group: what was kept together with others; "" for a picture that stands alone.

    hashes: of the content of each picture of the data set (Scan.hashes).
    """
    names = [""] * len(dataset) if split.groups is None else split.groups.names
    rows = [
        {
            "path": dataset.paths[row],
            "hash": hashes[row],
            "label": str(dataset.labels[row]),
            "split": name,
            "group": names[row],
        }
        for name, members in split.by_name().items()
        for row in members
    ]
    return sorted(rows, key=lambda row: row["path"])


def split_hash(rows: Sequence[dict[str, str]]) -> str:
    """Return one hash of the rows of a split: equal exactly where the same pictures are in the same sets."""
    return text_hash(
        sorted("\t".join((row["path"], row["hash"], row["label"], row["split"])) for row in rows)
    )


def groups_hash(rows: Sequence[dict[str, str]]) -> str:
    """Return one hash of what belongs together, whatever the groups are called.

    Apart from split_hash, because the same pictures in the same sets may be grouped later, or otherwise.
    """
    first: dict[str, str] = {}
    in_order = sorted(rows, key=lambda row: row["path"])
    pairs = [(row["path"], first.setdefault(row["group"], row["path"])) for row in in_order if row["group"]]
    return text_hash(["\t".join(pair) for pair in pairs])


def read_split(text: str) -> list[dict[str, str]]:
    """Return the rows of a split.csv. Raises DataError where columns are missing or a set is unknown."""
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    if "split" not in (reader.fieldnames or ()):
        reader.fieldnames = ["split" if name == "part" else name for name in reader.fieldnames or ()]
    missing = [name for name in COLUMNS[:4] if name not in (reader.fieldnames or ())]
    if missing:
        raise DataError(
            f"The split has no column {listed(map(repr, missing))}.",
            f"Its columns must be {','.join(COLUMNS[:4])}[,group].",
        )
    rows = [{name: row.get(name) or "" for name in COLUMNS} for row in reader]
    twice = [path for path, count in Counter(row["path"] for row in rows).items() if count > 1]
    if twice:
        raise DataError(
            f"The split lists pictures twice: {listed(twice)}.", "Each picture belongs to one set."
        )
    strange = sorted({row["split"] for row in rows} - set(SPLITS))
    if strange:
        raise DataError(
            f"The split contains the unknown set {listed(map(repr, strange))}.",
            "Sets are train, val and test.",
        )
    return rows


def as_written(rows: Sequence[dict[str, str]]) -> tuple[Split, np.ndarray]:
    """Return the split that rows of a split.csv describe, and ids (n,), equal where rows belong together.

    The pictures themselves are not asked: row i is the i-th of these rows. Rows of one group belong together,
    and of one content hash, by which files older than the column group are known.
    """
    splits = np.array([row["split"] for row in rows], dtype=object)
    train, val, test = (np.flatnonzero(splits == name) for name in SPLITS)
    ids = joined(len(rows), [numbered([row[name] for row in rows]) for name in ("group", "hash")])
    return Split(train, val, test, "as written"), ids


def split_from_rows(
    dataset: Dataset,
    rows: Sequence[dict[str, str]],
    hashes: Sequence[str],
    *,
    protocol: str = "an earlier split",
    groups: Groups | None = None,
) -> Split:
    """Return the split that these rows of a split.csv describe, refused where the pictures have changed.

    Pictures that the split does not know are left out, and counted in the protocol. hashes: of
    the content of each picture of the data set (Scan.hashes). groups: what belongs together by now.

    Raises DataError naming each picture that is missing, moved, changed in content or relabelled, or whose
    file is there but cannot be read any more (or is not listed), and for a set without pictures or a class
    that training lacks.
    """
    place = {path: row for row, path in enumerate(dataset.paths)}
    # A copy that the split knows under its own name is not where a missing picture has gone.
    known_paths = {row["path"] for row in rows}
    by_hash = {key: path for key, path in zip(hashes, dataset.paths, strict=True) if path not in known_paths}
    kinds = ("missing", "moved", "unreadable or not listed", "changed", "relabelled")
    differences: dict[str, list[str]] = {kind: [] for kind in kinds}
    members: dict[str, list[int]] = {name: [] for name in SPLITS}
    for row in sorted(rows, key=lambda row: path_order(row["path"])):
        path, known = row["path"], place.get(row["path"])
        if known is None:
            now = by_hash.get(row["hash"])
            there = dataset.root is not None and (dataset.root / path).is_file()
            kind = "unreadable or not listed" if there else "moved" if now else "missing"
            differences[kind].append(f"{path} (now {now})" if kind == "moved" else path)
        elif hashes[known] != row["hash"]:
            differences["changed"].append(path)
        elif dataset.labels[known] != row["label"]:
            differences["relabelled"].append(f"{path} ('{row['label']}', now '{dataset.labels[known]}')")
        else:
            members[row["split"]].append(known)
    changes = [
        f"{len(paths):,} {kind}: {listed(paths, NAMED)}" for kind, paths in differences.items() if paths
    ]
    if len(differences["missing"]) == len(rows):
        raise DataError(
            f"'{dataset.name}' has none of the {counted(len(rows), 'picture')} of the split.",
            "Name the data set that the split was made from, or make a new split.",
        )
    if changes:
        raise DataError(
            f"'{dataset.name}' is not what the split was made from ({'; '.join(changes)}).",
            "Restore the pictures, or make a new split.",
        )
    new = len(place.keys() - known_paths)
    if new:
        protocol += f", {counted(new, 'picture')} outside it left out"
    train, val, test = (np.array(members[name], dtype=np.int64) for name in SPLITS)
    split = Split(train, val, test, protocol, groups)
    check_sets(dataset, split)
    return split


def kept_groups(dataset: Dataset, rows: Sequence[dict[str, str]]) -> list[str]:
    """Return the group that these rows of a split.csv name for each picture, "" where none."""
    named = {row["path"]: row["group"] for row in rows}
    return [named.get(path, "") for path in dataset.paths]
