"""linnaea reproduce: the original report's experiments, number by number, and ours beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from linnaea.commands import terminal
from linnaea.commands.compare import show_comparison
from linnaea.commands.train import train
from linnaea.errors import LinnaeaError, RunError, UsageError, did_you_mean
from linnaea.runs.folder import RunFolder
from linnaea.runs.recipes import RecipeFile, load_recipe
from linnaea.text import elsewhere, option

# What backbones' error says of weights that cannot be had from the hub.
_PASS_WEIGHTS = "pass it with --weights FILE"


@dataclass(frozen=True)
class Part:
    """One part of the report.

    recipes: tuple of str
        In the order of the report, ours last.
    protocols: dict of str
        What --split is called → the folder of its runs; the original report's first.
    """

    title: str
    data: str
    recipes: tuple[str, ...]
    protocols: dict[str, str]


PARTS = {
    "part1": Part(
        "Perceptrons on MNIST",
        "mnist",
        ("part1-one-hidden", "part1-two-hidden", "part1-keras", "part1-best-plain", "part1-best"),
        # official: 60,000 / 10,000, the literature's.
        {"0.7": "70-30", "official": "official"},
    ),
    "part2": Part(
        "Transfer learning on Flowers-102",
        "flowers102",
        ("part2-mobilenetv2", "part2-resnet50", "part2-default-mobilenetv2", "part2-default"),
        {"official": "official", "0.7": "70-30"},
    ),
}


@dataclass(frozen=True)
class Asked:
    """What holds for every run of a reproduction; the fields are reproduce's parameters."""

    data_dir: Path | None
    weights_dir: Path | None
    quick: bool
    overwrite: bool


def reproduce(
    part: str,
    /,
    *,
    data_dir: Path | None = None,
    weights_dir: Path | None = None,
    out: Path | None = None,
    split: Literal["both", "0.7", "official"] | None = None,
    quick: bool = False,
    overwrite: bool = False,
) -> Path:
    """Repeat the original report's experiments and print the results beside its numbers.

    Finished runs in the folder are kept and not trained again, so an interrupted reproduction continues. A
    network whose weights cannot be found is reported at the end and does not stop the others.

    Parameters
    ----------
    part
        Part of the original report. part1: perceptrons on MNIST; part2: MobileNet v2 and ResNet50 on
        Flowers-102.
    data_dir
        Folder of the data set. Default: the cache, into which it is downloaded once.
    weights_dir
        Folder with weights under timm's names, such as resnet50.tv_in1k.safetensors. Default: those of the
        Hugging Face Hub.
    out
        Folder for the runs and the page. Default: runs/ and the part's name.
    split
        Split: 0.7 as in the original report, official as in the literature. Default: both for part1, official
        for part2.
    quick
        Whether each network is trained for one epoch only: to see that everything works, not to compare
        numbers.
    overwrite
        Whether finished runs are trained again.
    """
    if part not in PARTS:
        raise UsageError(f"There is no part '{part}' to reproduce.", did_you_mean(part, PARTS))
    if weights_dir is not None and not weights_dir.is_dir():
        raise UsageError(
            f"The folder {weights_dir} does not exist.",
            f"Pass {option('weights_dir')} with a folder of weights.",
        )
    asked = Asked(data_dir, weights_dir, quick, overwrite)
    folder = out or Path("runs") / part
    _refuse_other_data(
        part, [folder / PARTS[part].protocols[name] for name in _protocols(part, split)], asked
    )
    missing: dict[str, str] = {}
    page = folder / "comparison.html"
    for protocol in _protocols(part, split):
        page = _one_protocol(part, protocol, folder, asked, missing)
    if missing:
        raise LinnaeaError(
            f"Not reproduced: {', '.join(missing)}. {' '.join(dict.fromkeys(missing.values()))}",
            "Run the same command again to continue where this one stopped.",
        )
    return page


def _protocols(part: str, split: str | None) -> tuple[str, ...]:
    known = tuple(PARTS[part].protocols)
    if split is None:
        return known if part == "part1" else known[:1]
    return known if split == "both" else (split,)


