"""A run folder → one HTML page that opens anywhere: no connection, no second file."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from linnaea import files
from linnaea.errors import UsageError
from linnaea.report import (
    card,
    caveats,
    comparing,
    confusions,
    formatting,
    gallery,
    learning_curve,
    pairing,
    sections,
    trust,
)
from linnaea.report.entries import Entry, entries_of
from linnaea.report.facts import RunFacts, read_run
from linnaea.report.figures import headline_figure, learning_curves
from linnaea.report.svg import renderer
from linnaea.runs.folder import RunFolder

_HERE = Path(__file__).parent
# Places a side of a heat map, below which it cannot tell one part of a thing from another.
COARSE = 5


def build_report(run: RunFolder) -> Path:
    """Draw run/report.html from what the run has left so far, and return its path.

    A run that is running, was interrupted or failed gives a page with a banner and whatever exists.
    Raises RunError or DataError where a file of the run is damaged; the old page then stays.
    """
    renderer.start()
    facts = read_run(run)
    path = run.path / "report.html"
    files.write_text(path, render("page.html.jinja", **run_context(facts)))
    return path


def build_comparison(
    runs: Sequence[RunFolder],
    out: str | Path,
    *,
    title: str | None = None,
    reference: Mapping[str, Mapping[str, Any]] | None = None,
    common: bool = False,
) -> Path:
    """Draw one page that compares runs, and return out, its path.

    reference: dict
        A run's folder name → {"accuracy": 0.9454, "source": "the original report"}: what others reported
        for the same recipe, shown in a column of its own.
    common: bool
        Whether runs that were tested on different pictures are compared on those that both were tested on.

    Raises UsageError without a run, and RunError or DataError where a file of a run is damaged.
    """
    if not runs:
        raise UsageError("There is no run to compare.", "Name one run folder or more.")
    renderer.start()
    out = Path(out)
    known = {name: dict(row) for name, row in (reference or {}).items()}
    entries = entries_of([read_run(run) for run in runs], known)
    files.write_text(out, render("compare.html.jinja", **comparison_context(entries, out, title, common)))
    return out


def render(template: str, **context: Any) -> str:
    """Fill one template of this room; everything in context is escaped unless it is Markup."""
    return (
        _environment()
        .get_template(template)
        .render(
            css=Markup("\n").join(_inlined(name) for name in ("page.css", "pictures.css", "paper.css")),
            js=_inlined("page.js"),
            version=metadata.version("linnaea"),
            without_charts=renderer.take_problem(),
            drawn=datetime.now(UTC).strftime("%Y-%m-%d"),
            **context,
        )
    )


@cache
def _environment() -> Environment:
    # A name that a template asks for and nobody gives is our mistake: StrictUndefined says so at once.
    return Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _inlined(name: str) -> Markup:
    return Markup((_HERE / name).read_text(encoding="utf-8"))


def run_context(facts: RunFacts) -> dict[str, Any]:
    """Return everything that the page of one run shows, section by section, top to bottom."""
    meaning = formatting.meaning_of("accuracy")
    accuracy = formatting.metric_text(meaning, facts.metric("accuracy"), facts.interval("accuracy"))
    mistakes, doubtful = gallery.mistakes(facts), gallery.doubtful(facts)
    context: dict[str, Any] = {
        "page_title": f"{facts.name} · {accuracy if facts.metrics else facts.state} · Linnaea",
        "eyebrow": _eyebrow(facts),
        "banner": sections.banner(facts),
        "verdict": sections.verdict(facts),
        "remark": sections.remark(facts),
        "one_of": sections.one_of(facts),
        "accuracy": accuracy,
        "accuracy_interval": formatting.interval_text(meaning, facts.interval("accuracy")),
        "headline": headline_figure(facts, accuracy),
        "in_groups": sections.in_groups(facts),
        "metrics": sections.metric_rows(facts),
        "curves": learning_curves(facts),
        "beginning": sections.beginning(facts),
        "caveats": caveats.caveats(facts),
        "confusion": confusions.confusion_section(facts),
        "mistakes": mistakes,
        "doubtful": doubtful,
        "heat_note": _heat_note(facts),
        "classes": sections.class_rows(facts),
        "trust": trust.trust_section(facts),
        "growth": learning_curve.growth_section(facts),
        "data": sections.data_section(facts),
        "card": card.model_card(facts),
        "made": sections.made_section(facts),
    }
    context["contents"] = [
        (ident, title)
        for ident, title, shown in (
            ("result", "Result", context["headline"]),
            ("learning", "Training", context["curves"] or context["beginning"]),
            ("confusion", "Confusions", context["confusion"]),
            ("mistakes", "Mistakes", mistakes.pictures),
            ("doubtful", "Uncertain", doubtful.pictures),
            ("classes", "Classes", context["classes"]),
            ("trust", "Probabilities", context["trust"]),
            ("growth", "Learning curve", context["growth"]),
            ("data", "Data", context["data"]),
            ("card", "Model card", context["card"]),
            ("made", "How it was made", True),
        )
        if shown
    ]
    return context


def comparison_context(
    entries: list[Entry], out: Path, title: str | None, common: bool = False
) -> dict[str, Any]:
    """Return everything that the page of several runs shows; common: see build_comparison."""
    first, folded = pairing.pairings(entries, common=common)
    # A pair that could not be compared stands for two test sets; a run without a test stands for itself.
    same_test = all(pair.result is not None and pair.whole for pair in [*first, *folded])
    sources = {str(entry.reported["source"]) for entry in entries if entry.reported.get("source")}
    return {
        "page_title": f"{title or formatting.counted(len(entries), 'run')} · Linnaea",
        "eyebrow": comparing.eyebrow(entries),
        "title": title or comparing.default_title(entries),
        "verdict": comparing.verdict(entries, [*first, *folded]),
        "same_test": same_test,
        "rows": comparing.table_rows(entries, out, same_test=same_test),
        "reported": any("accuracy" in entry.reported for entry in entries),
        "sources": formatting.listed(sorted(sources)),
        "intervals": comparing.interval_chart(entries),
        "curves": comparing.overlaid_curves(entries),
        "beginnings": comparing.beginnings(entries),
        "pairs": first,
        "folded": folded,
    }


def _heat_note(facts: RunFacts) -> str:
    """Return what the heat map beside a picture is, and its method where run.json names it."""
    method = facts.part_of_info("heat_maps").get("method")
    by = f" ({method})" if method else ""
    note = f"The heat map beside each{by} highlights what supported the prediction."
    # Older runs do not say how many places their maps have.
    places = facts.part_of_info("heat_maps").get("places")
    sides = [side for side in places if isinstance(side, int)] if isinstance(places, list) else []
    if len(sides) == 2 and min(sides) < COARSE:
        size = f"{sides[0]}{formatting.NBSP}×{formatting.NBSP}{sides[1]}"
        note += f" For pictures of this size it has {size} cells, so it shows the region and no more."
    return note


def _eyebrow(facts: RunFacts) -> list[str]:
    data = facts.part_of_info("data")
    # The network's first words; its weights and precision stand at the foot of the page.
    network = str(facts.part_of_info("network").get("summary") or "").partition(" · ")[0]
    date = str(facts.info.get("started") or "")[:10]
    known = [facts.name, data.get("name") or data.get("source"), network, date]
    return [str(item) for item in known if item]
