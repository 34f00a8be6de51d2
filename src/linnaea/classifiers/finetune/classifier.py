"""FineTuneClassifier: a pretrained network on photographs, under scikit-learn's conventions."""

import re
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from linnaea.classifiers.common import samples
from linnaea.classifiers.common.progress import whole_state
from linnaea.classifiers.common.saved import SavedModel, checked_model_args
from linnaea.classifiers.contract import Classifier, OnEpoch, OnStep, TrainingState
from linnaea.classifiers.finetune import construction, inference
from linnaea.classifiers.finetune.backbones import check_size
from linnaea.classifiers.finetune.device import Device, choose_device, room_to_predict, room_to_train
from linnaea.classifiers.finetune.frozen_features import FrozenFeatures
from linnaea.classifiers.finetune.heads import logits_layer, pool_as_learned, put_head
from linnaea.classifiers.finetune.optimizers import choose_trained
from linnaea.classifiers.finetune.pictures import (
    EvaluationBatches,
    ResidentPictures,
    as_pictures,
    batches,
    kept_side,
    value_range_of,
)
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.classifiers.finetune.trainer import Trainer, ValidationSet
from linnaea.errors import LinnaeaError, SettingError
from linnaea.random_streams import seed_from
from linnaea.settings import PRETRAINED, check
from linnaea.text import counted


