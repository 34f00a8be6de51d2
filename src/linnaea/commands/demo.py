"""linnaea demo: several networks on 5,000 handwritten digits that come with a dependency."""

from pathlib import Path

from linnaea.commands import terminal
from linnaea.commands.compare import show_comparison
from linnaea.commands.train import train

RECIPES = ("demo-one-hidden", "demo-two-hidden", "demo-keras", "demo-finetune")


def demo(*, out: Path = Path("runs/demo")) -> Path:
    """Train four networks on 5,000 real handwritten digits and compare them; no download.

    Parameters
    ----------
    out
        Folder for the four runs and the page comparison.html.
    """
    from linnaea.report.comparison import build_comparison

    runs = []
    for recipe in RECIPES:
        terminal.messages.rule(recipe.removeprefix("demo-"), style="dim")
        runs.append(train("digits", recipe=recipe, out=out / recipe.removeprefix("demo-"), overwrite=True))
    terminal.messages.rule("comparison", style="dim")
    show_comparison(runs)
    page = build_comparison(runs, out / "comparison.html", title="Four networks on 5,000 handwritten digits")
    terminal.print_line("Page", terminal.shown_path(page))
    return page
