"""Signals while a run goes on: the first waits for the end of a step, the second for nothing."""

import json
import signal
from pathlib import Path

import pytest
from tests.commands.test_resume import SETTINGS, same

from linnaea import signals
from linnaea.classifiers.perceptron.classifier import MLPClassifier
from linnaea.cli import main


@pytest.fixture(scope="module")
def whole(bars, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", str(bars), *SETTINGS, "--out", str(run)]) == 0
    return run


def train_and_signal(monkeypatch, bars: Path, run: Path, sent: list[int]) -> tuple[int, int]:
    """Train, and send this process signals within its hundredth step; return exit code and steps begun."""
    steps, train_step = [], MLPClassifier._train_step

    def step(self, *arguments):
        steps.append(None)
        if len(steps) == 100:
            for number in sent:
                signal.raise_signal(number)
        train_step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MLPClassifier, "_train_step", step)
        code = main(["train", str(bars), *SETTINGS, "--out", str(run)])
    return code, len(steps)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_within_one_step_stops_at_once_and_loses_no_checkpoint(
    sent, code, whole, bars, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "run"
    monkeypatch.setattr(signals, "TOGETHER", 0.0)
    assert train_and_signal(monkeypatch, bars, run, [sent, sent]) == (code, 100)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "Continue  linnaea resume" in told
    info = json.loads((run / "run.json").read_text())
    assert (info["state"], (run / "run.lock").exists()) == ("interrupted", False)
    # Half a step is neither kept nor judged.
    assert not (run / "weights.safetensors").exists()
    assert not (run / "predictions.csv").exists()
    assert (run / "report.html").read_text().rstrip().endswith("</html>")
    assert main(["resume", str(run)]) == 0
    assert same(whole, run)


def test_sigterm_sent_twice_at_once_is_one(bars, tmp_path, monkeypatch):
    # As timeout(1) does: to the process, and to its group.
    run = tmp_path / "run"
    monkeypatch.setattr(signals, "TOGETHER", 3600.0)
    code, steps = train_and_signal(monkeypatch, bars, run, [signal.SIGTERM] * 2)
    assert (code, steps) == (143, 100)
    assert (run / "weights.safetensors").exists()
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
