"""Where a run happens: its stages, in order, and run.json kept true whatever happens."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from linnaea.classifiers import registry
from linnaea.classifiers.common.progress import has_exploded
from linnaea.commands import evaluating, learning_curve, probe_folds, terminal, training
from linnaea.commands.choosing import Chosen
from linnaea.commands.recording import record_study
from linnaea.commands.study import Study
from linnaea.errors import LinnaeaError
from linnaea.runs import guard, provenance
from linnaea.runs.checkpoint import Checkpoint, Checkpoints
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup
from linnaea.signals import Stops
from linnaea.text import command, command_line, counted, percent

DRAWING = 3.0
"""Seconds of drawing a report before a signal ends it: most take less, and nobody meant them."""


def run(
    folder: RunFolder,
    chosen: Chosen,
    classifier: Any,
    study: Study,
    phases: provenance.Phases,
    checkpoint: Checkpoint | None = None,
    **facts: Any,
) -> None:
    """Train on the training set, calibrate on the validation set, evaluate on the test set, and report.

    The test set of a training that was stopped stays unopened: who saw its score and went on would have
    chosen on it.

    checkpoint: what the training continues from.
    facts: further keys of run.json.

    Raises what ended the training, or the learning curve, early, once what was learned so far has been saved,
    calibrated and reported.
    """
    with recorded(folder, chosen, classifier, phases) as stops:
        # Data
        folder.update_info(**facts)
        record_study(folder, study)
        folder.flush()
        # Choose
        if chosen.recipe.model == registry.AUTO:
            from linnaea.commands import selecting

            with phases.measure("choose"):
                chosen, classifier = selecting.choose_network(
                    folder, chosen, classifier, study, phases.elapsed
                )
            folder.update_info(recipe=chosen.recipe.model_dump(), model=chosen.recipe.model)
            folder.flush()
        # Train
        recipe, spent = chosen.recipe, phases.elapsed
        with phases.measure("train"):
            stopped = training.fit(folder, classifier, study, recipe, spent, stops, checkpoint)
        folder.flush()
        measured: KeyboardInterrupt | None = None
        # Calibrate also what was stopped, which can answer then; not a network that learned nothing.
        if classifier.history_:
            with phases.measure("evaluate"), terminal.waiting("Evaluating"):
                calibrated = evaluating.calibrate(folder, classifier, study)
                if stopped is None:
                    evaluating.evaluate(folder, classifier, study, calibrated)
                else:
                    evaluating.leave_unopened(folder, calibrated)
            if stopped is None:
                measured = _beside("Folds", probe_folds.measure, folder, classifier, study, recipe)
            folder.flush()
            show_result(folder) if stopped is None else _show_stopped(folder, calibrated)
        if stopped is not None:
            raise stopped
        if recipe.learning_curve and measured is None:
            with phases.measure("learning curve"):
                measured = _beside("Curve", learning_curve.measure, folder, classifier, study, recipe)
        # Report: drawn as the context ends, however it ends.
    if measured is not None:
        raise measured


def _beside(label: str, measure: Callable[..., None], *of: Any) -> KeyboardInterrupt | None:
    """Measure something beside the result of a run, which is whole without it: return what interrupted it."""
    try:
        measure(*of)
    except LinnaeaError as error:
        terminal.print_line(label, f"not measured: {error.message}", error.cure)
    except KeyboardInterrupt as interruption:
        terminal.print_line(label, "not measured: it was interrupted; the run itself is finished")
        return interruption
    return None


@contextmanager
def recorded(run: RunFolder, chosen: Chosen, classifier: Any, phases: provenance.Phases) -> Iterator[Stops]:
    """Keep run.json true whatever happens, and leave a report that can be read.

    A run that is continued has its beginning recorded already. Yields what answers to signals.
    """
    run.sweep()
    with guard.reserved(run.path) as reserve, Stops() as stops:
        if run.info.started is None:
            run.update_info(
                command=command_line.get(), recipe=chosen.recipe.model_dump(), started=provenance.now()
            )
        run.update_info(
            state="running",
            model=chosen.recipe.model,
            recipe_name=chosen.name,
            reported=chosen.reported,
            opened=chosen.opened,
            versions=provenance.versions(),
            git=provenance.git(),
            message=None,
        )
        run.flush()
        state, message = "finished", None
        try:
            yield stops
        except BaseException as error:
            state, message = ended_by(error)
            message = _how_far(run) if state == "interrupted" else message
            raise
        finally:
            stops.close()
            guard.release(reserve)
            _close(run, state, message, classifier.compute_device, phases, stops)


def ended_by(error: BaseException) -> tuple[str, str]:
    """Return the state and the message of a run, or of a group of them, that this ended early."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Interrupted."
    # The console answers a closed pipe by leaving with code 1.
    if isinstance(error, (BrokenPipeError, SystemExit)):
        return "failed", "Its output was piped to a program that has ended."
    return "failed", str(error)


