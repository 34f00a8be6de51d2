"""Learning: the stretch of the road between a study and its judgement."""

import math
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from linnaea.classifiers.common.progress import has_exploded
from linnaea.classifiers.contract import EpochRecord, takes_photographs
from linnaea.commands import checkpointing, ood, terminal
from linnaea.commands.checkpointing import Keeper
from linnaea.commands.choosing import Chosen, used_settings
from linnaea.commands.study import Study
from linnaea.errors import DivergenceError, LinnaeaError
from linnaea.runs import checksums, disk_reserve, provenance
from linnaea.runs.checkpoint import Checkpoint, Checkpoints
from linnaea.runs.events import EventWriter
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup
from linnaea.runs.settings import Recipe
from linnaea.signals import Stops
from linnaea.text import counted, duration, percent

# What a run still does when its test part is judged: metrics, the worst mistakes, the report.
CLOSING_SECONDS, CLOSING_SECONDS_A_PICTURE = 4.0, 0.002


def free_folder(data: str) -> Path:
    """Return the first unused of runs/NAME-1, runs/NAME-2, …"""
    path = Path(data).expanduser().resolve()
    name = (path.stem if path.is_file() else path.name) or "pictures"
    number = 1
    while (Path("runs") / f"{name}-{number}").exists():
        number += 1
    return Path("runs") / f"{name}-{number}"


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
    checkpoint: what to go on from.

    Returns None, or what ended the training early (an interruption, a divergence): the network is then
    saved as it stood, so that it can still be judged before the caller raises it.
    """
    X, y = study.pair("train")
    validation = study.pair("val") if len(study.rows("val")) else None
    _set_up(classifier, study, recipe, elapsed)
    keeper = Keeper(run, recipe, stops)
    asked = classifier.get_params()
    bar = terminal.EpochBar(asked["epochs"], probed=asked.get("probe", False))
    if checkpoint is not None:
        bar.catch_up(checkpointing.go_on_from(checkpoint, classifier, run.info()), len(X))
    stopped: BaseException | None = None
    with ExitStack() as open_things:
        events = open_things.enter_context(EventWriter(run.path)) if recipe.tensorboard else None

        def listen(record: EpochRecord, trained: Any) -> None:
            line = record.as_dict()
            if record.epoch == 0:
                _introduce(run, trained)
            if recipe.test_curve:
                line["test_loss"], line["test_accuracy"] = trained.evaluate(*study.test)
            keeper.append(line)
            if events is not None:
                events.write(line)
            bar(record, len(X))
            keeper.epoch_over(trained)

        def follow(stage: str, done: int, total: int, seconds: float) -> None:
            _show_plan(classifier, bar)
            if takes_photographs(classifier):  # the steps of others are too short to be shown
                bar.step(stage, done, total, seconds)
            if not stage:
                keeper.step_over(classifier)

        open_things.enter_context(bar.shown())
        try:
            keeper.fit(classifier, X, y, validation_data=validation, on_epoch=listen, on_step=follow)
        except (KeyboardInterrupt, DivergenceError) as stop:
            stopped = stop
    keeper.forget_what_is_half(classifier, stopped)
    if getattr(classifier, "history_", None):
        run.check_there()  # save would make the folder again
        with checksums.sealed(run, *checksums.NETWORK, "history.jsonl"):
            classifier.save(run.path)
        used = {**used_settings(classifier), "budget": recipe.budget, "learning_rate": asked["learning_rate"]}
        run.update_info(
            recipe={**recipe.model_dump(), **used},
            chosen_epoch=getattr(classifier, "chosen_epoch_", None),
            chosen_on="validation accuracy" if _chooses(classifier, validation) else None,
            kept=getattr(classifier, "kept_", None),
            plan=_plan_as_dict(classifier),
        )
    return stopped


def _set_up(classifier: Any, study: Study, recipe: Recipe, elapsed: float) -> None:
    """Give the classifier the settings that follow from the study and from the time that is left."""
    if recipe.budget is not None:
        tested = len(study.rows("test"))
        closing = CLOSING_SECONDS + CLOSING_SECONDS_A_PICTURE * tested
        # The probe remembers what the network makes of the training and the validation part; after
        # fine-tuning it is made anew, and the probe alone is judged beside the network.
        after = 2 * tested + len(study.rows("val")) + ood.pictures_for_fit(study)
        classifier.set_params(
            budget=max(recipe.budget - elapsed - closing, 1.0),
            pictures_after=tested,
            pictures_after_tuning=after,
        )


def _show_plan(classifier: Any, bar: terminal.EpochBar) -> None:
    """Tell once what a budget was planned for, and let the bar count to the plan's epochs as they are now."""
    plan = getattr(classifier, "plan_", None)
    if plan is None:
        return
    if bar.plan is None:
        terminal.say("Plan", f"{plan.summary}. {plan.reason}", plan.twice)
    if plan is not bar.plan:
        bar.follow(plan)


def _plan_as_dict(classifier: Any) -> dict[str, Any] | None:
    plan = getattr(classifier, "plan_", None)
    for note in () if plan is None else plan.notes:
        terminal.say("", note)
    return None if plan is None else plan.as_dict()


def _chooses(classifier: Any, validation: Any) -> bool:
    """Tell whether the epoch that is kept was chosen; a probe alone is all there is."""
    best = classifier.get_params()["keep"] == "best"
    return best and validation is not None and len(classifier.history_) > 1