def _one_protocol(part: str, protocol: str, folder: Path, asked: Asked, missing: dict[str, str]) -> Path:
    """Train or keep every run, then compare them; what could not be done is added to missing."""
    from linnaea.report.comparison import build_comparison

    place = PARTS[part].protocols[protocol]
    runs: list[RunFolder] = []
    reported: dict[str, dict[str, Any]] = {}
    for name in PARTS[part].recipes:
        file = load_recipe(name)
        terminal.messages.rule(f"{file.title} · {place}", style="dim")
        target = folder / place / name.removeprefix(f"{part}-")
        try:
            run = _run(file, PARTS[part].data, protocol, target, asked)
        except LinnaeaError as error:
            terminal.print_line("Missing", str(error))
            missing[file.title] = str(error)
            continue
        runs.append(run)
        if file.reported:
            reported[run.path.name] = {**file.reported, "source": "the original report"}
    if not runs:
        raise LinnaeaError(" ".join(dict.fromkeys(missing.values())))
    terminal.messages.rule(f"{part} · {place}", style="dim")
    show_comparison(runs, reported)
    title = f"{part.capitalize()}: {PARTS[part].title}, {place.replace('-', '/')}"
    page = build_comparison(runs, folder / place / "comparison.html", title=title, reference=reported)
    terminal.print_line("Page", terminal.shown_path(page))
    return page


def _run(file: RecipeFile, data: str, protocol: str, target: Path, asked: Asked) -> RunFolder:
    """Return the finished run of one recipe: kept, or trained now."""
    run = None if asked.overwrite else _finished(target, asked.quick)
    if run is not None:
        terminal.print_line("Kept", f"{terminal.shown_path(target)} is finished")
        return run
    settings: dict[str, Any] = {"split": protocol} | ({"epochs": 1} if asked.quick else {})
    weights = _weights(file, asked.weights_dir)
    if weights is not None:
        settings["weights"] = str(weights)
    try:
        return train(
            data, recipe=file.name, data_dir=asked.data_dir, out=target, overwrite=True, settings=settings
        )
    except LinnaeaError as error:
        if _PASS_WEIGHTS not in error.cure:
            raise
        from linnaea.classifiers.finetune.backbones import resolve

        # Here a file of weights is found by its name, and there is no --weights.
        name = f"{resolve(file.settings['model']).timm_name}.safetensors"
        cure = error.cure.replace(_PASS_WEIGHTS, f"put it as {name} into a folder named with --weights-dir")
        raise LinnaeaError(error.message, cure) from error


def _weights(file: RecipeFile, folder: Path | None) -> Path | None:
    """Return the file in folder that is named after the recipe's network, or None: then it is the hub's."""
    if folder is None or file.settings["model"] in ("mlp", "keras"):
        return None
    from linnaea.classifiers.finetune.backbones import resolve

    backbone = resolve(file.settings["model"])
    files = sorted(folder.glob(f"{backbone.timm_name}*")) or sorted(folder.glob(f"{backbone.architecture}.*"))
    return files[0] if files else None


def _refuse_other_data(part: str, folders: list[Path], asked: Asked) -> None:
    """Raise RunError where a finished run that would be kept learned from other pictures than asked for.

    Nothing is read where no folder was named, nor where every run is to be trained now.
    """
    if asked.data_dir is None or asked.overwrite:
        return
    targets = [folder / name.removeprefix(f"{part}-") for folder in folders for name in PARTS[part].recipes]
    runs = [run for target in targets if (run := _finished(target, asked.quick)) is not None]
    if not runs:
        return
    from linnaea.data import sources
    from linnaea.data.fingerprints import content_hashes, fingerprint
    from linnaea.data.scan import leave_out_unusable, scan

    dataset = sources.open_dataset(PARTS[part].data, data_dir=asked.data_dir)
    learned = {run.path: run.info.data.fingerprint for run in runs}
    now = fingerprint(dataset, content_hashes(dataset))
    if set(learned.values()) != {now}:
        # A run does not count pictures that cannot be read; to look for them takes as long as a scan.
        usable = leave_out_unusable(scan(dataset))
        now = fingerprint(usable.dataset, usable.hashes)
    for path, then in learned.items():
        if then != now:
            raise RunError(
                f"{terminal.shown_path(path)} is a finished run on other pictures than those in "
                f"{asked.data_dir}.",
                elsewhere(
                    "another folder", begin=f"Pass {option('overwrite', True)} to train it again, or choose"
                ),
            )


def _finished(target: Path, quick: bool) -> RunFolder | None:
    """Return the run if it is there, finished, and was as long as is asked for now."""
    if not (target / "run.json").exists():
        return None
    run = RunFolder.open(target)
    same_length = (run.info.recipe.get("epochs") == 1) == quick
    return run if run.info.state == "finished" and same_length else None