# scikit-learn reads the settings from the signature of __init__, whoever writes it.
@dataclass(eq=False, repr=False)
class FineTuneClassifier(ClassifierMixin, BaseEstimator, Classifier):
    """A pretrained network, fine-tuned: first a linear probe on its features, then the network itself.

    X, everywhere: paths, Pillow pictures or uint8 (height, width, 3), in a list, an array or a column of a
    table; or uint8 (n, height, width, 3), or DecodedPictures. Pictures that are on the disk stay there: paths
    are decoded once, into the cache of linnaea.data.cache. What only answers (predict, predict_proba,
    decision_function, features) takes one picture as it is, and a folder: all pictures in it, sorted by path.
    y: labels, class names as a rule.

    Where it has computed, no forked process can: a fork does not copy PyTorch's threads, and would hang
    (multiprocessing's "spawn" does not).

    Parameters
    ----------
    backbone : str, default="efficientnet_lite0"
        A short name (mobilenetv2, resnet50 …) or any of timm's.
    weights : "hub", "none" or path, default="hub"
        Where the pretrained weights come from.
    size : int, default=None
        Side of the square that the network sees, in pixels; None: the weights' own.
    head_hidden : int, default=None
        Units of a dense ReLU layer in the head; the probe is then only the baseline.
    dropout : float, default=0.2
        Before the last layer.
    train_from : str, default=None
        "all", "head", or a stage such as "blocks.4": it and everything after it. None: what suits the
        backbone, as are epochs and learning_rate: of efficientnet_lite0 blocks.4 for 25 epochs, of vision
        transformers the upper half of their blocks for 12, of all others everything for 12.
    head_first_epochs : int, default=0
        Epochs in which only the head learns. Where it learns alone, it does from features of `views` views of
        each picture that are computed once; settings that change pictures any further do not apply.
    probe : bool, default=True
        Whether the linear probe comes first.
    views : float, default=4
        Of each training picture, for the probe; of 2.25, the third is of a quarter of the pictures. A head
        that learns alone sees the whole ones.
    epochs : int, default=None
        None: what suits the backbone.
    batch_size : int, default=16
    solver : "adamw" or "nesterov", default="adamw"
    learning_rate : float, default=None
        Of the head; None: what suits the backbone.
    layer_decay : float, default=0.85
        Each layer below the head learns at this share of the rate of the one above.
    weight_decay : float, default=0.05
        Not on norms and biases.
    momentum : float, default=0.9
        Of nesterov.
    schedule : "cosine" or "constant", default="cosine"
    warmup_epochs : float, default=1.0
    label_smoothing : float, default=0.1
    batch_norm : "freeze", "update" or "reestimate", default="freeze"
        What happens to the running statistics; see `batchnorm`.
    crop_scale : float, default=0.25
        Random crops cover this share of the picture's area at least; 1: no crops.
    flip : bool, default=True
    colour_jitter : float, default=0.0
    policy : "none", "randaugment" or "trivialaugment", default="none"
    random_erasing, mixup : float, default=0.0
    cutmix : float, default=0.25
        Shares of pictures, batches and batches; see `augment.Augmentation`.
    first_size : int, default=None
        Side of the pictures in the first epoch, growing to full size; None: full size from the start.
    class_weight : dict or "balanced", default=None
    sampling : "shuffle" or "balanced", default="shuffle"
        "balanced" draws every class equally often.
    ema : float, default=0.98
        Decay of the average of the weights that is evaluated; None: no average.
    clip_norm : float, default=None
        Longest gradient.
    accumulate : int, default=1
        Batches a step.
    patience : int, default=None
        Epochs without a better one after which training stops; 0: never; None: where it can hardly beat the
        probe any more (see trainer.cannot_pay).
    keep : "best" or "last", default="best"
        Which epoch is kept: that of the best validation accuracy, or the last. Where nothing is validated
        on, it is the last.
    tta : "none" or "flip", default="none"
        What fitted classifiers look at beside a picture itself: "flip" averages its logits with those of
        its mirror, in twice the time. history_ is always without it.
    preprocessing : "weights" or "report", default="weights"
        "report": 0 to 1 only, down to 150 x 150, up again.
    precision : "auto", "float32" or "bfloat16", default="auto"
        "auto": the faster on this machine, measured once.
    device : "auto", "cpu", "cuda", "cuda:1" … or "mps", default="auto"
        Where the network computes; "auto": on the graphics card where there is one.
    budget : float, default=None
        Seconds that fit, and then the evaluation of pictures_after pictures, may take: the machine is
        measured, and train_from, epochs, views and ema are chosen; see `budget.Plan`.
    pictures_after : int, default=0
    pictures_after_tuning : int, default=None
        The same where there was fine-tuning, after which more is evaluated; None: pictures_after.
    progress : bool, default=False
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    classes_ : ndarray (classes,)
    history_ : list of EpochRecord
        Epoch 0 is the network before fine-tuning, its head from the probe. Training figures are those of the
        pictures as augmented, validation figures those of the averaged weights.
    chosen_epoch_ : int
        The epoch that is kept; see keep.
    kept_ : "probe" or "fine-tuned"
        "probe" where no epoch of fine-tuning was better on the validation set.
    probe_ : Probe or None
    plan_ : Plan or None
        What was done with the budget.
    least_seconds_ : float or None
        What the least that can be done takes, where the budget is shorter.
    precision_ : "float32" or "bfloat16"
    network_ : Module
    preprocessing_ : Preprocessing

    Examples
    --------
    >>> paths = sorted(Path("photos").glob("*/*.jpg"))
    >>> names = [path.parent.name for path in paths]
    >>> classifier = FineTuneClassifier("mobilenetv2", epochs=10, random_state=0).fit(paths, names)
    >>> classifier.predict(["new.jpg"])
    array(['rose'], dtype='<U4')
    >>> classifier.predict_proba(["new.jpg"]).max()
    0.93
    """

    takes_photographs: ClassVar[bool] = True

    backbone: str = "efficientnet_lite0"
    _: KW_ONLY
    weights: str | Path = "hub"
    size: int | None = None
    head_hidden: int | None = None
    dropout: float = 0.2
    train_from: str | None = None
    head_first_epochs: int = 0
    probe: bool = True
    views: float = 4
    epochs: int | None = None
    batch_size: int = 16
    solver: str = "adamw"
    learning_rate: float | None = None
    layer_decay: float = 0.85
    weight_decay: float = 0.05
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    batch_norm: str = "freeze"
    crop_scale: float = 0.25
    flip: bool = True
    colour_jitter: float = 0.0
    policy: str = "none"
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.25
    first_size: int | None = None
    class_weight: Any = None
    sampling: str = "shuffle"
    ema: float | None = 0.98
    clip_norm: float | None = None
    accumulate: int = 1
    patience: int | None = None
    keep: str = "best"
    tta: str = "none"
    preprocessing: str = "weights"
    precision: str = "auto"
    device: str = "auto"
    budget: float | None = None
    pictures_after: int = 0
    pictures_after_tuning: int | None = None
    progress: bool = False
    random_state: Any = None

    def check_settings(self) -> None:
        """Raise SettingError that names every value that is refused, or two that do not go together."""
        check(self.get_params(deep=False), PRETRAINED)
        if self.mixup + self.cutmix > 1:
            raise SettingError(
                f"mixup {self.mixup} and cutmix {self.cutmix} are more than all batches together.",
                "Each is a share of the batches: choose two that sum to 1 at most.",
            )
        if self.budget is not None and not self.probe:
            raise SettingError(
                f"With a budget of {self.budget:g} seconds there must be a probe; received probe=False.",
                "Leave probe out: it is what fine-tuning must beat to be kept.",
            )

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        sample_weight: Any = None,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> Self:
        """Decode the pictures, fit the probe, fine-tune, and keep the best epoch.

        on_step(stage, done, total, seconds) hears how far the probe ("probe") and each epoch ("") are, in
        pictures.

        Raises SettingError, DataError, LinnaeaError (weights), and DivergenceError where the loss stops being
        a number; after that, and after Ctrl-C, the classifier is the best epoch so far.
        """
        started, state = time.perf_counter(), self._state_to_resume()
        self.__dict__.pop("_trainer", None)
        self.check_settings()
        X = as_pictures(X)
        trainer = self._set_up(X, y, validation_data, sample_weight, state)
        trainer.on_change, trainer.on_step = self._show, on_step
        if on_epoch is not None:
            trainer.on_epoch = lambda record: on_epoch(record, self)
        with room_to_train(trainer.device, self.batch_size, self.preprocessing_.size):
            if state is None:
                trainer.start(X, started)
            else:
                trainer.resume(*state)
            self._trainer = trainer
            trainer.run()
        # It is several times as large as what it made. One that was broken off stays: training_state has it.
        del self._trainer
        return self

    def _set_up(
        self,
        X: Any,
        y: Any,
        validation_data: tuple[Any, Any] | None,
        sample_weight: Any,
        state: TrainingState | None,
    ) -> Trainer:
        """Check everything that can be checked, then build the network and decode the pictures."""
        self.temperature_ = 1.0
        y = samples.labels(y, len(X))
        classes = samples.classes_of(y)
        weights = samples.weights_of_rows(sample_weight, self.class_weight, y, classes, np.float32)
        if validation_data is not None:
            X_val, y_val = samples.pair(validation_data)
            X_val = as_pictures(X_val, "validation X")
            y_val = samples.labels(y_val, len(X_val), "validation y", like=classes)
            val_targets = samples.class_numbers(y_val, classes, "validation y")
        with whole_state():
            begun = None if state is None else (state[1]["seed"], state[1]["precision"])
        self.seed_ = seed_from(self.random_state) if begun is None else begun[0]
        opened = self.first_network(len(classes))
        if state is not None:
            pool_as_learned(opened.network, state[0], "network.")
            put_head(opened.network, len(classes), None, 0.0, self.seed_)
        how = self.precision, opened, self.backbone, self.batch_size, self.batch_norm
        self.precision_ = construction.precision_for(*how) if begun is None else begun[1]
        suited = self.suited()
        self.learning_rate_ = suited["learning_rate"]
        opened.preprocessing = replace(opened.preprocessing, value_range=value_range_of(X))
        where = next(opened.network.parameters()).device
        pictures = ResidentPictures.read(X, opened.preprocessing, where)
        validation = None
        if validation_data is not None:
            pictures_val = EvaluationBatches(X_val, opened.preprocessing, where)
            validation = ValidationSet(pictures_val, val_targets)
        self.classes_, self.network_, self.preprocessing_ = classes, opened.network, opened.preprocessing
        self.weights_, self._model_args = opened.weights, opened.model_args
        train = construction.training_set(pictures, samples.class_numbers(y, classes), weights, len(classes))
        settings = {**self.get_params(deep=False), **suited, "precision": self.precision_}
        return Trainer(opened, settings, train, validation, self.seed_)

    def _show(self, trainer: Trainer) -> None:
        """Let how far the training is be seen in the attributes that end in an underscore."""
        self.history_, self.chosen_epoch_ = trainer.progress.history, trainer.progress.kept_epoch
        self.plan_, self.probe_, self.kept_ = trainer.plan, trainer.probe, trainer.kept
        self.least_seconds_ = trainer.least_seconds
        self._remembered, self._frozen = trainer.remembered, trainer.frozen

    def training_state(self) -> TrainingState:
        """Return what exact resume needs: named arrays, and plain JSON values.

        Raises LinnaeaError but in on_epoch and on_step, and after a fit that was broken off.
        """
        if "_trainer" not in self.__dict__:
            raise LinnaeaError(
                "There is no training to go on from: fit has not begun, or has ended.",
                "Ask for training_state in on_epoch or on_step.",
            )
        return self._trainer.state()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is needed to predict: a classifier is pickled at about the size of its network."""
        left_out = ("_trainer", "_remembered", "_frozen")
        return {name: value for name, value in super().__getstate__().items() if name not in left_out}

    def check_network(self) -> None:
        """Build the network with its weights once, before any picture is read, and let it go again.

        Raises UsageError for an unknown backbone, SettingError for a stage that it does not have and a size
        that it does not take, LinnaeaError for weights that cannot be had or do not fit.
        """
        opened = self._opened(classes=2, seed=0)
        choose_trained(opened.network, self.suited()["train_from"])

    def suited(self) -> dict[str, Any]:
        """Return train_from, epochs and learning_rate as they are used: None is what suits the backbone.

        Raises UsageError for an unknown backbone.
        """
        train_from, epochs = construction.length_for(self.backbone, self.train_from, self.epochs)
        rate = self.learning_rate or construction.rate_for(self.backbone, self.solver)
        return {"train_from": train_from, "epochs": epochs, "learning_rate": rate}

    def kept_side(self) -> int:
        """Return the shorter side, in pixels, beyond which a picture's detail is of no use to the network.

        Raises UsageError for an unknown backbone, LinnaeaError for weights that cannot be read.
        """
        if hasattr(self, "preprocessing_"):
            return kept_side(self.preprocessing_)
        return kept_side(
            construction.preprocessing_of(
                self.backbone, weights=self.weights, size=self.size, variant=self.preprocessing
            )
        )

    @property
    def compute_device(self) -> str | None:
        """The device of the network; before fit, the one that fit will choose; None where it has none."""
        if hasattr(self, "network_"):
            return str(self._device().where)
        try:
            return str(choose_device(self.device).where)
        except SettingError:
            return None

    def _device(self) -> Device:
        return Device(next(self.network_.parameters()).device)

    def _computed(self, compute: Callable[..., Tensor], X: Any) -> Tensor:
        check_is_fitted(self, "network_")
        seen = batches(X, self.preprocessing_, self._device().where, inference.BATCH)
        return compute(self.network_, seen, self.preprocessing_, self.precision_, tta=self.tta)

    def _logits(self, X: Any) -> Tensor:
        return self._computed(inference.logits, X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits (n, classes); with two classes, their difference (n,), as scikit-learn does."""
        logits = self._logits(X).numpy()
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (n, classes) probabilities in float64, columns in the order of classes_.

        They obey temperature_.
        """
        return torch.softmax(self._logits(X).double() / self.temperature_, dim=1).numpy()

    def first_network(self, classes: int) -> construction.Opened:
        """Return the network that fit begins with, a new head for so many classes on it.

        Raises LinnaeaError where the first weights cannot be had.
        """
        return self._opened(classes=classes, seed=self.seed_)

    def _opened(self, *, classes: int, seed: int) -> construction.Opened:
        return construction.open_network(
            self.backbone,
            weights=self.weights,
            size=self.size,
            variant=self.preprocessing,
            classes=classes,
            seed=seed,
            device=self.device,
        )

    def probe_proba(self, X: Any) -> np.ndarray:
        """Return what the probe alone says, (n, classes): on the features of the network before fine-tuning.

        Raises LinnaeaError where the first weights cannot be had any more.
        """
        check_is_fitted(self, "network_")
        if self.kept_ == "probe":
            return self.predict_proba(X)
        if self.probe_ is None:
            raise LinnaeaError("This network was fine-tuned without a probe, or loaded.", "Fit it with one.")
        opened = self.first_network(len(self.classes_))
        self.probe_.load_into(logits_layer(opened.network))
        where = next(opened.network.parameters()).device
        seen = batches(X, self.preprocessing_, where, inference.BATCH)
        logits = inference.logits(opened.network, seen, self.preprocessing_, self.precision_, tta=self.tta)
        return torch.softmax(logits.double(), dim=1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each picture, (n,): (1,) of a single one.

        >>> classifier.predict("rose.jpg")  # doctest: +SKIP
        array(['rose'], dtype='<U5')
        >>> classifier.predict("new_photos/")  # doctest: +SKIP
        array(['tulip', 'rose', 'rose'], dtype='<U5')
        >>> table["flower"] = classifier.predict(table["path"])  # doctest: +SKIP
        """
        columns = self._logits(X).argmax(1).numpy()
        return self.classes_[columns]

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer sees, float32 (n, width): pooled features, or the head's hidden units.

        With tta="flip" the mean of a picture's and its mirror's: the last layer of these means gives
        decision_function's logits.
        """
        return self._computed(inference.last_features, X).numpy()

    def features_and_proba(self, X: Any, split: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Return features(X) and predict_proba(X), of one pass through the network, or of none."""
        features = self.remembered(split)
        features = self.features(X) if features is None else features
        with room_to_predict(self._device().where, inference.BATCH, self.preprocessing_.size):
            logits = inference.last_logits(self.network_, torch.from_numpy(features))
        return features, torch.softmax(logits.double() / self.temperature_, dim=1).numpy()

    def remembered(self, split: str) -> np.ndarray | None:
        """Return features() of the pictures that fit was given, in their order, where it still has them.

        split: "train" or "val"; None where fine-tuning has changed what the network makes of them, and in a
        copy that was pickled or loaded.
        """
        return None if self.tta != "none" else self.__dict__.get("_remembered", {}).get(split)

    @property
    def frozen_features(self) -> FrozenFeatures | None:
        """What the probe learned from, where there were few pictures, and fit made it; see refitting."""
        return self.__dict__.get("_frozen")

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of pictures whose label is predicted; one that training did not have never is.

        Raises DataError for what is no picture, and for labels of another kind than those of training.
        """
        check_is_fitted(self, "network_")
        X = as_pictures(X)
        return super().score(X, samples.labels(y, len(X), like=self.classes_), sample_weight)

    def evaluate(self, X: Any, y: Any) -> tuple[float, float]:
        """Return the mean cross-entropy in nats (no label smoothing) and the accuracy on X, y."""
        check_is_fitted(self, "network_")
        X = as_pictures(X)
        y = samples.labels(y, len(X), like=self.classes_)
        return inference.loss_and_accuracy(
            self._logits(X), torch.from_numpy(samples.class_numbers(y, self.classes_))
        )

    def describe(self) -> dict[str, Any]:
        """Return {"summary": one line, "parameters": count, …}, for the terminal and the report."""
        check_is_fitted(self, "network_")
        parameters = sum(parameter.numel() for parameter in self.network_.parameters())
        numbers = "bf16" if self.precision_ == "bfloat16" else "float32"
        device = self._device()
        threads = counted(torch.get_num_threads(), "thread") if device.where.type == "cpu" else device.name
        # Only what kind of weights; where exactly they came from would take three lines of a table.
        came = self.weights_.partition(" (")[0].partition(";")[0]
        if came.startswith("weights from"):
            came = f"weights from {Path(self.weights).name}"
            dropped = re.search(r"its layer for ([\d,]+) classes was dropped", self.weights_)
            # ImageNet's 1,000 always go; a layer for others may be the one that somebody wanted.
            if dropped and dropped[1] != "1,000":
                came += f" without its last layer of {dropped[1]} classes"
        return {
            "summary": f"{self.backbone} · {came} · {numbers}, channels last, {threads}",
            "parameters": parameters,
            "weights": self.weights_,
        }

    def save(self, folder: str | Path) -> None:
        """Write weights.safetensors and model.json into folder."""
        check_is_fitted(self, "network_")
        parameters = self.get_params(deep=False) | {"weights": str(self.weights)}
        hidden = getattr(self.network_.get_classifier(), "hidden", None)
        arrays = {n: tensor.detach().cpu().contiguous() for n, tensor in self.network_.state_dict().items()}
        SavedModel.of(
            self,
            "finetune",
            folder,
            arrays,
            parameters,
            backbone=self.backbone,
            model_args=self._model_args,
            weights=self.weights_,
            preprocessing=self.preprocessing_.as_dict(),
            head_hidden=None if hidden is None else hidden.out_features,
            precision={"numbers": self.precision_, "processor": self._device().name},
            kept=self.kept_,
        ).write()

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> Self:
        """Return the classifier that save wrote.

        device: where it computes; None: as in training, or "auto" where that device is not here

        Raises DataError for a folder that is damaged, SettingError for a device that is not here.
        """
        if device is not None:
            choose_device(device)
        model = SavedModel.read("finetune", folder)
        header = model.header
        with model.damage_named():
            classifier = model.unfitted(cls)
            classifier.device = device or classifier.device
            _check(header, model.arrays)
            classifier.preprocessing_ = Preprocessing.from_dict(header["preprocessing"])
            classifier.weights_, classifier._model_args = header["weights"], header["model_args"]
            classifier.kept_ = header["kept"]
            classifier.network_ = construction.rebuild_network(
                header["backbone"],
                header["model_args"],
                classifier.preprocessing_.size,
                len(classifier.classes_),
                header["head_hidden"],
                classifier.dropout,
                arrays=model.arrays,
                device=classifier.device,
            )
            classifier.network_.load_state_dict(model.arrays)
            # Elsewhere than it was made, bfloat16 may be slow: float32 is everybody's.
            same = header["precision"]["processor"] == classifier._device().name
            classifier.precision_ = header["precision"]["numbers"] if same else "float32"
        return classifier


def _check(model: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raise ValueError for a model.json that does not go with the tensors, before a network is built."""
    for name, kinds in _KINDS.items():
        value = model[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{name} is {str(value)[:100]}")
    if not isinstance(model["parameters"].get("weights", ""), str):
        raise ValueError("parameters.weights is no text")
    if model["precision"]["numbers"] not in ("float32", "bfloat16"):
        raise ValueError(f"precision is {str(model['precision'])[:100]}")
    hidden = model["head_hidden"]
    widths = {tensor.shape[0] for tensor in tensors.values() if tensor.ndim}
    for what, width in (("classes", len(model["classes"])), ("units of the head", hidden)):
        if width is not None and width not in widths:
            raise ValueError(f"{width!r} {what}, and the weights have none of that size")
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise ValueError("the weights hold NaN or infinity")
    check_size(model["backbone"], checked_model_args(model["model_args"]), tensors)


_KINDS: dict[str, Any] = {
    "backbone": str,
    "weights": str,
    "head_hidden": (int, NoneType),
    "chosen_epoch": int,
    "kept": (str, NoneType),
    "precision": dict,
}