def _introduce(run: RunFolder, trained: Any) -> None:
    """Tell what the network is, and what its probe reached, before the first epoch ends."""
    network = trained.describe()
    run.update_info(network=network)
    terminal.say("Network", f"{network['summary']} · {network['parameters']:,} parameters")
    probe = getattr(trained, "probe_", None)
    if probe is not None:
        part, (_, accuracy) = ("validation", probe.val) if probe.val else ("training", probe.train)
        seconds = trained.history_[0].seconds
        terminal.say("Probe", f"{part} {percent(accuracy)} in {duration(seconds)}")
        run.update_info(probe={"part": part, "accuracy": accuracy, "seconds": seconds})


@contextmanager
def recorded(run: RunFolder, chosen: Chosen, phases: provenance.Phases) -> Iterator[Stops]:
    """Keep run.json true whatever happens, and leave a report that can be read.

    Of a run that is gone on with, its beginning is known already. Yields what answers to signals.
    """
    begun = {
        "command": shlex.join(["linnaea", *sys.argv[1:]]),
        "recipe": chosen.recipe.model_dump(),
        "started": provenance.now(),
    }
    run.sweep()
    with disk_reserve.kept(run.path) as spare, Stops() as stops:
        run.update_info(
            state="running",
            model=chosen.recipe.model,
            recipe_name=chosen.name,
            reported=chosen.reported,
            opened=chosen.opened,
            versions=provenance.versions(),
            git=provenance.git(),
            message=None,
            **({} if "started" in _known(run) else begun),
        )
        state, message = "finished", None
        try:
            yield stops
        except KeyboardInterrupt:
            state, message = "interrupted", _how_far(run)
            raise
        except BaseException as error:
            state, message = "failed", str(error)
            raise
        finally:
            stops.close()
            disk_reserve.release(spare)
            _close(run, state, message, phases)


def _close(run: RunFolder, state: str, message: str | None, phases: provenance.Phases) -> None:
    """Write down how a run ended, and draw its report.

    Raises LinnaeaError where the disk refuses, unless that, or something else, is being told already.
    """
    from linnaea.report.page import build_report

    if state != "finished" and not run.path.is_dir():
        return  # the folder is gone, which is being told
    try:
        run.update_info(
            state=state,
            message=message,
            phases=phases.finished,
            hardware=provenance.hardware(),
            threads=provenance.threads(),
            finished=provenance.now(),
        )
        with phases.measure("report"):
            build_report(run)
        run.update_info(phases=phases.finished)
    except (LinnaeaError, OSError) as error:
        if state == "finished":
            raise
        terminal.say("Report", f"not drawn: {error}")
    _tell_how_to_go_on(run, state)


def _known(run: RunFolder) -> dict[str, Any]:
    return run.info() if (run.path / "run.json").exists() else {}


def _tell_how_to_go_on(run: RunFolder, state: str) -> None:
    checkpoints = Checkpoints(run)
    if state == "finished":
        checkpoints.remove()
        return
    try:
        found = checkpoints.read()
    except LinnaeaError:
        return  # none is whole: resume would refuse it
    # An interrupted run without any begins anew. One of several is gone on with together with the others.
    if state == "interrupted" or found is not None:
        group = RunGroup.around(run)
        path = terminal.shown_path(run.path if group is None else group.path)
        terminal.say("Go on", f"linnaea resume {shlex.quote(path)}")


def _how_far(run: RunFolder) -> str:
    history = run.history()
    if not history:
        return "Stopped by the person before the first epoch."
    return f"Stopped by the person after epoch {history[-1]['epoch']}."


def show_result(run: RunFolder) -> None:
    """Print the headline: accuracy with its interval, beside the baseline."""
    info, metrics = run.info(), run.metrics()
    if not metrics:
        return
    from linnaea.evaluation import calibration, clustered, ood, prediction_sets

    tested = counted(info["data"]["parts"]["test"], "test picture")
    headline = terminal.interval(metrics["accuracy"]).replace(" %", f" % of {tested} right", 1)
    baselines = ", ".join(f"{name}: {percent(value)}" for name, value in info["baselines"].items())
    believed = [said.in_words(metrics) for said in (clustered, calibration, prediction_sets)]
    if (alarms := ood.in_words(metrics)) is not None:
        believed.append(f"of its warning of something else: {alarms}")
    told = [_without_leaks(metrics), baselines, *believed]
    terminal.say("Result", headline, *filter(None, told), *_kept(run, info))


def _without_leaks(metrics: dict[str, Any]) -> str:
    """Return the accuracy on the pictures that no other part holds; "" where nothing leaks."""
    clean = metrics.get("accuracy_without_leaks")
    if clean is None:
        return ""
    if clean["value"] is None:
        return "every test picture leaks: the score tells nothing of new pictures"
    leaked = clean["leaked"]
    return f"without the {leaked:,} that leak{'s' * (leaked == 1)}: {terminal.interval(clean)}"


def _kept(run: RunFolder, info: dict[str, Any]) -> list[str]:
    """Return what a person should know of the network that a fine-tuning kept, in a sentence, or nothing."""
    history, classes = run.history(), len(info["data"]["classes"])
    if info.get("kept") is None or len(history) < 2:
        return []
    loss, is_probe = history[-1]["train_loss"], info["kept"] == "probe"
    probe = "the probe is what is kept"
    if has_exploded(loss, classes):
        far = f"far above that of guessing ({math.log(classes):.2f}): lower the learning rate"
        return [f"fine-tuning ended with a loss of {loss:.3g}, {far}" + (f"; {probe}" if is_probe else "")]
    return [f"fine-tuning did not beat the probe on validation: {probe}"] if is_probe else []
