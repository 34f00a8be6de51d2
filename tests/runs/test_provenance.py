import platform
import time

import numpy as np
import pytest

from linnaea.runs import provenance


def test_versions_are_those_that_are_imported():
    versions = provenance.versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__


def test_phases_are_timed_also_where_they_fail():
    phases = provenance.Phases()
    with pytest.raises(RuntimeError), phases.measure("train"):
        time.sleep(0.02)
        raise RuntimeError
    assert phases.finished["train"]["seconds"] >= 0.02


def test_peak_memory_grows_by_what_is_held():
    before = provenance.peak_memory_mib()
    held = np.ones(200 * 2**20 // 8)
    assert provenance.peak_memory_mib() - before > 150
    assert held[-1] == 1


def test_hardware_names_a_processor_and_at_least_one_core():
    hardware = provenance.hardware()
    assert hardware["processor"]
    assert hardware["cores"] >= 1
    assert hardware["memory_gib"] > 0
