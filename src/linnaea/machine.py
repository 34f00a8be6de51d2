"""What this machine lends to the process: its processor and accelerators, cores, threads and memory."""

import contextlib
import math
import os
import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

Result = TypeVar("Result")


def processor() -> str:
    """Return the model of the processor."""
    # platform.processor() is empty on most Linux systems.
    return cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first core; nothing on other systems."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    pairs = [line.partition(":") for line in reversed(lines)]
    return {name.strip(): value.strip() for name, _, value in pairs}


def accelerator(device: str) -> str | None:
    """Return the name of a device of torch ("cuda:1", "mps"); None for the processor ("cpu")."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return "Apple GPU (MPS)" if device.startswith("mps") else None


def usable_cores() -> int:
    """Return how many cores this process may keep busy, 1 or more: fewer, often, than the machine has.

    The least of what its affinity allows and what the control groups around it are rationed to (Docker's
    --cpus, a limit of Kubernetes). A ration of half a core counts as one.
    """
    allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(math.ceil(cores) for cores in rations())]))


def rations(root: Path = Path("/")) -> Iterator[float]:
    """Yield the cores that each control group around this process is rationed to; nothing for no ration.

    Of Linux: cpu.max (version 2) and cpu.cfs_quota_us (version 1), as in cgroups(7) and the kernel's
    admin-guide/cgroup-v2.rst. root: the folder that holds proc and sys.
    """
    for place, first_version in _control_groups("cpu", root):
        # No such group, no ration ("max", -1), or a file that is read otherwise than the kernel writes.
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            if first_version:
                quota, period = ((place / f"cpu.cfs_{word}_us").read_text() for word in ("quota", "period"))
            else:
                quota, period = (place / "cpu.max").read_text().split()
            if (cores := float(quota) / float(period)) > 0:
                yield cores


def _control_groups(controller: str, root: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of each control group around this process, and whether it is of version 1."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for group in groups:
        _, controllers, name = [*group.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        mounted = root / "sys/fs/cgroup" / controllers
        # A limit holds for all that lies below. Within a container the groups' names can be those of the
        # machine, while only its own is mounted, as the root.
        for folder in (PurePosixPath(name), *PurePosixPath(name).parents):
            yield mounted / str(folder).lstrip("/"), bool(controllers)


def available_memory() -> int:
    """Return about how many bytes this process may still take.

    The least of what is free, what the control groups around it leave (Docker's --memory, a limit of
    Kubernetes), and what its own limit of addresses leaves (ulimit -v).
    """
    import psutil

    left = [psutil.virtual_memory().available, *memory_rations()]
    with contextlib.suppress(ImportError):  # Windows
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            left.append(limit - psutil.Process().memory_info().vms)
    return max(0, min(left))


def memory_rations(root: Path = Path("/")) -> Iterator[int]:
    """Yield the bytes that each control group around this process leaves it; nothing for no ration.

    What the group holds of files is not counted as taken: the kernel gives it up. Of Linux, see rations.
    """
    for place, first_version in _control_groups("memory", root):
        names = ("limit_in_bytes", "usage_in_bytes") if first_version else ("max", "current")
        with contextlib.suppress(OSError, ValueError, KeyError):
            limit, taken = (int((place / f"memory.{name}").read_text()) for name in names)
            pairs = (line.split() for line in (place / "memory.stat").read_text().splitlines())
            held = {name: int(value) for name, value in pairs}
            files = (f"{'total_' * first_version}{how}active_file" for how in ("in", ""))
            yield limit - taken + sum(held[name] for name in files)


def in_order(
    function: Callable[..., Result], *items: Iterable[Any], threads: int | None = None
) -> Iterator[Result]:
    """Yield function(*item) in the order of items, computed in threads a few items ahead.

    Unlike Executor.map, which starts everything at once, no more than four results a thread are waiting:
    memory does not grow with the number of items. threads: one for each usable core by default.
    """
    threads = threads or usable_cores()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for arguments in zip(*items, strict=True):
                waiting.append(pool.submit(function, *arguments))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
