"""Repeats and folds: several runs of one recipe on pictures that are decoded once, each run kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from linnaea.commands import checkpointing, choosing, label_issues, pipeline, study, terminal
from linnaea.commands.choosing import Chosen
from linnaea.commands.study import Study
from linnaea.data.split import Split
from linnaea.errors import DataError
from linnaea.runs import provenance
from linnaea.runs.checkpoint import Checkpoints
from linnaea.runs.folder import RunFolder
from linnaea.runs.guard import claimed
from linnaea.runs.provenance import Phases
from linnaea.runs.repeated import Kind, RunGroup, summary
from linnaea.runs.settings import Recipe
from linnaea.signals import Stops
from linnaea.text import command, command_line, counted, listed

# What is printed of several runs; repeats.json has every metric.
_SHOWN = {
    "accuracy": "Accuracy",
    "macro_auc": "Macro AUC",
    "log_loss": "Log loss",
    "set_coverage": "Coverage of prediction sets",
}
_SHARES = ("accuracy", "set_coverage")


@dataclass(frozen=True)
class Plan:
    """One of several runs: its recipe, and its split."""

    recipe: Recipe
    split: Split


def train_many(
    folder: Path, chosen: Chosen, pictures: Study, phases: Phases, *, overwrite: bool = False
) -> RunGroup:
    """Train the recipe once for each seed or fold, in folder/1, folder/2, …, and print the results together.

    phases: those of opening the data, which all runs share.

    Raises what stopped a run; the runs before it are kept and summed up all the same.
    """
    recipe = chosen.recipe
    kind: Kind = "repeats" if recipe.repeats else "folds"
    group = RunGroup.begin(folder, kind, overwrite=overwrite)
    return _train_each(group, chosen, pictures, phases.elapsed, overwrite=overwrite)


def _train_each(
    group: RunGroup, chosen: Chosen, pictures: Study, spent: float, *, overwrite: bool = False
) -> RunGroup:
    """Train the runs of a group that are not finished yet; spent: seconds of the budget that are over."""
    recipe, kind = chosen.recipe, group.kind
    plans = _repeats(pictures, recipe) if kind == "repeats" else _folds(pictures, recipe)
    with _recorded(group, chosen, pictures, len(plans)):
        for number, plan in enumerate(plans, start=1):
            folder, word = group.path / str(number), "Repeat" if kind == "repeats" else "Fold"
            begun = group.begun(number)
            if begun is not None and begun.info.state == "finished":
                continue
            terminal.messages.rule(f"{word} {number} of {len(plans)}", style="dim")
            group.info.runs = [str(n) for n in range(1, number + 1)]
            group.flush()
            recipe_of_run = plan.recipe.model_copy(update={"budget": _share(recipe, spent, len(plans))})
            classifier = choosing.new_classifier(recipe_of_run)
            with claimed(folder):
                run, checkpoint = begun, None
                if run is None:
                    run = RunFolder.create(folder, overwrite=overwrite)
                else:
                    _refuse_other_split(run, replace(pictures, split=plan.split))
                    checkpoint = Checkpoints(run).read()
                    checkpointing.prepare(run, checkpoint, classifier.compute_device)
                pipeline.run(
                    run,
                    replace(chosen, recipe=recipe_of_run),
                    classifier,
                    replace(pictures, split=plan.split),
                    Phases(),
                    checkpoint,
                    one_of={"kind": kind, "number": number, "of": len(plans), "group": group.info.id},
                )
    terminal.messages.rule(style="dim")
    if kind == "folds":
        label_issues.find(group, pictures.dataset, chosen.opened, study.opened_as(chosen.recipe))
    print_summary(group)
    return group


def _refuse_other_split(run: RunFolder, pictures: Study) -> None:
    """Raise DataError where a run that is continued began with another split."""
    from linnaea.data import split_file

    rows = split_file.split_rows(pictures.dataset, pictures.split, pictures.scan.hashes)
    began = run.info.data.split_hash
    if began is not None and split_file.split_hash(rows) != began:
        raise DataError(
            f"The pictures of '{pictures.dataset.name}' are not those that {run.path} began with: they "
            "divide into another split now.",
            "Restore them, or start again: linnaea train, with --overwrite.",
        )


def go_on(group: RunGroup, chosen: Chosen, pictures: Study) -> RunGroup:
    """Continue the first run of a group that is not finished, then train those that were not begun.

    Raises DataError where the data divide otherwise than they did.
    """
    return _train_each(group, chosen, pictures, 0.0)


def _repeats(pictures: Study, recipe: Recipe) -> list[Plan]:
    """Return a plan for each seed: recipe.seed, the next, and so on."""
    plans = []
    for index in range(recipe.repeats or 1):
        with_seed = recipe.model_copy(update={"seed": recipe.seed + index, "repeats": None})
        # The first seed's split is made already.
        split = pictures.divided(with_seed) if index else pictures.split
        plans.append(Plan(with_seed, split))
    return plans


def _folds(pictures: Study, recipe: Recipe) -> list[Plan]:
    """Return a plan for each fold; the seed is the same for all."""
    from linnaea.data.folds import make_folds
    from linnaea.data.split import default_protocol

    single = recipe.model_copy(update={"folds": None})
    splits = make_folds(
        pictures.dataset,
        recipe.split or default_protocol(pictures.dataset),
        recipe.folds or 2,
        validation=study.VALIDATION if recipe.validation is None else recipe.validation,
        seed=recipe.seed,
        groups=pictures.groups,
    )
    return [Plan(single, split) for split in splits]


def _share(recipe: Recipe, spent: float, runs: int) -> float | None:
    """Return the seconds that each run may take: the budget is that of the whole command."""
    return None if recipe.budget is None else max((recipe.budget - spent) / runs, 1.0)


@contextmanager
def _recorded(group: RunGroup, chosen: Chosen, pictures: Study, runs: int) -> Iterator[None]:
    """Keep repeats.json or folds.json true whatever happens, and leave a page of the runs that there are."""
    from linnaea.report.groups import build_group

    info = group.info
    if info.started is None:  # one that is continued keeps its beginning
        info.runs, info.started, info.command = [], provenance.now(), command_line.get()
    info.id = info.id or uuid4().hex
    group.update_info(
        kind=group.kind,
        state="running",
        data={"source": pictures.dataset.source, "name": pictures.dataset.name},
        recipe=chosen.recipe.model_dump(),
        recipe_name=chosen.name,
        reported=chosen.reported,
        opened=chosen.opened,
        asked=runs,
        message=None,
    )
    group.flush()
    state, message = "finished", None
    try:
        yield
    except BaseException as error:
        state, message = pipeline.ended_by(error)
        raise
    finally:
        # A folder that is gone is reported by the error that is raised.
        with Stops() as stops:
            stops.close()
            if state == "finished" or group.path.is_dir():
                sum_up(group)
                group.update_info(state=state, message=message, finished=provenance.now())
                group.flush()
                build_group(group)


def sum_up(group: RunGroup) -> None:
    """Set the metrics of a group's runs taken together; whoever holds its lock flushes it."""
    from linnaea.evaluation import ood, prediction_sets

    evaluated = group.evaluated()
    metrics = [run.metrics() for run in evaluated]
    broken = {
        key: [run.path.name for run, of_run in zip(evaluated, metrics, strict=True) if is_broken(of_run)]
        for key, is_broken in (("broken_sets", prediction_sets.broken), ("broken_alarms", ood.too_many))
    }
    group.update_info(metrics=summary(metrics), evaluated=len(evaluated), **broken)
    if group.kind == "folds" and evaluated:
        group.update_info(pooled=_pooled(evaluated))


