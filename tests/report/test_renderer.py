"""The process that draws charts: what its death costs, and what it does not."""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from linnaea.report import renderer as program
from linnaea.report.page import build_report
from linnaea.report.svg import Renderer, renderer
from linnaea.runs.folder import RunFolder

# Kibibytes of addresses, as `ulimit -v` takes them: enough for training, a fifth of what V8 takes.
LIMIT = 12_000_000
POINT = {
    "data": {"values": [{"x": 1}]},
    "mark": "point",
    "encoding": {"x": {"field": "x", "type": "nominal"}},
}


def limited(*command: str, text: str = "") -> subprocess.CompletedProcess:
    line = ["bash", "-c", f'ulimit -v {LIMIT}; exec "$@"', "bash", sys.executable, *command]
    return subprocess.run(line, input=text, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def dies_here() -> None:
    """Skip where the renderer lives under the limit: then nothing can be seen of its death."""
    if sys.platform != "linux" or shutil.which("bash") is None:
        pytest.skip("address space is limited with bash's ulimit on Linux")
    if limited(program.__file__, text=json.dumps(POINT)).returncode == 0:
        pytest.skip(f"vl-convert draws within {LIMIT:,} KiB of addresses here")


def test_where_address_space_is_limited_a_run_loses_its_charts_and_nothing_else(dies_here, tmp_path):
    run = tmp_path / "run"
    command = ["-m", "linnaea", "train", "digits", "--hidden", "8", "--epochs", "2", "--out", str(run)]
    ended = limited(*command)
    assert ended.returncode == 0, ended.stderr
    told = " ".join(ended.stderr.split())
    assert "Note report.html has no charts: the program that draws them ended with SIG" in told
    assert json.loads((run / "run.json").read_text())["state"] == "finished"
    assert json.loads((run / "metrics.json").read_text())["accuracy"]["pictures"] == 1500
    assert (run / "weights.safetensors").is_file()
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "This page has no charts.</strong> The program that draws them ended with SIG" in page
    assert "<svg" not in page
    # Every chart has its numbers beside it.
    for title in ("Validation accuracy was", "Stated probabilities are", "Results by class"):
        assert title in page
    build_report(RunFolder.open(run))
    assert "<svg" in (run / "report.html").read_text(encoding="utf-8")


def test_a_renderer_that_dies_is_told_of_once_and_tried_again_for_the_next_page():
    drawing = Renderer()
    drawing.start()
    assert drawing.svg(POINT).startswith("<svg")
    drawing._process.send_signal(signal.SIGKILL)
    assert drawing.svg(POINT) is None
    assert drawing.svg(POINT) is None
    assert drawing.take_problem() == "ended with SIGKILL"
    assert drawing.take_problem() == ""
    drawing.start()
    assert drawing.svg(POINT).startswith("<svg")
    drawing.stop()


def test_a_specification_that_is_none_is_our_mistake_and_ends_nothing():
    drawing = Renderer()
    with pytest.raises(ValueError, match="a chart could not be drawn"):
        drawing.svg({"mark": 3})
    assert drawing.svg(POINT).startswith("<svg")
    drawing.stop()


def test_one_process_draws_the_charts_of_all_pages(make_run, tmp_path):
    run = make_run(tmp_path / "run", n=200)
    build_report(run)
    first = renderer._process
    build_report(run)
    assert renderer._process is first
    assert first.poll() is None
