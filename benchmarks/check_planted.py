"""How many planted problems `linnaea check` finds among photographs, and how many false pairs it flags.

800 flowers of 20 classes, in train/ and test/, as benchmarks/_planted.py makes them.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks._planted import Planted, plant


def found_of(planted: Planted) -> dict[str, tuple[int, int]]:
    """Return {kind: (found, planted)}, and under "false pairs" (flagged, all pairs of originals)."""
    from linnaea.data.scan import scan
    from linnaea.data.sources import open_dataset

    dataset = open_dataset(planted.root)
    scanned = scan(dataset)
    problems = scanned.problems
    number = dict(zip(dataset.paths, scanned.copies.tolist(), strict=True))
    unreadable = {path for problem in problems if problem.kind == "unreadable" for path in problem.paths}
    counts = {
        kind: (sum(number[first] == number[second] for first, second in pairs), len(pairs))
        for kind, pairs in planted.copies.items()
    }
    counts["unreadable"] = (len(unreadable & set(planted.unreadable)), len(planted.unreadable))
    _, sizes = np.unique([number[path] for path in planted.honest], return_counts=True)
    honest = len(planted.honest)
    counts["false pairs"] = (int((sizes * (sizes - 1) // 2).sum()), honest * (honest - 1) // 2)
    return counts


def main() -> None:
    """Print how many of each kind were found and planted, and the share."""
    with tempfile.TemporaryDirectory() as folder:
        for kind, (found, of) in found_of(plant(Path(folder))).items():
            print(f"{kind:13} {found:6,} of {of:8,}   {found / of:9.4%}")


if __name__ == "__main__":
    main()
