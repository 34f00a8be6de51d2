"""Training: a network learns from the training set, with its history, checkpoints and progress bar."""

import math
from contextlib import ExitStack
from typing import Any

from linnaea.classifiers.contract import EpochRecord
from linnaea.commands import checkpointing, ood, terminal
from linnaea.commands.checkpointing import Checkpointer
from linnaea.commands.choosing import used_settings
from linnaea.commands.study import Study
from linnaea.errors import DivergenceError
from linnaea.runs.checkpoint import Checkpoint
from linnaea.runs.events import EventWriter
from linnaea.runs.folder import NETWORK, RunFolder
from linnaea.runs.settings import Recipe
from linnaea.signals import Stops
from linnaea.text import duration, option, percent

# Of the time that a training is expected to take, a budget that it keeps to for sure.
ENOUGH = 1.25
# What a run still does once its test set is predicted: metrics, the worst mistakes, the report.
CLOSING_SECONDS, CLOSING_SECONDS_A_PICTURE = 5.0, 0.003


def fit(
    run: RunFolder,
    classifier: Any,
    study: Study,
    recipe: Recipe,
    elapsed: float,
    stops: Stops,
    checkpoint: Checkpoint | None = None,
) -> BaseException | None:
    """Train, writing history.jsonl and checkpoints as it goes, and save the network.

    elapsed: seconds of the recipe's budget that are over already.
    checkpoint: what to continue from.

    Returns None, or what ended the training early (an interruption, a divergence): the network is then
    saved as it stood, so that it can still be evaluated before the caller raises it.
    """
    X, y = study.pair("train")
    validation = study.pair("val") if len(study.rows("val")) else None
    before = _set_up(classifier, study, recipe, elapsed)
    checkpointer = Checkpointer(run, recipe, stops, classifier.compute_device)
    asked = classifier.get_params()
    bar = terminal.EpochBar(asked["epochs"], probed=asked.get("probe", False))
    if checkpoint is not None:
        bar.catch_up(checkpointing.go_on_from(checkpoint, classifier, run.info), len(X))
    stopped: BaseException | None = None
    warned: list[bool] = []
    with ExitStack() as open_things:
        events = open_things.enter_context(EventWriter(run.path)) if recipe.tensorboard else None

        def listen(record: EpochRecord, trained: Any) -> None:
            line = record.as_dict()
            if record.epoch == 0:
                _introduce(run, trained)
            if recipe.test_curve:
                line["test_loss"], line["test_accuracy"] = trained.evaluate(*study.test)
            checkpointer.append(line)
            if events is not None:
                events.write(line)
            bar(record, len(X))
            checkpointer.epoch_over(trained)

        def follow(stage: str, done: int, total: int, seconds: float) -> None:
            if classifier.least_seconds_ is not None and not warned:
                warned.append(True)
                _warn_of_budget(run, recipe, before + classifier.least_seconds_)
            _show_plan(classifier, bar)
            if classifier.takes_photographs:  # the steps of others are too short to be shown
                bar.step(stage, done, total, seconds)
            if not stage:
                checkpointer.step_over(classifier)

        open_things.enter_context(bar.shown())
        try:
            checkpointer.fit(classifier, X, y, validation_data=validation, on_epoch=listen, on_step=follow)
        except (KeyboardInterrupt, DivergenceError) as stop:
            stopped = stop
    checkpointer.forget_what_is_half(classifier, stopped)
    if classifier.history_:
        with run.others_write(*NETWORK, "history.jsonl"):
            classifier.save(run.path)
        used = {**used_settings(classifier), "budget": recipe.budget, "learning_rate": asked["learning_rate"]}
        run.update_info(
            recipe={**recipe.model_dump(), **used},
            chosen_epoch=classifier.chosen_epoch_,
            chosen_on="validation accuracy" if _chooses(classifier, validation) else None,
            kept=classifier.kept_,
            plan=_plan_as_dict(classifier),
        )
    return stopped


def _set_up(classifier: Any, study: Study, recipe: Recipe, elapsed: float) -> float:
    """Give the classifier the settings that follow from the study and from the time that is left.

    Returns the seconds of the budget that are not the classifier's.
    """
    closing = 0.0
    if recipe.budget is not None:
        tested = len(study.rows("test"))
        closing = CLOSING_SECONDS + CLOSING_SECONDS_A_PICTURE * tested
        # The probe keeps the features of the training and the validation set; after fine-tuning
        # they are computed again, and the probe alone is evaluated beside the network.
        after = 2 * tested + len(study.rows("val")) + ood.pictures_for_fit(study)
        classifier.set_params(
            # What is left may be nothing; a length of time is more than that.
            budget=max(recipe.budget - elapsed - closing, 1e-3),
            pictures_after=tested,
            pictures_after_tuning=after,
        )
    return elapsed + closing


def _warn_of_budget(run: RunFolder, recipe: Recipe, seconds: float) -> None:
    """Print that the budget cannot be met, and which could: so many seconds are expected."""
    asked, several, each = recipe.budget or 0.0, 1, ""
    if run.info.one_of is not None and run.info.one_of.of:
        several = run.info.one_of.of
        each = f" for each of {several} runs"
    terminal.print_line(
        "Budget",
        f"{duration(asked)}{each} is too short here: expect about {duration(seconds)}. "
        f"{option('budget', _round_time(ENOUGH * several * seconds))} would be met.",
    )


def _round_time(seconds: float) -> str:
    """Return a round length of time, at least so long, as an option takes it: 40s, 3m, 25m."""
    if seconds <= 60:
        return f"{10 * math.ceil(seconds / 10)}s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes if minutes <= 10 else 5 * math.ceil(minutes / 5)}m"


def _show_plan(classifier: Any, bar: terminal.EpochBar) -> None:
    """Print once what a budget was planned for; let the bar count to the plan's epochs as they are now."""
    plan = classifier.plan_
    if plan is None:
        return
    if bar.plan is None:
        terminal.print_line("Plan", f"{plan.summary}. {plan.reason}")
    if plan is not bar.plan:
        bar.follow(plan)


def _plan_as_dict(classifier: Any) -> dict[str, Any] | None:
    plan = classifier.plan_
    for note in () if plan is None else plan.notes:
        terminal.print_line("", note)
    return None if plan is None else plan.as_dict()


def _chooses(classifier: Any, validation: Any) -> bool:
    """Return whether the epoch that is kept was chosen; a probe alone is all there is."""
    best = classifier.get_params()["keep"] == "best"
    return best and validation is not None and len(classifier.history_) > 1


def _introduce(run: RunFolder, trained: Any) -> None:
    """Print and record what the network is, and what its probe reached, before the first epoch ends."""
    network = trained.describe()
    run.update_info(network=network)
    terminal.print_line("Network", f"{network['summary']} · {network['parameters']:,} parameters")
    probe = trained.probe_
    if probe is not None:
        split, (_, accuracy) = ("validation", probe.val) if probe.val else ("training", probe.train)
        seconds = trained.history_[0].seconds
        terminal.print_line("Probe", f"{split} {percent(accuracy)} in {duration(seconds)}")
        run.update_info(probe={"split": split, "accuracy": accuracy, "seconds": seconds})
    # Before the first checkpoint: a training that continues from there does not come by here again.
    run.flush()