def _pooled(folds: list[RunFolder]) -> dict[str, float | int]:
    """Return the accuracy over all pictures that the folds tested, with its interval."""
    from linnaea.evaluation import clustered
    from linnaea.evaluation.predictions import joined
    from linnaea.runs.tables import read_test_table

    table = joined([read_test_table(run) for run in folds])
    right = table.predicted == table.true
    low, high = clustered.folded_interval(right, table.groups)
    return {"value": float(right.mean()), "low": low, "high": high, "pictures": len(table)}


def print_summary(group: RunGroup) -> None:
    """Print mean, deviation and range of the runs."""
    from linnaea.report import sentences

    metrics = group.info.metrics
    rows = []
    for name, heading in _SHOWN.items():
        if name in metrics:
            scale, digits = (100, 2) if name in _SHARES else (1, 4)
            values = {key: getattr(metrics[name], key) for key in ("mean", "deviation", "min", "max")}
            shown = {k: "–" if v is None else f"{scale * v:.{digits}f}" for k, v in values.items()}
            rows.append({"metric": heading + (" (%)" if scale == 100 else ""), **shown})
    runs = counted(group.info.evaluated or 0, group.kind.removesuffix("s"))
    columns = {"metric": runs, "mean": "Mean", "deviation": "Deviation"}
    table = terminal.comparison_table(rows, columns | {"min": "Lowest", "max": "Highest"})
    terminal.results.print(table)
    if pooled := group.info.pooled:
        terminal.print_line("Together", sentences.pooled(pooled))
    if lost := group.lost():
        again = command("linnaea", "resume", group.path)
        word, them = (group.kind, "them") if len(lost) > 1 else (group.kind.removesuffix("s"), "it")
        terminal.print_line(
            "Missing",
            f"{word} {listed(lost)}: these numbers are without {them}",
            f"train {them} again: {again}",
        )
    if broken := group.info.broken_sets:
        terminal.print_line(
            "Sets",
            f"they contain the true class less often than guaranteed in run {listed(broken)}: see its report",
        )
    if broken := group.info.broken_alarms:
        alarms = f"more familiar pictures than allowed are flagged as unfamiliar in run {listed(broken)}"
        terminal.print_line("Alarms", f"{alarms}: see its report")
    terminal.print_line("Report", terminal.shown_path(group.path / "report.html"))
    terminal.print_line("Next", f"look at it: {command('linnaea', 'open', terminal.shown_path(group.path))}")
