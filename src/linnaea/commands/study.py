"""Study: the pictures of one run, divided into parts, as its network sees them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from linnaea.classifiers.contract import takes_photographs
from linnaea.commands import terminal
from linnaea.data.cache import DecodedPictures
from linnaea.data.dataset import PARTS, Dataset
from linnaea.data.split import Split
from linnaea.errors import SettingError
from linnaea.runs.folder import RunFolder
from linnaea.runs.settings import Recipe

PICTURE_SIZE = 28  # pixels a side, MNIST's; enough to see a digit, too few for a photograph
VALIDATION = 0.1  # of the training part


@dataclass(eq=False)
class Study:
    """The pictures of one run, divided, and as the network sees them.

    size: int
        Side of the pictures in pixels; where `photographs` are kept, their shorter side.
    photographs: DecodedPictures or None
        For a network that takes pictures of any size; None for one that takes vectors.
    """

    dataset: Dataset
    split: Split
    size: int
    colour: bool
    photographs: DecodedPictures | None = None

    def rows(self, part: str) -> np.ndarray:
        """Return the rows of "train", "val" or "test"."""
        return getattr(self.split, part)

    def pair(self, part: str) -> tuple[Any, np.ndarray]:
        """Return X and y (n,) class names of one part.

        X: pictures that are read when they are needed, or float32 (n, features) in 0..1, made anew.
        """
        from linnaea.data.vectors import vectors

        rows = self.rows(part)
        if self.photographs is not None:
            return self.photographs.select(rows), self.dataset.labels[rows]
        return vectors(self.dataset, rows, self.size, self.colour), self.dataset.labels[rows]

    @cached_property
    def test(self) -> tuple[Any, np.ndarray]:
        """The test part, kept because the test curve and the judgement both need it."""
        return self.pair("test")


def open_study(data: str, recipe: Recipe, classifier: Any, *, data_dir: Path | None, strict: bool) -> Study:
    """Open the data set, leave out what cannot be read, and divide it.

    Photographs are decoded once, while they are looked through, and kept for training.
    """
    from linnaea.data import cache, problems, sources, split

    side = classifier.kept_side() if takes_photographs(classifier) else None
    dataset = sources.open_dataset(data, data_dir=data_dir, strict=strict)
    dataset, _ = problems.leave_out_unusable(dataset, strict=strict, side=side)
    made = split.make_split(
        dataset,
        recipe.split or split.default_protocol(dataset),
        validation=VALIDATION if recipe.validation is None else recipe.validation,
        seed=recipe.seed,
    )
    if recipe.patience and not len(made.val):
        raise SettingError(
            f"patience is {recipe.patience}, and no picture is set aside for validation.",
            "Leave patience out, or set --validation above 0.",
        )
    if side is None:
        return Study(dataset, made, recipe.size or PICTURE_SIZE, recipe.colour)
    photographs = cache.decoded(dataset, side, progress=True, scanned=True)
    return Study(dataset, made, side, True, photographs)


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
        *(study.photographs.notes if study.photographs is not None else ()),
    )
    parts = " · ".join(f"{count:,} {part}" for part, count in counts.items() if count)
    terminal.say("Split", f"{parts} · {study.split.protocol}")
