"""The runs of a comparison, each with a letter, a colour, and a name that nobody else has."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnaea.report.charts import RUN_COLOURS
from linnaea.report.facts import RunFacts


@dataclass(frozen=True)
class Entry:
    """One run in a comparison: its facts, a letter for the charts, a name nobody else has, its colour."""

    facts: RunFacts
    letter: str
    name: str
    colour: str
    reported: dict[str, Any]

    @property
    def accuracy(self) -> float | None:
        """The share of test pictures classified correctly, 0..1."""
        return self.facts.metric("accuracy")


def entries_of(runs: Sequence[RunFacts], reference: dict[str, dict[str, Any]]) -> list[Entry]:
    """Return the runs with letters, colours and names; more runs than colours begin the colours again."""
    names = distinct_names([facts.path for facts in runs])
    return [
        Entry(
            facts=facts,
            letter=_letter(i),
            name=names[i],
            colour=RUN_COLOURS[i % len(RUN_COLOURS)],
            reported=reference.get(facts.path.name)
            or reference.get(facts.name)
            or facts.part_of_info("reported"),
        )
        for i, facts in enumerate(runs)
    ]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest endings of paths that tell them apart; the same folder given twice is numbered.

    A repeat or fold, whose folder is called by its number, takes the name of its group with it.
    """
    resolved = [path.resolve().parts for path in paths]
    depth = [min(2, len(parts)) if parts and parts[-1].isdecimal() else 1 for parts in resolved]
    while True:
        names = ["/".join(parts[-d:]) for parts, d in zip(resolved, depth, strict=True)]
        twice = {name for name, times in Counter(names).items() if times > 1}
        longer = [i for i, name in enumerate(names) if name in twice and depth[i] < len(resolved[i])]
        if not longer:
            break
        for i in longer:
            depth[i] += 1
    if twice:  # equal to the root: the same folder again
        names = [parts[-1] if name in twice else name for parts, name in zip(resolved, names, strict=True)]
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[i] = f"{name} ({seen[name]})"
    return names


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else str(i + 1)
