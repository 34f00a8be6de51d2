"""linnaea resume: continue a run that was stopped, to the result that it would have had."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from linnaea.commands import (
    checkpointing,
    learning_curve,
    pipeline,
    repeating,
    study,
    terminal,
)
from linnaea.commands.reopening import reopened_recipe, reopened_study
from linnaea.runs import provenance
from linnaea.runs.checkpoint import Checkpoints
from linnaea.runs.folder import RunFolder
from linnaea.runs.guard import claimed
from linnaea.runs.provenance import Phases
from linnaea.runs.repeated import RunGroup
from linnaea.text import command


def resume(run: Path, /) -> RunFolder:
    """Continue a run that was stopped, to the result that it would have had.

    After a signal, a crash or a power cut: the training continues from the last checkpoint, or from its
    beginning where there was none yet. On the same machine, with the same number of threads and the same
    versions, the weights, the history and the predictions are those of a run that was never stopped, bit for
    bit; where something of that differs, the difference is reported.

    Parameters
    ----------
    run
        Run folder, or folder of repeats or folds.
    """
    # RunFolder.open says what is wrong with a path that is no folder.
    with claimed(run, cure="Wait for it to finish.") if run.is_dir() else nullcontext():
        if RunGroup.is_group(run):
            return _go_on_with_group(RunGroup.open_group(run))
        folder = RunFolder.open(run)
        if folder.info.state == "finished":
            return _finished(folder)
        _go_on(folder)
    if (group := RunGroup.around(folder)) is not None:
        from linnaea.report.groups import build_group

        repeating.sum_up(group)
        group.flush()
        build_group(group)
        others = command("linnaea", "resume", terminal.shown_path(group.path))
        terminal.print_line("Continue", f"with the other {group.kind}: {others}")
    return folder


def _finished(folder: RunFolder) -> RunFolder:
    from linnaea.report.page import build_report

    folder.sweep()
    checkpoints = Checkpoints(folder)
    if checkpoints.path.exists() or not (folder.path / "report.html").exists():
        # Stopped in the last second, after the result and before the report.
        build_report(folder)
        checkpoints.remove()
    terminal.print_line(
        "Finished", f"{terminal.shown_path(folder.path)} is finished: there is nothing to continue"
    )
    return folder


def _go_on(folder: RunFolder) -> RunFolder:
    """Go on with one run.

    Raises RunError where the run does not say how it was made, or its checkpoint is damaged; DataError,
    naming what differs, for data that have changed since.
    """
    phases = Phases()
    checkpoint = Checkpoints(folder).read()
    # What computes is loaded by that, before its threads can be counted out.
    chosen, classifier = reopened_recipe(folder)
    threads = (checkpoint.facts.get("threads") or {}) if checkpoint else folder.info.threads_used
    with provenance.with_threads(threads):
        with phases.measure("data"):
            pictures = reopened_study(folder, chosen.recipe, classifier)
        learning_curve.check_asked(chosen.recipe, pictures)
        checkpointing.prepare(folder, checkpoint, classifier.compute_device)
        pipeline.run(folder, chosen, classifier, pictures, phases, checkpoint)
    terminal.print_line("Report", terminal.shown_path(folder.path / "report.html"))
    pipeline.print_next(folder)
    return folder


def _go_on_with_group(group: RunGroup) -> RunFolder:
    """Go on with repeats or folds: with the run that was stopped, then with those that were not begun."""
    if group.info.state == "finished" and not group.lost():
        terminal.print_line(
            "Finished", f"{terminal.shown_path(group.path)} is finished: there is nothing to continue"
        )
        return group
    chosen, classifier = reopened_recipe(group)
    where, data_dir = provenance.opened_from(group.info)
    # As they are found from here, for commands that name them.
    here = {
        "data": where,
        "data_dir": None if data_dir is None else str(data_dir),
        "folder": str(Path.cwd()),
    }
    chosen = replace(chosen, opened={**chosen.opened, **here})
    with provenance.with_threads(_threads_of_group(group)):
        pictures = study.open_study(
            where,
            chosen.recipe,
            classifier,
            data_dir=data_dir,
            strict=bool(group.info.opened.strict),
            recorded=next((run.info.data.pixels for run in group.runs() if run.info.data.pixels), None),
        )
        return repeating.go_on(group, chosen, pictures)


def _threads_of_group(group: RunGroup) -> dict[str, int]:
    """Return the threads that its runs have been trained with so far."""
    for run in group.runs():
        checkpoint = Checkpoints(run).read()
        threads = run.info.threads if checkpoint is None else checkpoint.facts.get("threads")
        if threads:
            return dict(threads)
    return {}
