"""The line that tells how far training is."""

import io

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


def test_a_probe_alone_leaves_no_line(told):
    bar = terminal.EpochBar(0)
    with bar.shown():
        bar(EpochRecord(0, 2.0, 0.1, 0.5, 0.9, 0.4, 0.8), 100)
    assert told.getvalue() == ""
