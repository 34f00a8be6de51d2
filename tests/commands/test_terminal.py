"""The line that tells how far training is."""

import io
import re

import pytest
from rich.console import Console

from linnaea.classifiers.contract import EpochRecord
from linnaea.commands import terminal


@pytest.fixture
def told(monkeypatch) -> io.StringIO:
    """What is printed, on no terminal: each line once, as it stands at the end."""
    text = io.StringIO()
    monkeypatch.setattr(terminal, "messages", Console(file=text, width=120))
    return text


def test_a_training_that_stops_early_has_nothing_left_to_do(told):
    bar = terminal.EpochBar(33)
    with bar.shown():
        for epoch in range(24):
            bar(EpochRecord(epoch, 2.0, 0.1, 0.5, 0.9, 0.4, 0.8), 100)
    assert "23/33" in told.getvalue()
    assert "left" not in told.getvalue()
    assert "46 s" in told.getvalue()


def test_a_training_that_is_stopped_by_an_error_may_go_on(told):
    bar = terminal.EpochBar(4)
    with pytest.raises(KeyboardInterrupt), bar.shown():
        for epoch in range(3):
            bar(EpochRecord(epoch, 2.0, 0.1, 0.5, 0.9, None, None), 100)
        raise KeyboardInterrupt
    assert "4.0 s left" in told.getvalue()


def test_the_bar_fills_a_terminal_and_a_file_stays_as_it_is(monkeypatch):
    widths = {}
    for terminal_width in (80, 140):
        text = io.StringIO()
        console = Console(file=text, width=terminal_width, force_terminal=True, color_system=None)
        monkeypatch.setattr(terminal, "messages", console)
        bar = terminal.EpochBar(10)
        with bar.shown():
            for epoch in range(4):
                bar(EpochRecord(epoch, 2.0, 0.1, 0.5, 0.9, 0.4, 0.8), 100)
        lines = re.split("[\r\n]", re.sub("\x1b\\[[^A-Za-z]*[A-Za-z]", "", text.getvalue()))
        widths[terminal_width] = max(len(line.rstrip()) for line in lines if "3/10" in line)
    assert widths == {80: 80, 140: 140}


def test_a_probe_says_how_long_it_still_takes(told):
    bar = terminal.EpochBar(3)
    with bar.shown():
        bar.step("probe", 100, 400, 2.0)
        assert "probe, 100 of 400 pictures   50 pictures/s   6.0 s left" in str(bar._progress.tasks[0].fields)


def test_what_is_waited_for_is_shown_to_people_alone(told, monkeypatch):
    with terminal.waiting("Drawing the report"):
        pass
    assert told.getvalue() == ""
    text = io.StringIO()
    monkeypatch.setattr(terminal, "messages", Console(file=text, width=80, force_terminal=True))
    with terminal.waiting("Drawing the report"):
        terminal.print_line("Reuse", "twice")
    assert "Drawing the report …" in text.getvalue()
    assert "twice" in text.getvalue()


def test_a_probe_alone_leaves_no_line(told):
    bar = terminal.EpochBar(0)
    with bar.shown():
        bar(EpochRecord(0, 2.0, 0.1, 0.5, 0.9, 0.4, 0.8), 100)
    assert told.getvalue() == ""
