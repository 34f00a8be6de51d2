import platform
import subprocess
import sys
import time
from pathlib import Path

import captum
import numpy as np
import pytest

from linnaea.runs import provenance


def test_versions_are_those_that_are_imported():
    versions = provenance.versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert versions["captum"] == captum.__version__
    assert {"imagehash", "cleanlab"} <= versions.keys()


def test_phases_are_timed_also_where_they_fail():
    phases = provenance.Phases()
    with pytest.raises(RuntimeError), phases.measure("train"):
        time.sleep(0.02)
        raise RuntimeError
    assert phases.finished["train"]["seconds"] >= 0.02


def test_peak_memory_grows_by_what_is_held():
    # In a process of its own, after a larger peak in this one: neither is counted for the other.
    script = (
        "import numpy as np; from linnaea.runs import provenance; before = provenance.peak_memory_mib();"
        "held = np.ones(200 * 2**20 // 8); print(before, provenance.peak_memory_mib() - before, held[-1])"
    )
    parent = np.ones(500 * 2**20 // 8)
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, grown, _ = map(float, told.stdout.split())
    assert before < 400
    assert 190 < grown < 260
    assert parent[-1] == 1


def test_a_kernel_that_does_not_count_the_peak_is_asked_otherwise(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(Path, "read_text", lambda path: "Name:\tpython\nVmRSS:\t  90000 kB\n")
    peak = provenance.peak_memory_mib()
    assert 0 < peak <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_git_tells_the_commit_and_whether_tracked_files_differ(tmp_path):
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        ran = subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return ran.stdout.strip()

    assert provenance.git(tmp_path) is None
    git("init")
    assert provenance.git(tmp_path) is None  # no commit yet
    (tmp_path / "kept.txt").write_text("one")
    git("add", "kept.txt")
    git("commit", "-m", "first")
    (tmp_path / "untracked.txt").write_text("a run, say")
    assert provenance.git(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "kept.txt").write_text("two")
    assert provenance.git(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": True}


def test_threads_are_those_that_were_asked_for_and_come_back():
    import scipy.linalg.blas  # noqa: F401 (a BLAS must be loaded to be counted)
    import torch

    before = provenance.threads()
    assert before["torch"] == torch.get_num_threads()
    with provenance.with_threads({"blas": 1, "openmp": 1, "torch": 1}):
        assert set(provenance.threads().values()) == {1}
    assert provenance.threads() == before


def test_hardware_names_a_processor_and_at_least_one_core():
    hardware = provenance.hardware()
    assert hardware["processor"]
    assert hardware["cores"] >= 1
    assert hardware["memory_gib"] > 0


def test_hardware_names_the_device_that_computed_and_no_other(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the card {device}")
    names = {device: provenance.hardware(device)["accelerator"] for device in ("cpu", "cuda:1", "mps:0")}
    assert names == {"cpu": None, "cuda:1": "the card cuda:1", "mps:0": "Apple GPU (MPS)"}
    assert provenance.hardware("cuda:1")["device"] == "cuda:1"
