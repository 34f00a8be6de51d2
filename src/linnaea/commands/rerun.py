"""linnaea rerun: repeat a run, and say whether the result is the same bit for bit."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from linnaea.classifiers import registry
from linnaea.commands import terminal
from linnaea.commands.train import train
from linnaea.errors import RunError
from linnaea.runs import provenance, run_diff
from linnaea.runs.folder import RunFolder
from linnaea.runs.guard import refuse_claimed
from linnaea.runs.repeated import RunGroup
from linnaea.runs.settings import recorded_settings
from linnaea.settings import names
from linnaea.text import command, elsewhere


def rerun(run: Path, /, *, out: Path | None = None) -> RunFolder:
    """Repeat a run, and report whether it is the same bit for bit, or what differs.

    The same pictures, split, settings, seed and number of threads. Compared are the weights, the
    history and the predictions. Exit code 0: the same; 1: not.

    Parameters
    ----------
    run
        Finished run folder; of repeats or folds, one of their runs, such as runs/five/1.
    out
        Folder of the repeated run. Default: runs/ and the name of the data, with a number.
    """
    if RunGroup.is_group(run):
        raise _one_at_a_time(RunGroup.open_group(run))
    first = RunFolder.open(run)
    settings = _settings(first)
    data, data_dir = provenance.opened_from(first.info)
    if out is not None:
        refuse_claimed(out)
        RunFolder.refuse_taken(out, cure=elsewhere("another folder"))
    with ExitStack() as while_training:
        # What computes must be loaded before its threads can be counted out.
        registry.classifier_class(settings["model"])
        while_training.enter_context(provenance.with_threads(first.info.threads_used))
        again = train(
            data,
            settings=settings,
            data_dir=data_dir,
            strict=bool(first.info.opened.strict),
            out=out,
        )
    differences = run_diff.differences(first, again)
    reasons = run_diff.reasons(first, again, ignored=names(fixed_by_rerun=True)) if differences else []
    again.update_info(
        rerun_of={
            "run": str(first.path),
            "same": not differences,
            "differences": differences,
            "reasons": reasons,
        }
    )
    again.flush()
    if differences:
        _print_differences(differences, reasons, budget=first.info.plan is not None)
        raise RunError(f"{again.path} is not {first.path} bit for bit.", "See the differences above.")
    terminal.print_line("Same", f"{again.path} is {first.path} bit for bit: weights, history and predictions")
    return again


def _one_at_a_time(group: RunGroup) -> RunError:
    """Return the refusal of repeats or folds, which names the command that repeats one of them."""
    finished = [run for run in group.runs() if run.info.state == "finished"]
    if not finished:
        return RunError(
            f"None of the {group.kind} in {group.path} is finished: there is no result to repeat.",
            f"Finish them: {command('linnaea', 'resume', group.path)}.",
        )
    one = command("linnaea", "rerun", finished[0].path)
    return RunError(f"{group.path} contains {group.kind}, which are repeated one at a time.", f"Run: {one}.")


def _settings(first: RunFolder) -> dict[str, Any]:
    """Return the settings that the run used, its split included, as train takes them.

    Raises RunError for a run that did not end, or does not record its settings.
    """
    info = first.info
    if info.state != "finished":
        raise RunError(
            f"{first.path} is {info.state or 'not finished'}: there is no result to repeat.",
            f"Finish it: {command('linnaea', 'resume', first.path)}.",
        )
    if not info.recipe or not (info.opened.data or info.data.source):
        raise RunError(f"{first.path / 'run.json'} does not record how the run was made.", "Train again.")
    if not (first.path / "split.csv").is_file():
        raise RunError(
            f"{first.path / 'split.csv'} is missing.", "Restore it: it lists the pictures that were used."
        )
    kept = recorded_settings(info.recipe)
    # A plan depends on how fast the machine was that day; what it came to is what can be repeated.
    if (plan := info.plan) is not None:
        kept |= plan.model_dump(include=set(names(planned=True)), exclude_unset=True)
        kept |= {"budget": None, "train_from": "all" if plan.train_from == "probe" else plan.train_from}
    numbers = first.read_json("model.json").get("precision")
    if isinstance(numbers, dict):
        kept["precision"] = numbers.get("numbers")
    kept |= {"split": None, "split_from": str(first.path), "repeats": None, "folds": None}
    kept["learning_curve"] = False  # it is measured beside the run and changes nothing in it
    kept["weights"] = provenance.weights_from(kept.get("weights"), info)
    return kept


def _print_differences(differences: list[str], reasons: list[str], *, budget: bool) -> None:
    terminal.print_line("Differs", *differences)
    if budget:
        reasons = [
            "The run was planned for a time budget, and its plan changed with the machine's speed.",
            *reasons,
        ]
    terminal.print_line(
        "Because",
        *(reasons or ["Nothing that is recorded differs; sums may have been computed in another order."]),
    )
