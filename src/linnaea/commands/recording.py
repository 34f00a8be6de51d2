"""What a run records of its study: split.csv, the data section of run.json, leaks, earlier evaluations."""

import numpy as np

from linnaea.commands import terminal
from linnaea.commands.check import classes_in_short, record_check
from linnaea.commands.study import Study
from linnaea.data import split_file
from linnaea.data.dataset import SPLITS
from linnaea.data.fingerprints import fingerprint
from linnaea.data.groups import joined, numbered, whole_class_groups
from linnaea.runs import test_reuse
from linnaea.runs.folder import RunFolder
from linnaea.text import classes_have, counted, listed


def record_study(run: RunFolder, study: Study) -> None:
    """Write split.csv and the data section of run.json, and print what will be trained and evaluated on."""
    dataset, value_range = study.dataset, study.dataset.value_range
    rows = split_file.split_rows(dataset, study.split, study.scan.hashes)
    run.write_csv("split.csv", list(split_file.COLUMNS), rows)
    counts = {split: len(study.rows(split)) for split in SPLITS}
    per_class = {
        name: {split: int((dataset.labels[study.rows(split)] == name).sum()) for split in SPLITS}
        for name in dataset.class_names
    }
    run.update_info(
        data={
            "source": dataset.source,
            "name": dataset.name,
            "root": None if dataset.root is None else str(dataset.root.resolve()),
            "pictures": len(dataset),
            "classes": list(dataset.class_names),
            "fingerprint": fingerprint(dataset, study.scan.hashes),
            "protocol": study.split.protocol,
            "split_hash": split_file.split_hash(rows),
            "groups_hash": split_file.groups_hash(rows),
            "notes": list(dataset.notes),
            "splits": counts,
            "per_class": per_class,
            "pixels": {
                "size": study.size,
                "colour": study.colour,
                "brightness": _brightness(study),
                "value_range": list(value_range) if isinstance(value_range, tuple) else value_range,
            },
            **_shared_scenes(study),
        }
    )
    sizes = [int((dataset.labels == name).sum()) for name in per_class]
    spread = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    terminal.print_line(
        "Data",
        f"{dataset.source} · {len(dataset):,} pictures · {len(per_class)} classes · {spread} per class",
        classes_in_short(per_class),
        *dataset.notes,
        *(study.photographs.notes if study.photographs is not None else ()),
    )
    sets = " · ".join(f"{count:,} {split}" for split, count in counts.items() if count)
    terminal.print_line("Split", f"{sets} · {study.split.protocol}")
    _print_missing_classes(per_class)
    _record_leaks(run, study)
    record_check(run, dataset, study.scan.problems)


def _brightness(study: Study) -> list[float] | None:
    """Return the brightness of the darkest and of the brightest training picture."""
    of_each = study.scan.brightness[study.rows("train")]
    return [round(float(of_each.min()), 1), round(float(of_each.max()), 1)] if len(of_each) else None


def _print_missing_classes(per_class: dict[str, dict[str, int]]) -> None:
    """Print the classes without a picture in the validation or the test set, where that has pictures."""
    for split, kind, effect in (
        ("val", "validation", "cannot influence what is chosen on validation"),
        ("test", "test", "cannot be evaluated"),
    ):
        missing = [name for name, counts in per_class.items() if not counts[split]]
        if missing and len(missing) < len(per_class):
            terminal.print_line("", f"{classes_have(missing)} no {kind} picture and {effect}.")


def _record_leaks(run: RunFolder, study: Study) -> None:
    """Write run.json's key "leaks", and print what a given split lets through; a drawn one has none."""
    ids = _belonging(study)
    leaks = study.split.leaks(ids)
    test, val = ([study.dataset.paths[row] for row in leaks[split]] for split in ("test", "val"))
    run.update_info(leaks={"pictures": test, "n": len(test), "validation": len(val)})
    if test:
        verb, them = ("appears", "it") if len(test) == 1 else ("appear", "them")
        why = "The split is used as given"
        whole = whole_class_groups(study.dataset.labels, ids)
        if whole and study.dataset.splits is None:
            why = f"A class of nothing but copies is divided all the same ({listed(whole)})"
        terminal.print_line(
            "LEAK",
            f"{len(test):,} of {counted(len(study.rows('test')), 'test picture')} also {verb} in training or "
            f"validation, as a duplicate or through a shared group: {listed(test, 3)}",
            f"{why}; the accuracy is reported with and without {them}.",
        )
    if val:
        verb = "appears" if len(val) == 1 else "appear"
        terminal.print_line(
            "Leak" if not test else "",
            f"{len(val):,} of {counted(len(study.rows('val')), 'validation picture')} also {verb} in "
            "training: choices made on validation are optimistically biased.",
        )


def _belonging(study: Study) -> np.ndarray:
    """Return ids (n,), equal for pictures of which one in another set is a leak; equal files always are."""
    together = [numbered(study.scan.hashes)] + ([] if study.groups is None else [study.groups.ids])
    return joined(len(study.dataset), together)


def _shared_scenes(study: Study) -> dict[str, int]:
    """Return run.json's data: test pictures that show a scene of training or validation, and how many scenes.

    What leaks is not among them; {} where there are none.
    """
    scenes = study.scan.scenes
    leaked = study.split.leaks(_belonging(study))["test"]
    rows = np.setdiff1d(study.split.leaks(scenes)["test"], leaked)
    return {"scene_pictures": len(rows), "scenes": len(np.unique(scenes[rows]))} if len(rows) else {}


def count_evaluation(run: RunFolder, study: Study) -> None:
    """Count that the test set was opened; that it was before is a caveat, printed with the result."""
    from linnaea.report import sentences

    reuse = test_reuse.count(run, [study.scan.hashes[row] for row in study.rows("test")])
    if reuse.earlier is None:
        terminal.print_line("Reuse", sentences.earlier_evaluations(reuse))
