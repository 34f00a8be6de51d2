"""Study: the pictures of one run, their split, and how its network takes them."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from linnaea import reading
from linnaea.data.cache import DecodedPictures
from linnaea.data.dataset import Dataset
from linnaea.data.groups import Groups
from linnaea.data.scan import Scan
from linnaea.data.split import Split
from linnaea.data.value_range import parse
from linnaea.errors import DataError, RunError, SettingError
from linnaea.machine import available_memory
from linnaea.runs.folder import RunFolder
from linnaea.runs.schema import Pixels
from linnaea.runs.settings import Recipe
from linnaea.settings import MLP, SETTINGS
from linnaea.text import gigabytes, option

PICTURE_SIZE = SETTINGS["size"].default_of(MLP)
VALIDATION = SETTINGS["validation"].default
SAMPLE = 2000  # training pictures that are used once more after training: class means need no more


@dataclass(eq=False)
class Study:
    """The pictures of one run, divided, and as the network takes them.

    scan: Scan
        Of the pictures that can be used, as this network takes them.
    size: int
        Side of the pictures in pixels; where `photographs` are kept, their shorter side.
    groups: Groups or None
        What belongs together, and so was kept in one set wherever the split was drawn.
    """

    scan: Scan
    split: Split
    size: int
    colour: bool
    groups: Groups | None = None

    @property
    def dataset(self) -> Dataset:
        """The pictures that can be used."""
        return self.scan.dataset

    @property
    def photographs(self) -> DecodedPictures | None:
        """The pictures for a network that takes them at any size; None for one that takes vectors."""
        return self.scan.photographs

    def rows(self, split: str) -> np.ndarray:
        """Return the rows of "train", "val" or "test"."""
        return getattr(self.split, split)

    def grouped(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the groups of these rows of the data set, int (n,); None where each stands alone."""
        from linnaea.evaluation.clustered import shared

        groups = self.split.groups
        return None if groups is None else shared(groups.ids[rows])

    def pair(self, split: str) -> tuple[Any, np.ndarray]:
        """Return X and y (n,) class names of one set.

        X: pictures that are read when they are needed, or float32 (n, features) in 0..1, made anew.
        """
        rows = self.rows(split)
        if self.photographs is not None:
            return self.photographs.select(rows), self.dataset.labels[rows]
        return self.vectors(rows), self.dataset.labels[rows]

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return these pictures of the data set as float32 (m, features) in 0..1."""
        from linnaea.data.flatten import vectors

        return vectors(replace(self.dataset, pixels=self.scan.squares), rows, self.size, self.colour)

    @cached_property
    def test(self) -> tuple[Any, np.ndarray]:
        """The test set, kept because the test curve and the evaluation both need it."""
        return self.pair("test")

    @cached_property
    def sample(self) -> tuple[np.ndarray, Any]:
        """Rows of the training set, SAMPLE or few more, and X; kept because two need them."""
        train = self.rows("train")
        rows = train[spread(self.dataset.labels[train], SAMPLE)]
        return rows, self.vectors(rows) if self.photographs is None else self.photographs.select(rows)

    def divided(self, recipe: Recipe) -> Split:
        """Return the split that another recipe (another seed, say) asks for, of the same pictures."""
        return divide(self.scan, recipe, self.groups)


def spread(labels: np.ndarray, most: int) -> np.ndarray:
    """Return positions in labels (n,), about `most`: equally many of each class, spread evenly over it."""
    names, numbers = np.unique(labels, return_inverse=True)
    # Two for each class at least: one picture cannot be compared with the others.
    each = max(most // len(names), 2)
    chosen = []
    for number in range(len(names)):
        rows = np.flatnonzero(numbers == number)
        chosen.append(rows[np.linspace(0, len(rows) - 1, min(each, len(rows))).round().astype(int)])
    return np.concatenate(chosen)


def open_study(
    data: str,
    recipe: Recipe,
    classifier: Any,
    *,
    data_dir: Path | None,
    strict: bool,
    recorded: Pixels | None = None,
) -> Study:
    """Open the data set, leave out what cannot be read, and divide it.

    Each picture is read once: for what is wrong with it, and as training will take it.

    recorded: how a run that is continued has read its pictures so far.
    """
    from linnaea.data import groups, split_file

    photographs = classifier.takes_photographs
    size = classifier.kept_side() if photographs else recipe.size or PICTURE_SIZE
    # Before the pictures: a split that is not there is reported in a moment.
    kept = None if recipe.split_from is None else earlier_split(recipe.split_from)[0]
    value_range = parse(recipe.value_range) if recorded is None else recorded.decoded_with
    taken_as = {"side": size} if photographs else {"size": size, "colour": recipe.colour}
    scanned = _usable(
        data,
        classifier,
        {"data_dir": data_dir, "strict": strict, **opened_as(recipe)},
        {**taken_as, "value_range": value_range, "copies": recipe.copies},
        recipe,
    )
    together = groups.find_groups(
        scanned.dataset,
        copies=scanned.copies,
        taken=scanned.taken,
        column=recipe.group_column,
        pattern=recipe.group_pattern,
        seconds=recipe.group_seconds,
        kept=None if kept is None else split_file.kept_groups(scanned.dataset, kept),
    )
    split = divide(scanned, recipe, together)
    return Study(scanned, split, size, recipe.colour or photographs, together)


def _refuse_beyond_memory(dataset: Dataset, classifier: Any, size: int, colour: bool) -> None:
    """Raise SettingError where the rows of a perceptron, or its weights, need more memory than is free."""
    features, classes = size**2 * (3 if colour else 1), len(np.unique(dataset.labels))
    weights = classifier.memory_for(0, features, classes)
    # As bytes from the scan, and as numbers to learn from.
    rows = len(dataset) * features + classifier.memory_for(len(dataset), features, classes) - weights
    free = available_memory()
    if rows + weights > free:
        side = int(size * (0.8 * free / (rows + weights)) ** 0.5)
        smaller = (
            f"{option('size')} {side} or less" if rows > weights else f"fewer units ({option('hidden')})"
        )
        raise SettingError(
            f"{len(dataset):,} pictures of {size:,} x {size:,} pixels and their perceptron would take "
            f"{gigabytes(rows + weights)} of memory, and {gigabytes(free)} are free.",
            f"Choose {smaller}, or a pretrained network, whose pictures stay on the disk.",
        )


def _usable(
    data: str, classifier: Any, opened_as: dict[str, Any], taken_as: dict[str, Any], recipe: Recipe
) -> Scan:
    """Return the scan of the data set without what cannot be used.

    opened_as, taken_as: see sources.open_dataset and scan.scan.

    Raises DataError, where strict, for everything at once that would be left out.
    """
    from linnaea.data import scan, sources, split

    foreign: DataError | None = None
    try:
        dataset = sources.open_dataset(data, **opened_as)
    except DataError as error:
        # Where it is not for being strict, the same error comes again.
        foreign, dataset = error, sources.open_dataset(data, **{**opened_as, "strict": False})
    if not classifier.takes_photographs:
        _refuse_beyond_memory(dataset, classifier, taken_as["size"], taken_as["colour"])
    try:
        # An earlier split may be the given one or a drawn one; its pictures are judged as they lie.
        asked = recipe.split or split.default_protocol(dataset)
        reused = recipe.split_from is not None and recipe.split is None
        given = reused or asked == split.OFFICIAL
        scanned = scan.scan(dataset, given_split=given, **taken_as)
        usable = scan.leave_out_unusable(scanned, strict=opened_as["strict"])
    except DataError as error:
        if foreign is None:
            raise
        raise DataError(f"{foreign.message} {error.message}", error.cure) from error
    if foreign is not None:
        raise foreign
    return usable


def divide(scan: Scan, recipe: Recipe, together: Groups | None = None) -> Split:
    """Return the split that a recipe asks for: drawn, given by the data set, or that of an earlier run.

    together: what no draw may divide
    """
    from linnaea.data import split, split_file

    dataset = scan.dataset
    if recipe.split_from is not None:
        rows, words = earlier_split(recipe.split_from)
        divided = split_file.split_from_rows(dataset, rows, scan.hashes, protocol=words, groups=together)
        # Only where it is asked for by name: the default would change what is reused.
        divided = split.set_aside(dataset, divided, recipe.validation or 0.0, recipe.seed)
    else:
        divided = split.make_split(
            dataset,
            recipe.split or split.default_protocol(dataset),
            validation=VALIDATION if recipe.validation is None else recipe.validation,
            seed=recipe.seed,
            groups=together,
        )
    if recipe.patience and not len(divided.val):
        raise SettingError(
            f"patience is {recipe.patience}, and no picture is set aside for validation.",
            f"Leave patience out, or set {option('validation')} above 0.",
        )
    return divided


def opened_as(recipe: Recipe) -> dict[str, Any]:
    """Return what a recipe says of how the data are understood, as sources.open_dataset takes it."""
    return {"layout": recipe.layout, "label_column": recipe.label_column}


def earlier_split(place: str) -> tuple[list[dict[str, str]], str]:
    """Return (rows, protocol) of the split in a run folder or a split.csv.

    Raises RunError for anything else, DataError for a damaged file, and for one that is not the run's.
    """
    from linnaea.data.split_file import read_split
    from linnaea.runs import tables

    folder = Path(place).expanduser()
    if (folder / "run.json").is_file():
        run = RunFolder.open(folder)
        rows = tables.split_of(run)
        if rows is not None:
            # Of a split that was reused itself: where it came from first, and where from now.
            protocol = run.info.data.protocol or "split"
            return rows, f"{protocol.split(', as in ')[0]}, as in {place}"
    file = folder / "split.csv" if folder.is_dir() else folder
    try:
        rows = read_split(reading.read_bytes(file, reading.MAX_TABLE).decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise RunError(
            f"There is no split in {place} ({reason}).",
            f"{option('split_from')} takes a run folder, or the split.csv of one.",
        ) from error
    return rows, f"split of {place}"
