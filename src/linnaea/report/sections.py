"""The sections of one run's page: facts into words and rows; None or empty where there is nothing to show."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from linnaea.data.sources import NAMES
from linnaea.evaluation import resolution
from linnaea.evaluation.metrics import confusion
from linnaea.report import formatting, sentences
from linnaea.report.caveats import choices, kinds_of_problems, leaked_paths
from linnaea.report.facts import RunFacts
from linnaea.report.formatting import Verdict, count, counted, percent
from linnaea.runs.repeated import KINDS, label_issues
from linnaea.runs.schema import Network, RunInfo
from linnaea.settings import SETTINGS, applied
from linnaea.text import command, natural_order

MOST_NAMED = 3  # of the classes that one is equally often mistaken for
_POOLS = {"blas": "BLAS", "openmp": "OpenMP"}
_IN_PIXELS = {"size", "first_size"}
# The headline, the section on trust, and a second name of balanced accuracy.
SHOWN_ELSEWHERE = {"accuracy", "mean_per_class_accuracy", "answered", "accuracy_answered"}


@dataclass(frozen=True)
class Banner:
    """What stands above an unfinished run's page."""

    title: str
    text: str


def banner(facts: RunFacts) -> Banner | None:
    """Say that the run is not finished, why, and how far it came."""
    titles = {
        "running": "This run has not finished.",
        "interrupted": "This run was interrupted.",
        "failed": "This run failed.",
    }
    if facts.state not in titles:
        return None
    epochs, trained = facts.info.recipe.get("epochs"), facts.epochs
    far = f"{trained} of {counted(epochs, 'epoch')}" if isinstance(epochs, int) else counted(trained, "epoch")
    reached = f"It had trained {far}" if trained else "It had not finished an epoch"
    message = (facts.info.message or "").strip()
    text = f"{message} {reached}; this page shows what there is so far.".strip()
    if facts.metric("accuracy") is not None:
        text += " Its test set has been opened: who trains on, knowing the score, chooses on it."
    return Banner(titles[facts.state], text)


def verdict(facts: RunFacts) -> Verdict:
    """Return the headline: the test result, or, without one, how far the run came."""
    accuracy = facts.metric("accuracy")
    if accuracy is not None:
        measured = formatting.verdict(accuracy, facts.interval("accuracy"), facts.tested)
        without = without_leaks(facts)
        return replace(measured, sure=without) if without else measured
    seen = facts.series("val", "accuracy")
    if seen:
        epoch, value = seen[-1]
        return Verdict(
            f"No test result: after epoch {epoch}, {percent(value)} of the validation pictures were "
            "classified correctly; the test set has not been evaluated."
        )
    return Verdict("No test result: the test set has not been evaluated.")


def without_leaks(facts: RunFacts) -> str:
    """Return the result without the test pictures that leak, which is what to count on; "" if none does."""
    clean, interval = facts.metric("accuracy_without_leaks"), facts.interval("accuracy_without_leaks")
    leaked = len(leaked_paths(facts))
    if clean is None or interval is None or not leaked or facts.tested is None:
        return ""
    which = "the one that leaks" if leaked == 1 else f"the {leaked:,} that leak into training"
    return (
        f"Without {which}, {formatting.percent(clean, formatting.decimals_for(*interval))} of "
        f"{facts.tested - leaked:,}. {formatting.how_sure(interval)}"
    )


def remark(facts: RunFacts) -> str:
    """Return the sentence after the verdict: how many mistakes."""
    entry = facts.metrics.get("accuracy", {})
    confused = facts.rows("accuracy", "confused")
    if "confused" not in entry:
        return ""
    if not confused:
        return _no_mistake(entry)
    wrong = entry["pictures"] - entry["correct"]
    if wrong == 1:
        what = f"‘{confused[0]['true']}’ as ‘{confused[0]['predicted']}’"
        return f"It made 1{formatting.NBSP}mistake: it classified {what}."
    # Which is the most frequent stands below, with its pictures.
    return f"It made {counted(wrong, 'mistake')}."


