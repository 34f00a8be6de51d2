"""linnaea resume: go on with a run that was stopped, to the result that it would have had."""

import shlex
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from linnaea.commands import (
    checkpointing,
    choosing,
    learning_curve,
    pipeline,
    repeating,
    rerun,
    study,
    terminal,
)
from linnaea.commands.choosing import Chosen
from linnaea.data.split import Split
from linnaea.errors import DataError, RunError, UsageError
from linnaea.runs import provenance
from linnaea.runs.checkpoint import Checkpoints
from linnaea.runs.folder import RunFolder
from linnaea.runs.lock import claimed
from linnaea.runs.provenance import Phases
from linnaea.runs.repeated import RunGroup
from linnaea.runs.settings import Recipe, make_recipe, recorded_settings


def resume(run: Path, /) -> RunFolder:
    """Go on with a run that was stopped, to the result that it would have had.

    By a signal, a crash or a power cut: the training goes on from the last checkpoint, or from its beginning
    where there was none yet. On the same machine, with the same number of threads and the same versions, the
    weights, the history and the predictions are those of a run that was never stopped, bit for bit; where
    something of that differs, it is told.

    Parameters
    ----------
    run
        A run folder, or a folder of repeats or folds.
    """
    # RunFolder.open says what is wrong with a path that is no folder.
    with claimed(run, cure="Wait for it to end.") if run.is_dir() else nullcontext():
        if RunGroup.is_group(run):
            return _go_on_with_group(RunGroup.open_group(run))
        folder = RunFolder.open(run)
        if folder.info().get("state") == "finished":
            return _finished(folder)
        _go_on(folder)
    if (group := RunGroup.around(folder)) is not None:
        repeating.sum_up(group)
        told = shlex.quote(terminal.shown_path(group.path))
        terminal.say("Go on", f"with the other {group.kind}: linnaea resume {told}")
    return folder


def _finished(folder: RunFolder) -> RunFolder:
    from linnaea.report.page import build_report

    folder.sweep()
    checkpoints = Checkpoints(folder)
    if checkpoints.path.exists() or not (folder.path / "report.html").exists():
        # Stopped in the last second, after the result and before the report.
        build_report(folder)
        checkpoints.remove()
    terminal.say(
        "Finished", f"{terminal.shown_path(folder.path)} is finished: there is nothing to go on with"
    )
    return folder


def _go_on(folder: RunFolder) -> RunFolder:
    """Go on with one run.

    Raises RunError where the run does not say how it was made, or its checkpoint is damaged; DataError,
    naming what differs, for data that have changed since.
    """
    phases, info = Phases(), folder.info()
    checkpoint = Checkpoints(folder).read()
    # What computes is loaded by that, before its threads can be counted out.
    chosen, classifier = _chosen(folder, info)
    threads = rerun.threads_of({"threads": checkpoint.facts.get("threads")} if checkpoint else info)
    with provenance.with_threads(threads):
        with phases.measure("data"):
            pictures = _same_pictures(folder, info, chosen.recipe, classifier)
        learning_curve.check_asked(chosen.recipe, pictures)
        checkpointing.prepare(folder, checkpoint)
        pipeline.walk(folder, chosen, classifier, pictures, phases, checkpoint)
    terminal.say("Report", terminal.shown_path(folder.path / "report.html"))
    return folder


def _go_on_with_group(group: RunGroup) -> RunFolder:
    """Go on with repeats or folds: with the run that was stopped, then with those that were not begun."""
    info = group.info()
    if info.get("state") == "finished" and not group.lost():
        terminal.say(
            "Finished", f"{terminal.shown_path(group.path)} is finished: there is nothing to go on with"
        )
        return group
    chosen, classifier = _chosen(group, info)
    where, data_dir = rerun.where(group, info)
    # As they are found from here: what is told of them is typed here.
    found = {
        "data": where,
        "data_dir": None if data_dir is None else str(data_dir),
        "folder": str(Path.cwd()),
    }
    chosen = replace(chosen, opened={**chosen.opened, **found})
    with provenance.with_threads(_threads_of_group(group)):
        pictures = study.open_study(
            where, chosen.recipe, classifier, data_dir=data_dir, strict=bool(info["opened"].get("strict"))
        )
        return repeating.go_on(group, chosen, pictures)


def _threads_of_group(group: RunGroup) -> dict[str, int]:
    """Return the threads that its runs have been trained with so far."""
    for run in group.runs():
        checkpoint = Checkpoints(run).read()
        told = run.info() if checkpoint is None else checkpoint.facts
        if told.get("threads"):
            return rerun.threads_of({"threads": told["threads"]})
    return {}


def _chosen(folder: RunFolder, info: dict[str, Any]) -> tuple[Chosen, Any]:
    """Return how the run was asked for, and an unfitted classifier.

    Raises RunError where its file does not say, or says what cannot have been asked for.
    """
    file = folder.path / folder.file
    recipe, opened, data = (info.get(key) for key in ("recipe", "opened", "data"))
    if not recipe or not opened or not (opened.get("data") or (data or {}).get("source")):
        raise RunError(f"{file} does not say how the run was made.", "Train again.")
    kept = recorded_settings(recipe)
    try:
        asked = make_recipe({**kept, "weights": rerun.weights_from(kept.get("weights"), info)})
        classifier = choosing.new_classifier(asked)
    except UsageError as error:
        raise RunError(
            f"{file} cannot be believed: {error.message}", "Restore it, or train again."
        ) from error
    return Chosen(asked, info.get("recipe_name"), info.get("reported") or {}, opened), classifier


def _same_pictures(folder: RunFolder, info: dict[str, Any], recipe: Recipe, classifier: Any) -> study.Study:
    """Return the study of the run, in its own parts.

    Raises DataError, naming the pictures, where its data are no longer what they were.
    """
    from linnaea.data import fingerprints, split_file

    opened, data = info["opened"], info.get("data") or {}
    # A run that was stopped before it wrote down its parts draws them again.
    known = (folder.path / "split.csv").is_file() and "split_hash" in data
    where, data_dir = rerun.where(folder, {**info, "data": data})
    again = recipe.model_copy(update={"split": None, "split_from": str(folder.path)}) if known else recipe
    pictures = study.open_study(
        where, again, classifier, data_dir=data_dir, strict=bool(opened.get("strict"))
    )
    if not known:
        return pictures
    pictures = replace(pictures, split=_as_told(pictures.split, data))
    rows = split_file.split_rows(pictures.dataset, pictures.split, pictures.scan.hashes)
    if split_file.split_hash(rows) != data["split_hash"]:
        raise DataError(
            f"{folder.path / 'split.csv'} is not the split that the run began with.", "Restore it."
        )
    if fingerprints.fingerprint(pictures.dataset, pictures.scan.hashes) != data.get("fingerprint"):
        raise DataError(
            f"'{where}' holds {len(pictures.dataset):,} pictures, and held {data.get('pictures')} when the "
            "run began: none that it uses changed, but the others did.",
            "Restore them, or train a new run with --split-from.",
        )
    return pictures


def _as_told(split: Split, data: dict[str, Any]) -> Split:
    return replace(split, protocol=str(data.get("protocol") or split.protocol))
