"""The steps of training that several commands share; each walks one stretch of the road."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from linnaea.classifiers.contract import Classifier, EpochRecord, classifier_class
from linnaea.commands import terminal
from linnaea.data.dataset import PARTS, Dataset
from linnaea.data.split import Split
from linnaea.errors import DivergenceError, SettingError
from linnaea.runs import provenance
from linnaea.runs.folder import RunFolder
from linnaea.runs.recipes import load_recipe
from linnaea.runs.settings import Recipe, make_recipe

# Settings that say which pictures are learned from; all others belong to the network and its training.
DATA_SETTINGS = {"model", "split", "validation", "size", "colour", "test_curve"}
# Where the command line has a shorter name than scikit-learn's convention.
PARAMETERS = {"hidden": "hidden_layer_sizes", "seed": "random_state"}
PICTURE_SIZE = 28  # pixels a side, MNIST's; enough to see a digit, too few for a photograph
VALIDATION = 0.1  # of the training part


@dataclass(frozen=True)
class Chosen:
    """A recipe with the name it came under, and what was reported for it."""

    recipe: Recipe
    name: str | None = None
    reported: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class Study:
    """The pictures of one run, divided, and as the network sees them."""

    dataset: Dataset
    split: Split
    size: int
    colour: bool

    def rows(self, part: str) -> np.ndarray:
        """Return the rows of "train", "val" or "test"."""
        return getattr(self.split, part)

    def pair(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return X (n, features) float32 in 0..1 and y (n,) class names of one part, made anew."""
        from linnaea.data.vectors import vectors

        rows = self.rows(part)
        return vectors(self.dataset, rows, self.size, self.colour), self.dataset.labels[rows]

    @cached_property
    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """The test part, kept because the test curve and the judgement both need it."""
        return self.pair("test")


def resolve_recipe(name: str | None, asked: dict[str, Any]) -> Chosen:
    """Return the recipe of that name with the asked settings on top; without a name, the model's defaults."""
    if name is None:
        return Chosen(make_recipe(asked))
    file = load_recipe(name)
    return Chosen(make_recipe({**file.settings, **asked}), file.name, file.reported)


def new_classifier(recipe: Recipe) -> Any:
    """Return the unfitted classifier.

    Raises SettingError naming every setting that this model does not have.
    """
    cls = classifier_class(recipe.model)
    known = set(cls().get_params())
    asked = {
        name: value
        for name, value in recipe.model_dump(exclude_none=True).items()
        if name not in DATA_SETTINGS and (name, value) != ("augment", "none")
    }
    foreign = [name for name in asked if PARAMETERS.get(name, name) not in known]
    if foreign:
        raise SettingError(
            f"The model {recipe.model} has no setting {' and no setting '.join(foreign)}.",
            "Leave it out, or choose another --model.",
        )
    return cls(**{PARAMETERS.get(name, name): value for name, value in asked.items()})


def free_folder(data: str) -> Path:
    """Return the first unused of runs/NAME-1, runs/NAME-2, …"""
    name = Path(data).stem or "pictures"
    number = 1
    while (Path("runs") / f"{name}-{number}").exists():
        number += 1
    return Path("runs") / f"{name}-{number}"


def open_study(data: str, recipe: Recipe, *, data_dir: Path | None, strict: bool) -> Study:
    """Open the data set, leave out what cannot be read, and divide it."""
    from linnaea.data import problems, sources, split

    dataset = sources.open_dataset(data, data_dir=data_dir, strict=strict)
    dataset, _ = problems.leave_out_unusable(dataset, strict=strict)
    made = split.make_split(
        dataset,
        recipe.split or split.default_protocol(dataset),
        validation=VALIDATION if recipe.validation is None else recipe.validation,
        seed=recipe.seed,
    )
    return Study(dataset, made, recipe.size or PICTURE_SIZE, recipe.colour)


def record_study(run: RunFolder, study: Study) -> None:
    """Write split.csv and the data section of run.json, and tell the person what will be learned from."""
    from linnaea.data import split
    from linnaea.data.fingerprints import content_hashes, fingerprint

    dataset = study.dataset
    hashes = content_hashes(dataset)
    rows = split.split_rows(dataset, study.split, hashes)
    run.write_csv("split.csv", ["path", "hash", "label", "part"], rows)
    counts = {part: len(study.rows(part)) for part in PARTS}
    per_class = {
        name: {part: int((dataset.labels[study.rows(part)] == name).sum()) for part in PARTS}
        for name in dataset.class_names
    }
    run.update_info(
        data={
            "source": dataset.source,
            "name": dataset.name,
            "pictures": len(dataset),
            "classes": list(dataset.class_names),
            "fingerprint": fingerprint(dataset, hashes),
            "protocol": study.split.protocol,
            "split_hash": split.split_hash(rows),
            "notes": list(dataset.notes),
            "parts": counts,
            "per_class": per_class,
            "pixels": {"size": study.size, "colour": study.colour},
        }
    )
    sizes = [sum(parts.values()) for parts in per_class.values()]
    spread = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    terminal.say(
        "Data",
        f"{dataset.source} · {len(dataset):,} pictures · {len(per_class)} classes · {spread} a class",
        *dataset.notes,
    )
    parts = " · ".join(f"{count:,} {part}" for part, count in counts.items() if count)
    terminal.say("Split", f"{parts} · {study.split.protocol}")