def _no_mistake(accuracy: Mapping[str, Any]) -> str:
    """Return that nothing was mistaken, and of few pictures what that leaves open."""
    made = f"It made no mistake on {'this picture' if accuracy['pictures'] == 1 else 'these pictures'}"
    if not resolution.too_wide(accuracy):
        return f"{made}."
    wrong = percent(1 - accuracy["low"], 0)
    return f"{made}; so few do not rule out that it is wrong on {wrong} of new ones."


def beginning(facts: RunFacts) -> str:
    """Return the result of a run without an epoch: a probe alone, or an early end; "" of others."""
    if not facts.history or facts.epochs:
        return ""
    named = {"train": "training", "val": "validation"}
    found = [
        f"{percent(facts.series(split, 'accuracy')[0][1])} of the {word} pictures"
        for split, word in named.items()
        if facts.series(split, "accuracy")
    ]
    what = "Only the linear probe was fitted" if facts.info.probe else "No epoch was trained"
    return f"{what}: it classifies {formatting.listed(found)} correctly." if found else f"{what}."


def in_groups(facts: RunFacts) -> str:
    """Return how groups of test pictures affect the intervals; "" where there are none."""
    return sentences.sentence(sentences.in_groups(facts.metrics))


def probe_folds(facts: RunFacts) -> str:
    """Return what the probe reached over folds, a second measurement beside the test set's; or ""."""
    accuracy = facts.info.probe_folds
    if accuracy is None:
        return ""
    return formatting.unbroken(sentences.sentence(sentences.probe_folds(accuracy)))


def one_of(facts: RunFacts) -> str:
    """Return which repeat or fold the run is, "" for a run that stands alone: "Fold 2 of 5"."""
    place = facts.info.one_of
    # A run that was taken out of its group has no page beside it to lead to.
    if place is None or place.kind not in KINDS or not (facts.path.parent / f"{place.kind}.json").is_file():
        return ""
    return f"{place.kind.removesuffix('s').capitalize()} {place.number} of {place.of}"


def metric_rows(facts: RunFacts) -> list[dict[str, str]]:
    """Return every metric that no other section shows: title, value, interval, meaning."""
    classes = len(facts.predictions.classes) if facts.predictions else None
    rows = []
    for name, entry in facts.metrics.items():
        if name in SHOWN_ELSEWHERE or name.startswith(("ece_", "set_")):
            continue
        meaning = formatting.meaning_of(name, classes)
        meaning = replace(meaning, decimals=formatting.decimals_of(meaning, facts.tested))
        line = meaning.meaning
        left_out = entry.get("left_out")
        if isinstance(left_out, list) and left_out:
            names = formatting.listed([str(name) for name in left_out])
            line += f"; without {names}, which cannot be ranked here"
        line += _why_no_interval(facts, entry)
        rows.append(
            {
                "name": name,
                "title": formatting.title_of(name, entry.get("wanted")),
                "value": formatting.metric_text(meaning, facts.metric(name), facts.interval(name)),
                "interval": formatting.interval_text(meaning, facts.interval(name)),
                "meaning": line,
            }
        )
    return rows


def _why_no_interval(facts: RunFacts, entry: Mapping[str, Any]) -> str:
    """Return what metrics.json knows of it, as the end of a line."""
    fewest = entry.get("fewest")
    if not isinstance(fewest, int):
        return ""
    grouped = facts.predictions is not None and facts.predictions.groups is not None
    kind = "group of test pictures" if grouped else "test picture"
    many = "groups of test pictures" if grouped else ""
    return f"; no interval, because a class has only {formatting.counted(fewest, kind, many)}"


def class_rows(facts: RunFacts) -> list[dict[str, Any]]:
    """Return the per-class table, the lowest recall first; and what each is most often mistaken for."""
    rows = []
    mistaken = _mistaken_for(facts)
    for entry in sorted(facts.rows("accuracy", "classes"), key=_worst_first):
        rows.append(
            {
                **entry,
                "found": _between(entry["recall_interval"]),
                "named": _between(entry["precision_interval"]),
                "taken_for": mistaken.get(entry["class"], ""),
                # Sorting reads these: a class without a value goes last.
                "sort": {
                    key: 2 if entry[key] is None else entry[key] for key in ("recall", "precision", "f1")
                },
            }
        )
    return rows


