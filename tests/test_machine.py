"""What a process may use of a machine: cores by affinity, memory by limits, either by control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from linnaea import machine


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Lay out what Linux shows of control groups below a folder."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "250000 100000\n"}, [2.5]),
        ("0::/\n", {"cpu.max": "max 100000\n"}, []),
        # A pod's limit holds for the container in it, which has none of its own.
        ("0::/pod/one\n", {"pod/cpu.max": "400000 100000\n", "pod/one/cpu.max": "max 100000\n"}, [4]),
        # Version 1; of a container that sees the machine's names, and its own group mounted as the root.
        (
            "4:memory:/\n3:cpu,cpuacct:/docker/0f3a\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            [0.5],
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "many\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("nonsense\n", {}, []),
    ],
)
def test_the_rations_of_control_groups_are_read(tmp_path, groups, files, expected):
    assert list(machine.rations(system(tmp_path, groups, files))) == expected


def test_a_system_without_control_groups_has_no_rations(tmp_path):
    assert list(machine.rations(tmp_path)) == []


@pytest.mark.parametrize(("ration", "expected"), [([0.5], 1), ([1.5, 3.0], 2), ([], None), ([9999.0], None)])
def test_the_least_of_affinity_and_rations_counts(monkeypatch, ration, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "rations", lambda: iter(ration))
    assert machine.usable_cores() == (expected or 8)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_process_bound_to_one_core_uses_one():
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from linnaea.machine import usable_cores; print(usable_cores())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "1\n"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (
            "0::/pod\n",
            {
                "pod/memory.max": "1000\n",
                "pod/memory.current": "700\n",
                "pod/memory.stat": "anon 500\ninactive_file 150\nactive_file 50\n",
                "memory.max": "max\n",
            },
            [500],
        ),
        (
            "4:memory:/docker/0f3a\n3:cpu:/\n",
            {
                "memory/memory.limit_in_bytes": "1000\n",
                "memory/memory.usage_in_bytes": "600\n",
                "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 40\ntotal_active_file 10\n",
            },
            [450],
        ),
        ("0::/\n", {"memory.max": "1000\n", "memory.current": "many\n"}, []),
    ],
)
def test_the_memory_that_control_groups_leave_is_read(tmp_path, groups, files, expected):
    assert list(machine.memory_rations(system(tmp_path, groups, files))) == expected


@pytest.mark.skipif(os.name == "nt", reason="the system has no such limit")
def test_a_limit_of_addresses_is_a_limit_of_memory():
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.RLIM_INFINITY));"
        "from linnaea.machine import available_memory; print(available_memory())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 0 < int(ran.stdout) < 2**30


def test_results_come_in_order_and_only_a_few_ahead():
    asked = []

    def square(number: int) -> int:
        asked.append(number)
        return number * number

    results = machine.in_order(square, range(100), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(asked) <= 12
    assert list(results) == [number**2 for number in range(3, 100)]
