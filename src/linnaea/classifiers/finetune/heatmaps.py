"""Where in a picture a convolutional network found its answer: Grad-CAM on the last map before pooling."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linnaea.classifiers.finetune import inference
from linnaea.classifiers.finetune.device import autocast, room_to_predict
from linnaea.classifiers.finetune.pictures import batches
from linnaea.classifiers.finetune.preprocessing import Preprocessing


class _LastMap(nn.Module):
    """A network up to its last map, as captum wants it: one module whose output is attributed to.

    Only what comes after is differentiated: the map leaves as a constant, so that the whole costs one forward
    pass, and no activation is kept.
    """

    def __init__(self, network: Any, precision: str) -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the map (n, channels, height, width), float32."""
        with torch.no_grad(), autocast(pictures.device, self.precision):
            found = self.network.forward_features(pictures)
        if not channels_first(found, self.network.num_features):
            found = found.permute(0, 3, 1, 2)
        return found.float().requires_grad_()


class _Whole(nn.Module):
    """Pictures → map → logits, each less their mean over the classes, which softmax does not see."""

    def __init__(self, network: Any, precision: str, first: bool) -> None:
        super().__init__()
        self.map, self.network, self.first = _LastMap(network, precision), network, first

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (n, classes), float32."""
        found = self.map(pictures)
        found = found if self.first else found.permute(0, 2, 3, 1)
        logits = self.network.get_classifier()(self.network.forward_head(found, pre_logits=True))
        return logits - logits.mean(1, keepdim=True)


def heat_maps(classifier: Any, X: Any, columns: np.ndarray) -> np.ndarray | None:
    """Return how much each place speaks for a class, float32 (n, h, w), 0 or more; None without a map.

    Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) by captum, in one forward pass a picture. It covers
    what the network sees of a picture (see seen_box). Transformers over tokens have no map.

    classifier: a fitted FineTuneClassifier.
    X: pictures, as its predict takes them.
    columns: int (n,)
        The class of each picture, as its column in classes_.
    """
    from captum.attr import LayerGradCam

    network, preprocessing = classifier.network_, classifier.preprocessing_
    where = next(network.parameters()).device
    network.eval()
    found: list[np.ndarray] = []
    done = 0
    method: Any = None
    with room_to_predict(where, inference.BATCH, preprocessing.size):
        targets = torch.from_numpy(np.asarray(columns, dtype=np.int64)).to(where)
        for batch in batches(X, preprocessing, where, inference.BATCH):
            pictures = preprocessing.normalize(batch).contiguous(memory_format=torch.channels_last)
            if method is None:
                shape = _map_shape(network, pictures[:1], classifier.precision_)
                if shape is None:
                    return None
                whole = _Whole(network, classifier.precision_, channels_first(shape, network.num_features))
                method = LayerGradCam(whole, whole.map)
            heat = method.attribute(pictures, targets[done : done + len(batch)], relu_attributions=True)
            done += len(batch)
            found.append(heat.detach()[:, 0].float().cpu().numpy())
    return np.concatenate(found) if found else None


def _map_shape(network: Any, picture: Tensor, precision: str) -> Tensor | None:
    """Return the network's last map of one picture; None where it makes tokens or vectors instead."""
    with torch.no_grad(), autocast(picture.device, precision):
        found = network.forward_features(picture)
    return found if isinstance(found, Tensor) and found.ndim == 4 and min(found.shape) > 0 else None


def channels_first(found: Tensor, channels: int) -> bool:
    """Tell (n, channels, h, w) from (n, h, w, channels), as Swin's maps come."""
    return found.shape[1] == channels or found.shape[-1] != channels


def seen_box(preprocessing: Preprocessing, height: int, width: int) -> tuple[float, float, float, float]:
    """Return the part of a picture that the network sees: left, top, right, bottom, in its pixels.

    The middle square; of a picture squeezed by the report's preprocessing, all of it.
    """
    if preprocessing.variant == "report":
        return 0.0, 0.0, float(width), float(height)
    shorter = int(preprocessing.size / preprocessing.crop_pct)
    side = min(height, width) * preprocessing.size / shorter
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
