"""linnaea reproduce: the original report's experiments, number by number, and ours beside them."""

from pathlib import Path
from typing import Any, Literal

from linnaea.commands import terminal
from linnaea.commands.compare import show_comparison
from linnaea.commands.train import train
from linnaea.errors import UsageError, did_you_mean
from linnaea.runs.folder import RunFolder
from linnaea.runs.recipes import load_recipe

# part → its data set and its recipes, in the order of the report, the last two ours
PARTS = {
    "part1": (
        "mnist",
        ("part1-one-hidden", "part1-two-hidden", "part1-keras", "part1-best-plain", "part1-best"),
    )
}
# 0.7 first: the original report's protocol. official: 60,000 / 10,000, the literature's.
PROTOCOLS = {"0.7": "70-30", "official": "official"}


def reproduce(
    part: str,
    /,
    *,
    data_dir: Path | None = None,
    out: Path | None = None,
    split: Literal["both", "0.7", "official"] = "both",
    quick: bool = False,
    overwrite: bool = False,
) -> Path:
    """Repeat the original report's experiments and print them beside its numbers.

    Finished runs in the folder are kept and not trained again, so an interrupted reproduction goes on.

    Parameters
    ----------
    part
        part1: perceptrons on MNIST.
    data_dir
        Where the data set lies; otherwise it is looked for in the cache, then fetched.
    out
        A folder for the runs and the page. Default: runs/ and the part's name.
    split
        0.7 is the original report's, official is the literature's.
    quick
        One epoch each: to see that everything works, not to compare numbers.
    overwrite
        Train finished runs again.
    """
    if part not in PARTS:
        raise UsageError(f"There is no part '{part}' to reproduce.", did_you_mean(part, PARTS))
    folder = out or Path("runs") / part
    page = folder / "comparison.html"
    for protocol in PROTOCOLS if split == "both" else (split,):
        page = _one_protocol(part, protocol, data_dir, folder / PROTOCOLS[protocol], quick, overwrite)
    return page


def _one_protocol(
    part: str, protocol: str, data_dir: Path | None, folder: Path, quick: bool, overwrite: bool
) -> Path:
    from linnaea.report.page import build_comparison

    runs, reported = [], {}
    data, names = PARTS[part]
    for name in names:
        file = load_recipe(name)
        target = folder / name.removeprefix(f"{part}-")
        terminal.messages.rule(f"{file.title} · {PROTOCOLS[protocol]}", style="dim")
        run = None if overwrite else _finished(target, quick)
        if run is None:
            asked: dict[str, Any] = {"split": protocol} | ({"epochs": 1} if quick else {})
            run = train(data, recipe=name, data_dir=data_dir, out=target, overwrite=True, settings=asked)
        else:
            terminal.say("Kept", f"{terminal.shown_path(target)} is finished")
        runs.append(run)
        if file.reported:
            reported[run.path.name] = {**file.reported, "source": "the original report"}
    terminal.messages.rule(f"{part} · {PROTOCOLS[protocol]}", style="dim")
    show_comparison(runs, reported)
    title = f"{part.capitalize()}: perceptrons on MNIST, {'70/30' if protocol == '0.7' else '60,000/10,000'}"
    page = build_comparison(runs, folder / "comparison.html", title=title, reference=reported)
    terminal.say("Page", terminal.shown_path(page))
    return page


def _finished(target: Path, quick: bool) -> RunFolder | None:
    """Return the run if it is there, finished, and was as long as is asked for now."""
    if not (target / "run.json").exists():
        return None
    run = RunFolder.open(target)
    info = run.info()
    same_length = (info.get("recipe", {}).get("epochs") == 1) == quick
    return run if info.get("state") == "finished" and same_length else None
