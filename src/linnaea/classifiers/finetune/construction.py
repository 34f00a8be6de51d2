"""From settings to what learns: the network with its head, the pictures, and what training changes."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from linnaea.classifiers.common import saved
from linnaea.classifiers.common.progress import TrainingProgress
from linnaea.classifiers.finetune import batchnorm
from linnaea.classifiers.finetune.augment import Augmentation
from linnaea.classifiers.finetune.backbones import (
    build_backbone,
    classifier_name,
    own_size,
    resolve,
)
from linnaea.classifiers.finetune.device import (
    Device,
    choose_device,
    explaining_full_memory,
)
from linnaea.classifiers.finetune.folding import fold_batch_norms
from linnaea.classifiers.finetune.heads import pool_as_learned, put_head
from linnaea.classifiers.finetune.loop import Learner, TrainingSet
from linnaea.classifiers.finetune.optimizers import WeightAverage, build_optimizer, choose_trained
from linnaea.classifiers.finetune.pictures import ResidentPictures
from linnaea.classifiers.finetune.precision import choose_precision
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.classifiers.finetune.weights import read_weights
from linnaea.errors import LinnaeaError, SettingError

_NESTEROV_RATE = 0.01
EPOCHS = 12  # that suit most


@dataclass(frozen=True)
class Suited:
    """What suits a family of networks with its batch norms at rest, at 16 pictures a batch.

    learning_rate: float
        Of the head, for AdamW.
    train_from: str
    epochs: int
        With this train_from; EPOCHS with another.
    """

    learning_rate: float = 2e-4
    train_from: str = "all"
    epochs: int = EPOCHS


# By the beginning of their names, "" is every other; chosen on the validation set of Flowers-102. Of
# EfficientNet-Lite0 the last stages (nine tenths of its weights) reached 94.9 % in 25 epochs, everything 93.8
# in 12 and 94.0 in 20, which take as long.
_SUITED = {
    "mobilenetv2": Suited(3e-4),
    "tf_efficientnet_lite0": Suited(2e-4, "blocks.4", 25),
    # The upper half of twelve blocks takes two thirds of the time of all. ViT-Tiny on 480 pictures of waste:
    # validation 86.3 % for the probe, 88.4 after six epochs. No more was tried.
    "vit_": Suited(2e-4, "blocks.6"),
    "": Suited(),
}


@dataclass(eq=False)
class Opened:
    """A network with a linear head, ready to compute, and what it came with.

    model_args: what it was built with beside its name; needed to build it again.
    weights: one sentence on where its weights came from.
    """

    network: Any
    preprocessing: Preprocessing
    model_args: dict[str, Any]
    weights: str


def open_network(
    backbone: str,
    *,
    weights: str | Path,
    size: int | None,
    variant: str,
    classes: int,
    seed: int,
    device: str = "auto",
) -> Opened:
    """Build the backbone with its weights on the device (see choose_device), a new linear head on it."""
    where = choose_device(device).where
    built = build_backbone(backbone, weights=weights, classes=classes, size=size, seed=seed)
    preprocessing = built.preprocessing
    if variant == "report":
        preprocessing = Preprocessing.report(preprocessing.size)
    from_file = str(weights) not in ("hub", "none")
    model_args = read_weights(Path(weights)).model_args if from_file else {}
    if own_size(built.network) not in (None, preprocessing.size):
        model_args = {**model_args, "img_size": preprocessing.size}
    put_head(built.network, classes, None, 0.0, seed)
    try:
        fold_batch_norms(built.network, preprocessing.size)
    except Exception as error:
        # One picture went through it: it sees pictures of another size only, or grey ones.
        config = built.network.pretrained_cfg
        own = config.get("input_size", (0, 0, 0))[-1]
        if config.get("fixed_input_size") and own != preprocessing.size:
            raise SettingError(
                f"{backbone} takes pictures of {own} x {own} pixels only; "
                f"received size {preprocessing.size}.",
                "Leave size out, or choose a network of convolutions, such as mobilenetv2.",
            ) from error
        raise LinnaeaError(
            f"{backbone} cannot be given pictures of {preprocessing.size} x {preprocessing.size} pixels "
            f"({type(error).__name__}: {saved.brief(error)}).",
            "Leave size out, or choose another network or other weights.",
        ) from error
    return Opened(_moved(built.network, where), preprocessing, model_args, built.weights)


def preprocessing_of(backbone: str, *, weights: str | Path, size: int | None, variant: str) -> Preprocessing:
    """Return what open_network's network will expect of a picture, without building it."""
    named = resolve(backbone)
    config = named.config.to_dict()
    if str(weights) not in ("hub", "none"):
        config |= read_weights(Path(weights)).config
    found = Preprocessing.from_config(config, size or named.size)
    return Preprocessing.report(found.size) if variant == "report" else found


