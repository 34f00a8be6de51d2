"""The network that --model auto takes: tried on the person's own training pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from linnaea.classifiers import registry
from linnaea.classifiers.finetune import selection
from linnaea.classifiers.finetune.backbones import NotDownloadedError, is_here, obtain
from linnaea.classifiers.finetune.selection import Trial
from linnaea.classifiers.finetune.short_names import CANDIDATES, KNOWN, Candidate
from linnaea.commands import choosing, probe_folds, terminal
from linnaea.commands.choosing import Chosen
from linnaea.commands.study import Study, spread
from linnaea.errors import LinnaeaError
from linnaea.runs.folder import RunFolder
from linnaea.text import counted, duration, percent

# Training pictures that the networks are tried on, at most; for each second of a budget, PICTURES_A_SECOND.
MOST = 1000
PICTURES_A_SECOND = 2
# Where all pictures, seen once by a network, would take longer than this, or than this share of a budget, it
# is not tried. A network that takes no longer than the packaged one always is, unless a budget is shorter
# than LEAST.
LONGEST, SHARE, LEAST = 300.0, 0.25, 30.0


def choose_network(
    run: RunFolder, chosen: Chosen, classifier: Any, study: Study, spent: float
) -> tuple[Chosen, Any]:
    """Return the recipe and the classifier with a network in the place of "auto".

    Each network that there is time for, and whose weights can be had, is tried on training pictures: its
    linear probe over folds. The best is taken. A run whose split is used again lends its network as well: the
    two are to be compared.

    spent: seconds of the budget that are over.
    """
    recipe = chosen.recipe
    if recipe.model != registry.AUTO:
        return chosen, classifier
    lent = _network_of(recipe.split_from)
    if lent is not None:
        terminal.print_line("Chosen", f"{lent}, as in {recipe.split_from}")
        return _with(chosen, lent)
    left = None if recipe.budget is None else max(recipe.budget - spent, 0.0)
    if left is not None and left < LEAST:
        terminal.print_line("Chosen", f"{CANDIDATES[0].name}: the budget leaves no time to try others")
        return _with(chosen, CANDIDATES[0].name)
    there, missing = _obtain_small_ones()
    if len(there) == 1:
        terminal.print_line(
            "Chosen", f"{there[0].name}, the only network whose weights are here", *_without(missing)
        )
        return _with(chosen, there[0].name)
    train = study.rows("train")
    most = MOST if left is None else min(MOST, int(PICTURES_A_SECOND * left))
    rows = train[spread(study.dataset.labels[train], most)]
    fold = probe_folds.folds(study, rows, recipe.seed)
    if not (fold >= 0).any():
        few = "the training pictures are too few to try others on"
        terminal.print_line("Chosen", f"{CANDIDATES[0].name}: {few}")
        return _with(chosen, CANDIDATES[0].name)
    trials, too_slow, damaged = _try_each(there, missing, classifier, study, rows, fold, left)
    # Among equals the surer one.
    best = max(trials, key=lambda trial: (trial.accuracy, -trial.log_loss))
    judged = int((fold >= 0).sum())
    others = [f"{trial.backbone}: {percent(trial.accuracy)}" for trial in trials if trial is not best]
    terminal.print_line(
        "Chosen",
        f"{best.backbone}: its linear probe is right on {percent(best.accuracy)} of "
        f"{counted(judged, 'training picture')}, over folds",
        ", ".join(others),
        *(
            [f"not tried: {', '.join(f'{name} ({why})' for name, why in too_slow.items())}"]
            if too_slow
            else []
        ),
        *_without(missing | damaged),
    )
    run.update_info(
        selection={
            "pictures": judged,
            "folds": len(np.unique(fold[fold >= 0])),
            "tried": [
                {"model": each.backbone, "accuracy": each.accuracy, "log_loss": each.log_loss}
                for each in trials
            ],
        }
    )
    return _with(chosen, best.backbone)


def _with(chosen: Chosen, model: str) -> tuple[Chosen, Any]:
    recipe = chosen.recipe.model_copy(update={"model": model})
    return replace(chosen, recipe=recipe), choosing.new_classifier(recipe)


def _network_of(split_from: str | None) -> str | None:
    """Return the network of the run whose split is used again, where it is a pretrained one."""
    folder = None if split_from is None else Path(split_from).expanduser()
    if folder is None or not (folder / "run.json").is_file():
        return None
    model = RunFolder.open(folder).info.recipe.get("model")
    return model if isinstance(model, str) and model not in (*registry.CLASSIFIERS, registry.AUTO) else None


def _obtain_small_ones() -> tuple[list[Candidate], dict[str, str]]:
    """Return the networks whose weights are here, and why each other one's are not.

    Those that take no longer than the packaged one are downloaded; larger ones once it is known that there
    is time for them.
    """
    there: list[Candidate] = []
    missing: dict[str, str] = {}
    for candidate in CANDIDATES:
        if is_here(candidate.name) or (candidate.cost <= 1 and _obtained(candidate, missing)):
            there.append(candidate)
    return there, missing


def _obtained(candidate: Candidate, missing: dict[str, str]) -> bool:
    """Download a network's weights, unless the hub has not answered before; tell why it cannot be."""
    if missing:
        return False

    def announce(size: int) -> None:
        terminal.print_line(
            "Weights", f"{candidate.name}: {size / 1e6:.0f} MB from the Hugging Face Hub, once"
        )

    try:
        obtain(candidate.name, announce)
    except NotDownloadedError as error:
        missing[candidate.name] = f"not downloaded ({KNOWN[candidate.name].megabytes} MB): {error.reason}"
    return candidate.name not in missing


def _without(missing: dict[str, str]) -> list[str]:
    """Return what to tell of networks that would have been tried as well."""
    return [f"{name} was {why}" for name, why in missing.items()]


def _try_each(
    there: list[Candidate],
    missing: dict[str, str],
    classifier: Any,
    study: Study,
    rows: np.ndarray,
    fold: np.ndarray,
    left: float | None,
) -> tuple[list[Trial], dict[str, str], dict[str, str]]:
    """Return the networks that were tried, and which would take too long, and which cannot be used, and why.

    left: seconds of a budget, or None.
    """
    assert study.photographs is not None
    X, y = study.photographs.select(rows), study.dataset.labels[rows]
    pictures = sum(len(study.rows(name)) for name in ("train", "val", "test"))
    longest = LONGEST if left is None else SHARE * left
    trials: list[Trial] = []
    too_slow: dict[str, str] = {}
    damaged: dict[str, str] = {}
    bar = terminal.EpochBar(0)
    with bar.shown():
        for candidate in CANDIDATES:
            # The first one, which is always here, measures the machine.
            expected = trials[0].seconds * candidate.cost * pictures if trials else 0.0
            if candidate.cost > 1 and expected > longest:
                too_slow[candidate.name] = f"{duration(expected)} for a look at all pictures"
            elif candidate in there or _obtained(candidate, missing):
                network = classifier.__class__(**{**classifier.get_params(), "backbone": candidate.name})
                try:
                    trials.append(selection.try_network(network, X, y, fold, on_step=bar.step))
                except LinnaeaError as error:
                    if not trials:
                        raise
                    damaged[candidate.name] = f"not tried: {error.message} {error.cure}"
    return trials, too_slow, damaged