def fit(run: RunFolder, classifier: Any, study: Study, recipe: Recipe) -> BaseException | None:
    """Train, writing history.jsonl as it goes, and save the network.

    Returns None, or what ended the training early (an interruption, a divergence): the network is then
    saved as it stood, so that it can still be judged before the caller raises it.
    """
    X, y = study.pair("train")
    validation = study.pair("val") if len(study.rows("val")) else None
    epochs = classifier.get_params()["epochs"]
    if validation is not None and recipe.patience is None:
        classifier.set_params(patience=epochs)  # never stops early, keeps the best epoch
    bar = terminal.EpochBar(epochs)

    def listen(record: EpochRecord, trained: Classifier) -> None:
        line = record.as_dict()
        if record.epoch == 0:
            network = trained.describe()
            run.update_info(network=network)
            terminal.messages.print(f"{'Network':<{terminal.LABEL_WIDTH}}", end="", style="bold")
            terminal.messages.print(
                f"{network['summary']} · {network['parameters']:,} parameters", markup=False
            )
        if recipe.test_curve:
            line["test_loss"], line["test_accuracy"] = trained.evaluate(*study.test)
        run.append_history(line)
        bar(record, len(X))

    stopped: BaseException | None = None
    with bar.shown():
        try:
            classifier.fit(X, y, validation_data=validation, on_epoch=listen)
        except (KeyboardInterrupt, DivergenceError) as stop:
            stopped = stop
    if getattr(classifier, "history_", None):
        classifier.save(run.path)
        run.update_info(
            recipe={**recipe.model_dump(), **_told_parameters(classifier)},
            chosen_epoch=getattr(classifier, "chosen_epoch_", None),
            chosen_on=None if validation is None else "validation accuracy",
        )
    return stopped


def _told_parameters(classifier: Any) -> dict[str, Any]:
    """Return the settings that were really used, defaults resolved, under the recipe's names."""
    names = {parameter: name for name, parameter in PARAMETERS.items()}
    used = {names.get(name, name): value for name, value in classifier.get_params().items()}
    return {name: value for name, value in used.items() if name in Recipe.model_fields}


def judge(run: RunFolder, classifier: Any, study: Study) -> None:
    """Predict the test part once, and write predictions.csv, metrics.json and the worst mistakes."""
    from linnaea.evaluation.metrics import compute_metrics
    from linnaea.evaluation.predictions import Predictions

    if not getattr(classifier, "history_", None) or len(study.rows("test")) == 0:
        return
    X, y = study.test
    names = study.dataset.paths
    predictions = Predictions(
        paths=tuple(names[row] for row in study.rows("test")),
        true=y,
        classes=tuple(str(name) for name in classifier.classes_),
        probabilities=np.asarray(classifier.predict_proba(X), dtype=np.float64),
    )
    run.write_text("predictions.csv", predictions.to_csv())
    # From the table as it stands on disk, so that computing them again gives the same to the last digit.
    written = Predictions.read_csv(run.path / "predictions.csv")
    run.write_json("metrics.json", compute_metrics(written))
    largest = _largest_class(study)
    run.update_info(baselines={"always the largest class": float((y == largest).mean())})
    keep_mistakes(run, study.dataset, study.rows("test"), predictions)


def _largest_class(study: Study) -> str:
    names, counts = np.unique(study.dataset.labels[study.rows("train")], return_counts=True)
    return str(names[counts.argmax()])


def keep_mistakes(
    run: RunFolder, dataset: Dataset, rows: np.ndarray, predictions: Any, most: int = 48
) -> None:
    """Keep a thumbnail of the most confident mistakes, so that the report needs nothing but the run."""
    import io

    from PIL import Image

    from linnaea.data.pictures import read_picture

    wrong = np.flatnonzero(predictions.predicted != predictions.true)
    for row in wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:most]:
        if dataset.pixels is not None:
            picture = Image.fromarray(dataset.pixels[rows[row]])
        else:
            picture = Image.fromarray(read_picture(dataset.files([rows[row]])[0]))
            picture.thumbnail((160, 160))
        content = io.BytesIO()
        picture.save(content, format="PNG")
        run.write_bytes(f"mistakes/{row:06}.png", content.getvalue())


@contextmanager
def recorded(run: RunFolder, chosen: Chosen, phases: provenance.Phases) -> Iterator[None]:
    """Keep run.json true whatever happens, and leave a report that can be read."""
    from linnaea.report.page import build_report

    run.update_info(
        state="running",
        command=shlex.join(["linnaea", *sys.argv[1:]]),
        model=chosen.recipe.model,
        recipe=chosen.recipe.model_dump(),
        recipe_name=chosen.name,
        reported=chosen.reported,
        versions=provenance.versions(),
        started=provenance.now(),
        message=None,
    )
    state, message = "finished", None
    try:
        yield
    except KeyboardInterrupt:
        state, message = "interrupted", _how_far(run)
        raise
    except BaseException as error:
        state, message = "failed", str(error)
        raise
    finally:
        run.update_info(
            state=state,
            message=message,
            phases=phases.finished,
            hardware=provenance.hardware(),
            finished=provenance.now(),
        )
        build_report(run)


def _how_far(run: RunFolder) -> str:
    history = run.history()
    if not history:
        return "Stopped by the person before the first epoch."
    return f"Stopped by the person after epoch {history[-1]['epoch']}."


def show_result(run: RunFolder) -> None:
    """Print the headline: accuracy with its interval, beside the baseline."""
    if not (run.path / "metrics.json").exists():
        return
    info, metrics = run.info(), run.read_json("metrics.json")
    pictures = info["data"]["parts"]["test"]
    headline = terminal.interval(metrics["accuracy"]).replace(
        " %", f" % of {pictures:,} test pictures right", 1
    )
    baselines = ", ".join(f"{name}: {terminal.percent(value)}" for name, value in info["baselines"].items())
    terminal.say("Result", headline, baselines)
