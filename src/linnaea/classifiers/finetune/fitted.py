"""What a fine-tuned classifier can do once it has learned: predict, evaluate, live on disk."""

import re
from pathlib import Path
from types import NoneType
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from linnaea.classifiers.common import samples
from linnaea.classifiers.common.saved import SavedModel, checked_model_args
from linnaea.classifiers.finetune import construction, inference
from linnaea.classifiers.finetune.backbones import check_size
from linnaea.classifiers.finetune.device import Device
from linnaea.classifiers.finetune.optimizers import choose_trained
from linnaea.classifiers.finetune.pictures import batches, count_pictures, kept_side
from linnaea.classifiers.finetune.precision import PRECISIONS
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.classifiers.finetune.settings import check_settings
from linnaea.text import counted


class FineTuned(ClassifierMixin, BaseEstimator):
    """A network with its preprocessing and class names; FineTuneClassifier teaches it.

    X, everywhere: DecodedPictures, list of paths or of Pillow pictures, or uint8 (n, height, width, 3).
    """

    network_: Any
    preprocessing_: Preprocessing
    classes_: np.ndarray
    precision_: str
    weights_: str
    seed_: int
    probe_: Any
    # Settings that are read here.
    backbone: str
    weights: str | Path
    size: int | None
    preprocessing: str
    device: str
    train_from: str | None
    epochs: int | None
    learning_rate: float | None
    solver: str
    tta: str
    chosen_epoch_: int
    temperature_: float
    kept_: str
    _model_args: dict[str, Any]

    def check_settings(self) -> None:
        """Raise SettingError that names every setting whose value is refused."""
        check_settings(self.get_params(deep=False))

    def check_network(self) -> None:
        """Build the network with its weights once, before any picture is read, and let it go again.

        Raises UsageError for an unknown backbone, SettingError for a stage that it does not have and a size
        that it does not take, LinnaeaError for weights that cannot be had or do not fit.
        """
        opened = construction.open_network(
            self.backbone,
            weights=self.weights,
            size=self.size,
            variant=self.preprocessing,
            classes=2,
            seed=0,
            device=self.device,
        )
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

    def _device(self) -> Device:
        return Device(next(self.network_.parameters()).device)

    def _logits(self, X: Any) -> Tensor:
        check_is_fitted(self, "network_")
        where = next(self.network_.parameters()).device
        seen = batches(X, self.preprocessing_, where, inference.BATCH)
        return inference.logits(self.network_, seen, self.preprocessing_, self.precision_, tta=self.tta)

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
        return construction.open_network(
            self.backbone,
            weights=self.weights,
            size=self.size,
            variant=self.preprocessing,
            classes=classes,
            seed=self.seed_,
            device=self.device,
        )

    def probe_proba(self, X: Any) -> np.ndarray:
        """Return what the probe alone says, (n, classes): on the features of the network before fine-tuning.

        Raises LinnaeaError where the first weights cannot be had any more.
        """
        check_is_fitted(self, "network_")
        if self.kept_ == "probe":
            return self.predict_proba(X)
        opened = self.first_network(len(self.classes_))
        self.probe_.load_into(construction.logits_layer(opened.network))
        where = next(opened.network.parameters()).device
        seen = batches(X, opened.preprocessing, where, inference.BATCH)
        logits = inference.logits(opened.network, seen, opened.preprocessing, self.precision_, tta=self.tta)
        return torch.softmax(logits.double(), dim=1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each picture, (n,)."""
        check_is_fitted(self, "network_")
        return self.classes_[self._logits(X).argmax(1).numpy()]

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer sees, float32 (n, width): pooled features, or the head's hidden units.

        With tta="flip" the mean of a picture's and its mirror's: the last layer of these means gives
        decision_function's logits.
        """
        check_is_fitted(self, "network_")
        where = next(self.network_.parameters()).device
        seen = batches(X, self.preprocessing_, where, inference.BATCH)
        how = self.preprocessing_, self.precision_
        return inference.last_features(self.network_, seen, *how, tta=self.tta).numpy()

    def remembered(self, part: str) -> np.ndarray | None:
        """Return features() of the pictures that fit was given, in their order, where it still has them.

        part: "train" or "val"; None where fine-tuning has changed what the network makes of them.
        """
        return None if self.tta != "none" else getattr(self, "_remembered", {}).get(part)

    def proba_of_features(self, features: np.ndarray) -> np.ndarray:
        """Return predict_proba's answer for what features() made: one pass through the network for both."""
        check_is_fitted(self, "network_")
        logits = inference.last_logits(self.network_, torch.from_numpy(features))
        return torch.softmax(logits.double() / self.temperature_, dim=1).numpy()

    def evaluate(self, X: Any, y: Any) -> tuple[float, float]:
        """Return the mean cross-entropy in nats (no label smoothing) and the accuracy on X, y."""
        y = samples.labels(y, count_pictures(X))
        return inference.judged(self._logits(X), torch.from_numpy(samples.class_numbers(y, self.classes_)))

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
            kept=getattr(self, "kept_", None),
        ).write()

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the classifier that save wrote. Raises DataError for a folder that is damaged."""
        model = SavedModel.read("finetune", folder)
        header = model.header
        with model.damage_named():
            classifier = model.unfitted(cls)
            _check(header, model.arrays)
            classifier.preprocessing_ = Preprocessing.from_dict(header["preprocessing"])
            classifier.input_config_ = header["preprocessing"]
            classifier.weights_, classifier._model_args = header["weights"], header["model_args"]
            classifier.kept_ = header["kept"]
            classifier.network_ = construction.rebuild_network(
                header["backbone"],
                header["model_args"],
                classifier.preprocessing_.size,
                len(classifier.classes_),
                header["head_hidden"],
                classifier.dropout,
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
    if model["precision"]["numbers"] not in PRECISIONS[1:]:
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