def _close(
    run: RunFolder,
    state: str,
    message: str | None,
    device: str | None,
    phases: provenance.Phases,
    stops: Stops,
) -> None:
    """Write down how a run ended, and draw its report, which a signal may end: the run is whole without it.

    Raises LinnaeaError where the disk refuses, and what interrupted the drawing, unless that, or something
    else, is being reported already.
    """
    from linnaea.report.page import build_report

    if state != "finished" and not run.path.is_dir():
        return  # the folder is gone, which is being reported
    try:
        run.update_info(
            state=state,
            message=message,
            phases=phases.finished,
            hardware=provenance.hardware(device),
            threads=provenance.threads(),
            finished=provenance.now(),
        )
        run.flush()
        with phases.measure("report"), terminal.waiting("Drawing the report"):
            stops.reopen(DRAWING)
            try:
                build_report(run)
            finally:
                stops.close()
        run.update_info(phases=phases.finished)
        run.flush()
    except (LinnaeaError, OSError) as error:
        if state == "finished":
            raise
        terminal.print_line("Report", f"not drawn: {error}")
    except KeyboardInterrupt:
        again = command("linnaea", "report", terminal.shown_path(run.path))
        terminal.print_line(
            "Report", "not drawn: it was interrupted; nothing else is missing", f"draw it: {again}"
        )
        if state == "finished":
            Checkpoints(run).remove()
            raise
    _print_how_to_continue(run, state)


def _print_how_to_continue(run: RunFolder, state: str) -> None:
    checkpoints = Checkpoints(run)
    if state == "finished":
        checkpoints.remove()
        return
    try:
        checkpoint = checkpoints.read()
    except LinnaeaError:
        return  # none is whole: resume would refuse it
    # An interrupted run without any begins anew. One of several is continued together with the others.
    if state == "interrupted" or checkpoint is not None:
        group = RunGroup.around(run)
        path = terminal.shown_path(run.path if group is None else group.path)
        terminal.print_line("Continue", command("linnaea", "resume", path))


def _how_far(run: RunFolder) -> str:
    history = run.history()
    if not history:
        return "Interrupted before the first epoch."
    return f"Interrupted after epoch {history[-1]['epoch']}."


def show_result(run: RunFolder) -> None:
    """Print the headline, accuracy with its interval beside the baselines, and what else to know of it."""
    info, metrics = run.info, run.metrics()
    if not metrics:
        return
    from linnaea.report import sentences

    tested = counted(info.data.splits["test"], "test picture")
    headline = terminal.interval(metrics["accuracy"]).replace(" %", f" % of {tested} right", 1)
    baselines = ", ".join(f"{name}: {percent(value)}" for name, value in info.baselines.items())
    folds = "" if info.probe_folds is None else sentences.probe_folds(info.probe_folds)
    remarks = [baselines, folds, *sentences.remarks(metrics)]
    terminal.print_line("Result", headline, *filter(None, remarks), *_kept(run))
    print_caveats(run)


def print_caveats(run: RunFolder) -> None:
    """Print what the page of a run says before its result; of one of several, without the explanations."""
    from linnaea.report.caveats import caveats
    from linnaea.report.facts import read_numbers

    for caveat in caveats(read_numbers(run)):
        terminal.print_line("Caution", caveat.title if run.info.one_of else f"{caveat.title} {caveat.text}")


def print_next(run: RunFolder) -> None:
    """Print what to do with a run that is finished."""
    from linnaea.report.facts import read_numbers
    from linnaea.report.next_steps import lines_after_training

    terminal.print_line("Next", *lines_after_training(read_numbers(run), terminal.shown_path(run.path)))


def _show_stopped(run: RunFolder, calibrated: evaluating.Calibrated) -> None:
    """Print what is known of a network that was stopped, and how to see its test score all the same."""
    seen, table = "no validation set", calibrated.validation
    if table is not None:
        right = float((table.predicted == table.true).mean())
        seen = f"{percent(right)} of {counted(len(table), 'validation picture')} right"
    asked = command("linnaea", "evaluate", terminal.shown_path(run.path))
    terminal.print_line("Stopped", seen, f"the test set stays unopened; to open it now: {asked}")


def _kept(run: RunFolder) -> list[str]:
    """Return what the user should know of the network that a fine-tuning kept, in a sentence, or nothing."""
    history, classes = run.history(), len(run.info.data.classes)
    if run.info.kept is None or not history:
        return []
    from linnaea.report import sentences

    loss, is_probe = history[-1]["train_loss"], run.info.kept == "probe"
    early = sentences.ended_early(run.info, history) if is_probe else ""
    if len(history) == 1 or early:
        return [early] if early else []
    probe = "the probe is what is kept"
    if has_exploded(loss, classes):
        far = f"far above that of guessing ({math.log(classes):.2f}): lower the learning rate"
        return [f"fine-tuning ended with a loss of {loss:.3g}, {far}" + (f"; {probe}" if is_probe else "")]
    return [f"fine-tuning did not beat the probe on validation: {probe}"] if is_probe else []
