"""Study: the pictures of one run, divided into parts, as its network sees them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from linnaea.commands import terminal
from linnaea.data.dataset import PARTS, Dataset
from linnaea.data.split import Split
from linnaea.runs.folder import RunFolder
from linnaea.runs.settings import Recipe

PICTURE_SIZE = 28  # pixels a side, MNIST's; enough to see a digit, too few for a photograph
VALIDATION = 0.1  # of the training part


@dataclass(eq=False)
class Study:
    """The pictures of one run, divided, and as the network sees them."""

    dataset: Dataset
    split: Split
    size: int
    colour: bool

    def rows(self, part: str) -> np.ndarray:
        """Return the rows of "train", "val" or "test"."""
        return getattr(self.split, part)

    def pair(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return X (n, features) float32 in 0..1 and y (n,) class names of one part, made anew."""
        from linnaea.data.vectors import vectors

        rows = self.rows(part)
        return vectors(self.dataset, rows, self.size, self.colour), self.dataset.labels[rows]

    @cached_property
    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """The test part, kept because the test curve and the judgement both need it."""
        return self.pair("test")


def open_study(data: str, recipe: Recipe, *, data_dir: Path | None, strict: bool) -> Study:
    """Open the data set, leave out what cannot be read, and divide it."""
    from linnaea.data import problems, sources, split

    dataset = sources.open_dataset(data, data_dir=data_dir, strict=strict)
    dataset, _ = problems.leave_out_unusable(dataset, strict=strict)
    made = split.make_split(
        dataset,
        recipe.split or split.default_protocol(dataset),
        validation=VALIDATION if recipe.validation is None else recipe.validation,
        seed=recipe.seed,
    )
    return Study(dataset, made, recipe.size or PICTURE_SIZE, recipe.colour)


def record_study(run: RunFolder, study: Study) -> None:
    """Write split.csv and the data section of run.json, and tell the person what will be learned from."""
    from linnaea.data import split
    from linnaea.data.fingerprints import content_hashes, fingerprint

    dataset = study.dataset
    hashes = content_hashes(dataset)
    rows = split.split_rows(dataset, study.split, hashes)
    run.write_csv("split.csv", ["path", "hash", "label", "part"], rows)
    counts = {part: len(study.rows(part)) for part in PARTS}
    per_class = {
        name: {part: int((dataset.labels[study.rows(part)] == name).sum()) for part in PARTS}
        for name in dataset.class_names
    }
    run.update_info(
        data={
            "source": dataset.source,
            "name": dataset.name,
            "pictures": len(dataset),
            "classes": list(dataset.class_names),
            "fingerprint": fingerprint(dataset, hashes),
            "protocol": study.split.protocol,
            "split_hash": split.split_hash(rows),
            "notes": list(dataset.notes),
            "parts": counts,
            "per_class": per_class,
            "pixels": {"size": study.size, "colour": study.colour},
        }
    )
    sizes = [sum(parts.values()) for parts in per_class.values()]
    spread = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    terminal.say(
        "Data",
        f"{dataset.source} · {len(dataset):,} pictures · {len(per_class)} classes · {spread} a class",
        *dataset.notes,
    )
    parts = " · ".join(f"{count:,} {part}" for part, count in counts.items() if count)
    terminal.say("Split", f"{parts} · {study.split.protocol}")