def _worst_first(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the classes are sorted by: recall, then precision; without test pictures last."""
    values = (2.0 if entry[key] is None else entry[key] for key in ("recall", "precision"))
    return (*values, natural_order(str(entry["class"])))


def _mistaken_for(facts: RunFacts) -> dict[str, str]:
    """Return class → what it is most often mistaken for: another, or several equally often."""
    table = facts.predictions
    if table is None:
        return {}
    counts = confusion(table)
    np.fill_diagonal(counts, 0)
    return {
        name: formatting.listed(
            [table.classes[other] for other in np.flatnonzero(row == row.max())], MOST_NAMED
        )
        for name, row in zip(table.classes, counts, strict=True)
        if row.any()
    }


def _between(interval: tuple[float, float] | None) -> str:
    """Return a class's 95 % interval, e.g. '88 to 97'; a class is small, so no decimals."""
    return "" if interval is None else f"{interval[0] * 100:.0f} to {interval[1] * 100:.0f}"


def data_section(facts: RunFacts) -> dict[str, Any] | None:
    """Return the data summary: what it was, its sets, its notes, and the counts of each class."""
    data = facts.info.data
    if not data.model_fields_set:
        return None
    splits = {split: number for split, number in data.splits.items() if number}
    total = sum(splits.values())
    names = {"train": "training", "val": "validation", "test": "test"}
    labels = label_issues(facts.path.parent).with_suffix(".html")
    prints = ("Fingerprint of the data", data.fingerprint), ("Hash of the split", data.split_hash)
    return {
        "name": facts.data_name,
        "source": data.source,
        "pictures": None if data.pictures is None else count(data.pictures),
        "classes": len(data.classes),
        "protocol": data.protocol,
        "splits": [(names.get(s, s), count(n), percent(n / total)) for s, n in splits.items()],
        "notes": data.notes,
        "per_class_headers": ["Class", *(names.get(split, split).capitalize() for split in splits)],
        "per_class": [
            [name, *(count(counts.get(split, 0)) for split in splits)]
            for name, counts in sorted(data.per_class.items(), key=lambda pair: natural_order(pair[0]))
        ],
        "looked": facts.problems is not None,
        "problems": kinds_of_problems(facts),
        "check_page": (facts.path / "check.html").exists(),
        "labels_page": labels.name if one_of(facts) and labels.exists() else "",
        "prints": [(title, value) for title, value in prints if value],
    }


def made_section(facts: RunFacts) -> dict[str, Any]:
    """Return how the run was made: network, recipe, phases, hardware, versions, command."""
    info, network = facts.info, facts.info.network or Network()
    phases = [
        (
            name.capitalize(),
            formatting.duration(phase.seconds or 0.0),
            "–" if phase.peak_memory_mib is None else formatting.memory(phase.peak_memory_mib),
        )
        for name, phase in info.phases.items()
        # How long its own drawing takes, a page cannot know; drawn again, it should say the same.
        if name != "report"
    ]
    return {
        "network": network.summary,
        "parameters": None if network.parameters is None else count(network.parameters),
        "model": info.model,
        "recipe_name": info.recipe_name,
        "chosen": _chosen(facts),
        "plan": _plan(facts),
        # A setting without a value is one that this network does not have.
        "recipe": [
            (key, _setting(key, value))
            for key, value in info.recipe.items()
            if value is not None and applied(key, info.recipe) and _meant(key, info)
        ],
        "choices": choices(facts),
        "phases": phases,
        "hardware": [(key.replace("_", " ").capitalize(), written(value)) for key, value in _hardware(facts)],
        "versions": [(key, written(value)) for key, value in info.versions.items()],
        "command": info.command,
        "from_python": "command" in info.model_fields_set and info.command is None,
        "rerun": _rerun(facts),
        "git": _git(facts),
        "started": formatting.moment(info.started),
        "finished": formatting.moment(info.finished),
    }


def _plan(facts: RunFacts) -> list[tuple[str, str]]:
    """Return what a budget was planned for, why, and what became of it; empty without a budget."""
    plan, budget = facts.info.plan, facts.info.recipe.get("budget")
    if plan is None:
        return []
    trained = f"{facts.epochs} of {counted(plan.epochs, 'epoch')}" if plan.epochs else ""
    rows = [
        ("Budget", formatting.duration(float(budget)) if isinstance(budget, (int, float)) else ""),
        ("Plan", plan.summary),
        ("Reason", plan.reason),
        ("Revised", " ".join(plan.notes)),
        ("Trained", trained),
    ]
    return [(name, formatting.unbroken(words)) for name, words in rows if words]


def _rerun(facts: RunFacts) -> str:
    """Return the command that repeats this very run; empty where there is no result to repeat."""
    if facts.state != "finished" or not (facts.path / "split.csv").is_file():
        return ""
    # Whoever drew the page from within has no name for the folder.
    path = facts.path if facts.path.name not in ("", "..") else facts.path.resolve()
    return command("linnaea", "rerun", path)


def _chosen(facts: RunFacts) -> str:
    epoch, on = facts.info.chosen_epoch, facts.info.chosen_on
    if epoch is None:
        return ""
    if facts.info.kept == "probe":
        fine_tuned = len(facts.history) > 1
        if facts.state == "finished" and (early := sentences.ended_early(facts.info, facts.history)):
            return f"the linear probe; {early}"
        better = f", chosen by {on}: no epoch of fine-tuning was better" if fine_tuned else ""
        if fine_tuned and not on:
            better = ": the loss of fine-tuning rose far above that of guessing"
        return f"the linear probe{better}"
    if on:
        return f"epoch {epoch}, chosen by {on}"
    if facts.state == "interrupted":
        return f"as they were when training was interrupted, after epoch {epoch}; no epoch was chosen"
    return f"epoch {epoch}, the last; no epoch was chosen"


def _git(facts: RunFacts) -> str:
    """Return the commit of the folder that training was started in, and whether tracked files differed."""
    git = facts.info.git
    if git is None or git.commit is None:
        return ""
    # Twelve digits name a commit in the largest repositories; all forty are in run.json.
    return f"{git.commit[:12]}, with changes that were not committed" if git.dirty else git.commit[:12]


def _hardware(facts: RunFacts) -> list[tuple[str, Any]]:
    hardware = facts.info.hardware.model_dump(exclude_unset=True)
    rows = [(key, value) for key, value in hardware.items() if key != "memory_gib" and value is not None]
    # Each library has its own; the one number of hardware is the largest of them.
    if shared := facts.info.threads:
        pools = ", ".join(f"{_POOLS.get(name, name)} {written(number)}" for name, number in shared.items())
        rows = [(key, value) for key, value in rows if key != "threads"] + [("threads", pools)]
    if isinstance(hardware.get("memory_gib"), (int, float)):
        rows.append(("memory", f"{hardware['memory_gib']:g}{formatting.NBSP}GiB"))
    return rows


def _meant(name: str, info: RunInfo) -> bool:
    """Tell whether a setting had something to decide on in the pictures that a run had."""
    data = info.data
    if name == "value_range":
        # Of pictures of 8 bits, nothing.
        return data.pixels is None or data.pixels.value_range is not None
    if name == "layout":
        source = data.source or ""
        return data.root is not None and source not in NAMES and not source.lower().endswith((".csv", ".tsv"))
    return True


def _setting(name: str, value: Any) -> str:
    """Write one setting's value with its unit."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and name in SETTINGS and SETTINGS[name].kind == "seconds":
        return formatting.duration(value)
    return written(value) + (f"{formatting.NBSP}px" if is_number and name in _IN_PIXELS else "")


def written(value: Any) -> str:
    """Write one setting's value as a person would type it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(written(item) for item in value) or "–"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return str(value)
