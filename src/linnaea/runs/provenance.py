"""Where a number came from: versions, hardware, time and memory; where a run's data lie now."""

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from linnaea import machine
from linnaea.data import sources
from linnaea.errors import LinnaeaError
from linnaea.runs.schema import RunInfo

PACKAGES = (
    "linnaea",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "torch",
    "torchvision",
    "timm",
    "keras",
    "mlxtend",
    "imagehash",
    "cleanlab",
    "captum",
)
"""What pictures, numbers, labels and heat maps are made with."""


def now() -> str:
    """Return this moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that can change a result; absent ones are left out."""
    known = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return known


def hardware(device: str | None = "cpu") -> dict[str, Any]:
    """Return the processor, its cores, the threads in use, the memory in GiB, and what computed.

    device: of the training, as torch names it, such as "cuda:1"; None where it is not known
    """
    import psutil

    return {
        "processor": machine.processor(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": machine.usable_cores(),
        "threads": _threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "device": device,
        "accelerator": None if device is None else machine.accelerator(device),
    }


def threads() -> dict[str, int]:
    """Return how many threads sums may be shared out to: {"blas", "openmp", "torch"}, those that are loaded.

    Their number decides in which order floats are added, and so the last digits of a result.
    """
    from threadpoolctl import threadpool_info

    number_of: dict[str, int] = {}
    for pool in threadpool_info():
        number_of[pool["user_api"]] = max(number_of.get(pool["user_api"], 1), int(pool["num_threads"]))
    if "torch" in sys.modules:
        number_of["torch"] = int(sys.modules["torch"].get_num_threads())
    return dict(sorted(number_of.items()))


@contextmanager
def with_threads(wanted: dict[str, int]) -> Iterator[None]:
    """Let what is loaded compute with as many threads as `threads` returned, and as before afterwards."""
    from threadpoolctl import threadpool_limits

    torch, before = sys.modules.get("torch"), None
    limits = {name: number for name, number in wanted.items() if name != "torch"}
    with threadpool_limits(limits=limits or None):
        if torch is not None and "torch" in wanted:
            before = torch.get_num_threads()
            torch.set_num_threads(wanted["torch"])
        try:
            yield
        finally:
            if torch is not None and before is not None:
                torch.set_num_threads(before)


def git(folder: Path | None = None) -> dict[str, Any] | None:
    """Return {"commit": hash, "dirty": whether tracked files differ from it}, or None where git knows none.

    folder: by default the one that the process was started in.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    # Untracked files are left out: the runs themselves are such.
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path | None, *arguments: str) -> str | None:
    # Without optional locks, so that the user's own git beside it is never in the way.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        ran = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # names of files, as they are there
            timeout=10,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None


def opened_from(info: RunInfo) -> tuple[str, Path | None]:
    """Return where the pictures of a run are now, and its data_dir.

    As they were asked for, seen from here or from the folder in which the command was given.

    Raises DataError, naming the place, where they are gone.
    """
    opened = info.opened
    data = str(opened.data or info.data.source)
    data_dir = None if opened.data_dir is None else _placed(opened.data_dir, opened.folder)
    try:
        sources.check_source(data)
    except LinnaeaError:
        there = str(_placed(data, opened.folder))
        if there == data:
            raise
        sources.check_source(there)
        data = there
    return data, data_dir


def weights_from(weights: Any, info: RunInfo) -> Any:
    """Return a run's setting weights, a file as it is now: see opened_from."""
    if weights in (None, "hub", "none"):
        return weights
    return str(_placed(str(weights), info.opened.folder))


def _placed(path: str, folder: str | None) -> Path:
    """Return path as it is where it exists from here, else as seen from that folder."""
    here = Path(path).expanduser()
    return here if folder is None or here.exists() else Path(folder) / here


def _threads() -> int:
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info()), default=1)


class Phases:
    """The stages of a run with their wall time and the peak memory of the process up to their end."""

    def __init__(self) -> None:
        self.finished: dict[str, dict[str, float]] = {}
        self._began = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._began

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Time what happens inside, also where it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.finished[name] = {
                "seconds": round(time.perf_counter() - start, 3),
                "peak_memory_mib": peak_memory_mib(),
                **_peak_gpu_memory(),
            }


def _peak_gpu_memory() -> dict[str, float]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    peak = max(torch.cuda.max_memory_allocated(number) for number in range(torch.cuda.device_count()))
    return {"peak_gpu_memory_mib": round(peak / 2**20, 1)} if peak else {}


def peak_memory_mib() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    try:
        import resource
    except ImportError:  # Windows keeps the same number elsewhere
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    status = Path("/proc/self/status")
    # Linux hands ru_maxrss on from the process that started this one; this counter is its own, in KiB. Some
    # kernels (gVisor's, a container's of its own) do not count it.
    if status.exists() and (peak_kib := re.search(r"^VmHWM:\s*(\d+)", status.read_text(), re.MULTILINE)):
        return round(int(peak_kib[1]) / 2**10, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss counts bytes on macOS and KiB elsewhere.
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
