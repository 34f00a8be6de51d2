"""The page of one run: everything that it has left, section by section."""

from pathlib import Path
from typing import Any

from linnaea.report import (
    card,
    caveats,
    confusions,
    formatting,
    gallery,
    learning_curve,
    next_steps,
    sections,
    trust,
)
from linnaea.report.facts import RunFacts, read_run
from linnaea.report.figures import headline_figure, learning_curves
from linnaea.report.svg import renderer
from linnaea.report.templates import write_page
from linnaea.runs.folder import RunFolder
from linnaea.runs.schema import HeatMapInfo

# Places a side of a heat map, below which it cannot tell one part of a thing from another.
COARSE = 5


def build_report(run: RunFolder) -> Path:
    """Draw run/report.html from what the run has left so far, and return its path.

    A run that is running, was interrupted or failed gives a page with a banner and whatever exists.
    Raises RunError or DataError where a file of the run is damaged; the old page then stays.
    """
    renderer.start()
    facts = read_run(run)
    return write_page(run.path / "report.html", "page.html.jinja", **run_context(facts))


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
        "headline": headline_figure(facts, accuracy),
        "in_groups": sections.in_groups(facts),
        "probe_folds": sections.probe_folds(facts),
        "metrics": sections.metric_rows(facts),
        "curves": learning_curves(facts),
        "beginning": sections.beginning(facts),
        "caveats": caveats.caveats(facts),
        "steps": next_steps.next_steps(facts),
        "confusion": confusions.confusion_section(facts),
        "worst": gallery.worst(facts, mistakes.pictures),
        "mistakes": mistakes,
        "doubtful": doubtful,
        "heat_note": _heat_note(facts),
        "classes": sections.class_rows(facts),
        "trust": trust.trust_section(facts),
        "learning_curve": learning_curve.learning_curve_section(facts),
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
            ("learning-curve", "Learning curve", context["learning_curve"]),
            ("data", "Data", context["data"]),
            ("card", "Model card", context["card"]),
            ("made", "How it was made", True),
            ("words", "Words", True),
        )
        if shown
    ]
    context["sections"] = {ident for ident, _ in context["contents"]}
    return context


def _heat_note(facts: RunFacts) -> str:
    """Return what the heat map beside a picture is, or why there is none, as far as run.json says so."""
    maps = facts.info.heat_maps
    if not facts.heats:
        if maps is not None and maps.places == [1, 1]:
            return (
                "There are no heat maps: for pictures of this size the last map of the network is a single "
                "cell, which cannot tell one part of a picture from another."
            )
        if maps is None and "heat_maps" in facts.info.model_fields_set:
            return "There are no heat maps: this network has no map of a picture to draw them from."
        return ""
    maps = maps or HeatMapInfo()
    by = f" ({maps.method})" if maps.method else ""
    note = f"The heat map beside each{by} highlights what supported the prediction."
    # Older runs do not say how many places their maps have.
    places = maps.places or []
    if len(places) == 2 and min(places) < COARSE:
        size = f"{places[0]}{formatting.NBSP}×{formatting.NBSP}{places[1]}"
        note += f" For pictures of this size it has {size} cells, so it shows a region and no details."
    return note


def _eyebrow(facts: RunFacts) -> list[str]:
    info = facts.info
    # The network's first words; its weights and precision stand at the foot of the page.
    network = ((info.network and info.network.summary) or "").partition(" · ")[0]
    return [item for item in (facts.name, facts.data_name, network, (info.started or "")[:10]) if item]