def rebuild_network(
    backbone: str,
    model_args: dict[str, Any],
    size: int,
    classes: int,
    hidden: int | None,
    dropout: float,
    *,
    arrays: Mapping[str, Any],
    device: str = "auto",
) -> Any:
    """Build the network that a saved model's weights belong to; its own weights are only placeholders.

    arrays: those weights, by name.
    device: what it was trained with; where that is not here, "auto" takes its place.
    """
    try:
        where = choose_device(device).where
    except SettingError:
        where = choose_device().where
    with Device(torch.device("cpu")).seeded(0):
        network = timm.create_model(resolve(backbone).architecture, **model_args)
    pool_as_learned(network, arrays)
    put_head(network, classes, hidden, dropout, 0)
    fold_batch_norms(network, size)
    return _moved(network, where)


def _moved(network: Any, where: torch.device) -> Any:
    with explaining_full_memory(where, "the network", "Close other programs that use this memory."):
        return network.to(where, memory_format=torch.channels_last)


def precision_for(asked: str, opened: Opened, backbone: str, batch_size: int, batch_norm: str) -> str:
    """Return "float32" or "bfloat16": what was asked for, or what is faster here.

    Raises SettingError for bfloat16 on a device that has none.
    """
    device = Device(next(opened.network.parameters()).device)
    if asked == "bfloat16" and not device.supports_bfloat16:
        raise SettingError(f"{device.name} does not compute in bfloat16.", "Choose float32 or auto.")
    if asked != "auto":
        return asked
    # In the mode it will train in: batch norms at rest are folded, and the answer may be another one.
    batchnorm.set_training(opened.network, batch_norm)
    name = f"{resolve(backbone).architecture}, batch norm {'at rest' if batch_norm == 'freeze' else 'moving'}"
    return choose_precision(opened.network, opened.preprocessing.size, batch_size=batch_size, name=name)


def rate_for(backbone: str, solver: str) -> float:
    """Return the learning rate of the head for this family of networks."""
    return _NESTEROV_RATE if solver == "nesterov" else _suited(backbone).learning_rate


def length_for(backbone: str, train_from: str | None, epochs: int | None) -> tuple[str, int]:
    """Return from where on this family of networks is trained and for how many epochs, as asked or as suits.

    Raises UsageError for an unknown backbone.
    """
    suited = _suited(backbone)
    where = suited.train_from if train_from is None else train_from
    if epochs is None:
        epochs = suited.epochs if where == suited.train_from else EPOCHS
    return where, epochs


def _suited(backbone: str) -> Suited:
    architecture = resolve(backbone).architecture
    return next(suited for family, suited in _SUITED.items() if architecture.startswith(family))


def training_set(
    pictures: ResidentPictures, targets: np.ndarray, weights: np.ndarray | None, classes: int
) -> TrainingSet:
    """Return the training set, its targets and weights on the pictures' device."""
    where = pictures.device
    on_device = None if weights is None else torch.from_numpy(weights).to(where, torch.float32)
    return TrainingSet(pictures, torch.from_numpy(targets).to(where), on_device, classes)


def new_learner(network: Any, settings: dict[str, Any], train: TrainingSet, seed: int) -> Learner:
    """Return a learner on a copy of network (which may have lent its linear head from the probe).

    settings: see Learner. The same dictionary is kept: a change of it later is one of the learner's.
    """
    network = copy.deepcopy(network)
    hidden, dropout = settings["head_hidden"], settings["dropout"]
    if hidden is not None:
        put_head(network, train.classes, hidden, dropout, seed)
    else:
        network.get_classifier().dropout.p = dropout
    if settings["first_size"] is not None and getattr(network, "patch_embed", None) is not None:
        raise SettingError(
            f"first_size is {settings['first_size']}, and this network sees pictures of one size only.",
            "Leave first_size out.",
        )
    trained = frozenset(choose_trained(network, settings["train_from"]))
    layer = classifier_name(network)
    steps = -(-len(train) // (settings["batch_size"] * settings["accumulate"]))
    if settings["batch_norm"] != "freeze":
        batchnorm.set_momentum(network, steps)
    optimizer = build_optimizer(
        network,
        **{
            name: settings[name]
            for name in ("solver", "learning_rate", "momentum", "weight_decay", "layer_decay")
        },
    )
    return Learner(
        network=network,
        optimizer=optimizer,
        average=None if settings["ema"] is None else WeightAverage(network, settings["ema"]),
        progress=TrainingProgress(),
        augmentation=Augmentation(**{field.name: settings[field.name] for field in fields(Augmentation)}),
        settings=settings,
        trained=trained,
        head=frozenset(name for name in trained if name.startswith(f"{layer}.")),
        seed=seed,
    )
