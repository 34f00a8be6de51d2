"""Charts: scales that mislead nobody, and colours that the page can change."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnaea.report import charts
from linnaea.report.charts import Bar, Line, epoch_ticks, frame, level, nice_step, spread
from linnaea.report.figures import MOST_EPOCHS, chart_figure, thinned
from linnaea.report.svg import at_widths


def test_the_point_before_training_is_left_out_only_where_it_would_hide_the_rest():
    steep = Line("training", "blue", [(0, 10.0), (1, 90.0), (2, 95.0), (3, 97.0)])
    assert (frame([steep], percent=True).hidden, frame([steep], percent=True).low) == (True, 90.0)
    slow = Line("training", "blue", [(0, 10.0), (1, 40.0), (2, 70.0), (3, 90.0)])
    assert not frame([slow], percent=True).hidden
    assert frame([slow], percent=True).low <= 10
    # A probe knows already what fine-tuning first forgets: its epoch 0 belongs into the frame.
    probe = [
        Line("training", "blue", [(0, 99.0), (1, 5.0)]),
        Line("validation", "red", [(0, 14.0), (1, 13.0)]),
    ]
    assert not frame(probe, percent=True).hidden
    assert frame(probe, percent=True).high == 100
    # Beside one that guessed, only the guess is left outside.
    assert frame([steep, Line("probe", "red", [(0, 93.0), (1, 92.0)])], percent=True).low == 90


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_a_frame_of_per_cent_stays_within_0_and_100_and_holds_every_point(values):
    fit = frame([Line("x", "blue", list(enumerate(values, start=1)))], percent=True)
    assert 0 <= fit.low < fit.high <= 100
    assert fit.low <= min(values) + 1e-6
    assert max(values) - 1e-6 <= fit.high


@given(st.lists(st.floats(-500, 500), min_size=1, max_size=9))
def test_names_are_a_line_apart_and_keep_their_order(places):
    moved = spread(places, gap=15)
    order = sorted(range(len(places)), key=lambda i: places[i])
    assert all(moved[b] - moved[a] >= 15 - 1e-6 for a, b in pairwise(order))
    assert np.isclose(np.mean(moved), np.mean(places), atol=1e-6)


def test_names_of_curves_that_stop_early_stand_above_their_ends_and_apart():
    lines = [
        Line("A one", "blue", [(0, 50.0), (12, 96.0)], short="A"),
        Line("B two", "vermillion", [(0, 50.0), (12, 96.1)], short="B"),
        Line("C three", "green", [(0, 50.0), (13, 95.9)], short="C"),
        Line("D four", "purple", [(0, 50.0), (40, 97.0)], short="D"),
    ]
    drawn = charts.curves(lines, charts.WIDE, title="accuracy (%)", percent=True).to_dict()
    named = {
        layer["data"]["values"][0]["name"]: layer["data"]["values"][0]["value"]
        for layer in drawn["layer"]
        if layer["mark"]["type"] == "text" and len(layer["data"]["values"][0]["name"]) == 1
    }
    ends = {line.short: line.points[-1][1] for line in lines[:3]}
    fit = frame(lines, percent=True)
    line_of_text = 15 * (fit.high - fit.low) / 250
    assert named.keys() == ends.keys()
    assert all(named[name] >= ends[name] - 1e-9 for name in ends)
    heights = sorted(named.values())
    assert all(upper - lower > 0.99 * line_of_text for lower, upper in pairwise(heights))


def test_ticks_are_whole_epochs():
    assert epoch_ticks(0, 1, most=11) == [0, 1]
    assert epoch_ticks(0, 300, most=11) == [0, 50, 100, 150, 200, 250, 300]
    assert epoch_ticks(1, 1, most=6) == [1]
    assert [nice_step(x) for x in (0.03, 0.1, 3, 7)] == pytest.approx([0.05, 0.1, 5, 10])


def test_shades_of_mistakes_begin_at_one_per_cent():
    assert [level(s, right=False) for s in (0.005, 0.02, 0.05, 0.2, 0.5)] == [
        f"miss-{i}" for i in range(1, 6)
    ]
    assert [level(s, right=True) for s in (0.3, 0.7, 0.85, 0.93, 1.0)] == [f"hit-{i}" for i in range(1, 6)]


def test_every_colour_of_a_chart_is_one_of_the_page():
    css = Path(charts.__file__).with_name("page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.S)
    for name, value in charts.PALETTE.items():
        assert f"--{name}: {value};" in light
        assert re.search(rf"--{name}: #", dark)
    lines = [
        Line("training", "blue", [(0, 1.0), (1, 0.5)]),
        Line("validation", "vermillion", [(0, 1.0), (1, 0.7)]),
    ]
    drawn = at_widths(lambda w: charts.curves(lines, w, title="loss", percent=False), "a", "Loss", "Falls.")
    drawn += at_widths(lambda w: charts.heatmap(np.eye(30, dtype=int), w), "b", "Map", "A diagonal.")
    drawn += at_widths(
        lambda w: charts.intervals([Bar("x", "50 %", 50.0, 40.0, 60.0)], w, domain=(0, 100)),
        "c",
        "Bar",
        "Half.",
    )
    assert re.findall(r'(?:fill|stroke)="(#[^"]*|white|black)"', drawn) == []
    assert 'fill="var(--ink)"' in drawn
    assert drawn.count('role="img"') == 9


def test_very_many_epochs_are_thinned_and_no_spike_is_lost():
    generator = np.random.default_rng(0)
    values = generator.uniform(40, 60, 200_000)
    values[[12_345, 150_000]] = 1, 99
    lines = [
        Line("training", "blue", list(enumerate(values.tolist()))),
        Line("validation", "vermillion", [(epoch, 50.0) for epoch in range(100_001)]),
    ]
    drawn = chart_figure("curve", "Accuracy per epoch", "accuracy (%)", lines, share=True, chosen=777)
    epochs = [int(row[0]) for row in drawn.rows]
    assert epochs == sorted(set(epochs))
    assert {0, 777, 12_345, 100_000, 150_000, 199_999} <= set(epochs)
    assert MOST_EPOCHS / 2 < len(epochs) < 1.2 * MOST_EPOCHS
    assert drawn.caption.startswith(f"{len(epochs):,} of 200,000 epochs are shown")
    assert len(drawn.svg) < 200_000
    few = [Line("training", "blue", list(enumerate(values[:MOST_EPOCHS].tolist())))]
    assert thinned(few) is few
