"""linnaea rerun: repeat a run, and say whether the result is the same bit for bit."""

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from linnaea.classifiers import contract
from linnaea.commands import terminal
from linnaea.commands.learning import free_folder
from linnaea.commands.train import train
from linnaea.data import sources
from linnaea.errors import LinnaeaError, RunError
from linnaea.runs import provenance, run_diff
from linnaea.runs.folder import RunFolder
from linnaea.runs.lock import refuse_claimed
from linnaea.runs.repeated import RunGroup
from linnaea.runs.settings import recorded_settings
from linnaea.settings import names


def rerun(run: Path, /, *, out: Path | None = None) -> RunFolder:
    """Repeat a run, and say whether it is the same bit for bit, or what differs.

    The same pictures in the same parts, settings, seed and number of threads. Compared are the weights, the
    history and the predictions. Exit code 0: the same; 1: not.

    Parameters
    ----------
    run
        A finished run folder; of repeats or folds one of theirs, such as runs/five/1.
    out
        The folder of the repeated run. Default: runs/ and the name of the data, numbered.
    """
    if RunGroup.is_group(run):
        raise _one_at_a_time(RunGroup.open_group(run))
    first = RunFolder.open(run)
    info = first.info()
    settings = _settings(first, info)
    data, data_dir = where(first, info)
    folder = out or free_folder(data)
    refuse_claimed(folder)
    RunFolder.refuse_taken(folder, cure="Choose another --out.")
    with ExitStack() as while_training:
        # What computes must be loaded before its threads can be counted out.
        contract.classifier_class(settings["model"])
        while_training.enter_context(provenance.with_threads(threads_of(info)))
        again = train(
            data,
            settings=settings,
            data_dir=data_dir,
            strict=bool((info.get("opened") or {}).get("strict")),
            out=folder,
        )
    found = run_diff.differences(first, again)
    why = run_diff.reasons(first, again, ignored=names(fixed_by_rerun=True)) if found else []
    again.update_info(
        rerun_of={"run": str(first.path), "same": not found, "differences": found, "reasons": why}
    )
    if found:
        _tell(found, why, budget=info.get("plan") is not None)
        raise RunError(f"{again.path} is not {first.path} bit for bit.", "What differs stands above.")
    terminal.say("Same", f"{again.path} is {first.path} bit for bit: weights, history and predictions")
    return again


def _one_at_a_time(group: RunGroup) -> RunError:
    """Return the refusal of repeats or folds, which names the command that repeats one of them."""
    finished = [run for run in group.runs() if run.info().get("state") == "finished"]
    if not finished:
        return RunError(
            f"None of the {group.kind} in {group.path} is finished: there is no result to repeat.",
            f"Bring them to their end: {shlex.join(['linnaea', 'resume', str(group.path)])}.",
        )
    one = shlex.join(["linnaea", "rerun", str(finished[0].path)])
    return RunError(f"{group.path} holds {group.kind}; they are repeated one at a time.", f"Say: {one}.")


def _settings(first: RunFolder, info: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that the run used, its split included, as train takes them.

    Raises RunError for a run that did not end, or does not say what its settings were.
    """
    if info.get("state") != "finished":
        raise RunError(
            f"{first.path} is {info.get('state') or 'not finished'}: there is no result to repeat.",
            f"Bring it to its end: {shlex.join(['linnaea', 'resume', str(first.path)])}.",
        )
    if not isinstance(info.get("recipe"), dict) or not isinstance(info.get("data"), dict):
        raise RunError(f"{first.path / 'run.json'} does not say how the run was made.", "Train again.")
    if not (first.path / "split.csv").is_file():
        raise RunError(
            f"{first.path / 'split.csv'} is missing.", "Restore it: it says which pictures were used."
        )
    kept = recorded_settings(info["recipe"])
    # A plan depends on how fast the machine was that day; what it came to is what can be repeated.
    plan = info.get("plan") or {}
    kept |= {name: plan[name] for name in names(planned=True) if name in plan}
    if plan:
        kept |= {"budget": None, "train_from": "all" if plan["train_from"] == "probe" else plan["train_from"]}
    numbers = first.read_json("model.json").get("precision")
    if isinstance(numbers, dict):
        kept["precision"] = numbers.get("numbers")
    kept |= {"split": None, "split_from": str(first.path), "repeats": None, "folds": None}
    kept["learning_curve"] = False  # it is measured beside the run and changes nothing in it
    kept["weights"] = weights_from(kept.get("weights"), info)
    return kept


def where(first: RunFolder, info: dict[str, Any]) -> tuple[str, Path | None]:
    """Return where the pictures are now: as they were asked for, from here or from the folder of that day.

    Raises DataError, naming the place, where they are gone.
    """
    opened = info.get("opened") or {}
    data, folder = str(opened.get("data") or info["data"].get("source")), opened.get("folder")
    data_dir = None if opened.get("data_dir") is None else _placed(opened["data_dir"], folder)
    try:
        sources.check_source(data)
    except LinnaeaError:
        there = str(_placed(data, folder))
        if there == data:
            raise
        sources.check_source(there)
        data = there
    return data, data_dir


def _placed(path: str, folder: str | None) -> Path:
    """Return path as it is where it exists from here, else as seen from that folder."""
    here = Path(path).expanduser()
    return here if folder is None or here.exists() else Path(folder) / here


def weights_from(weights: Any, info: dict[str, Any]) -> Any:
    """Return the setting weights, a file as seen from here or from the folder of that day."""
    if weights in (None, "hub", "none"):
        return weights
    return str(_placed(str(weights), (info.get("opened") or {}).get("folder")))


def threads_of(info: dict[str, Any]) -> dict[str, int]:
    """Return the threads of the run; older runs have one number for all."""
    known = info.get("threads")
    if isinstance(known, dict):
        return {str(name): int(number) for name, number in known.items()}
    number = (info.get("hardware") or {}).get("threads")
    return {} if not isinstance(number, int) else {"blas": number, "openmp": number, "torch": number}


def _tell(found: list[str], why: list[str], *, budget: bool) -> None:
    terminal.say("Differs", *found)
    if budget:
        why = ["The run was planned for a time, and its plan changed with the machine's speed.", *why]
    terminal.say(
        "Because", *(why or ["Nothing that is recorded differs: not every sum is made in one order."])
    )
