"""Where in a picture a network found its answer: Grad-CAM on its last map, or on a transformer's patches."""

from typing import Any

import numpy as np
import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from linnaea.classifiers.finetune import inference
from linnaea.classifiers.finetune.device import autocast, room_to_predict
from linnaea.classifiers.finetune.pictures import batches
from linnaea.classifiers.finetune.preprocessing import Preprocessing


class _LastMap(nn.Module):
    """A network of convolutions up to its last map, as captum wants it: one module that is attributed to.

    Only what comes after is differentiated: the map leaves as a constant, so that the whole costs one forward
    pass, and no activation is kept.
    """

    def __init__(self, network: Any, precision: str, first: bool) -> None:
        super().__init__()
        self.network, self.precision, self.first = network, precision, first

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the map (n, channels, height, width), float32."""
        with torch.no_grad(), autocast(pictures.device, self.precision):
            found = self.network.forward_features(pictures)
        found = found if self.first else found.permute(0, 3, 1, 2)
        return found.float().requires_grad_()

    def pooled(self, found: Tensor) -> Tensor:
        """Return the features (n, width) that follow from such a map."""
        found = found if self.first else found.permute(0, 2, 3, 1)
        return self.network.forward_head(found, pre_logits=True)


class _LastTokens(nn.Module):
    """The same of a transformer: its patches, laid out as a map, as they enter its last block.

    Behind that block the class token has taken what it needs, and the patches no longer count.
    """

    def __init__(self, network: Any, precision: str) -> None:
        super().__init__()
        self.network, self.precision = network, precision
        self.prefix = torch.empty(0)  # the tokens that stand for no patch, of the pictures seen last

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the map (n, channels, height, width), float32."""
        seen: list[Tensor] = []
        hook = self.network.blocks[-1].register_forward_pre_hook(lambda block, given: seen.append(given[0]))
        try:
            with torch.no_grad(), autocast(pictures.device, self.precision):
                self.network.forward_features(pictures)
        finally:
            hook.remove()
        tokens, number = seen[0].float(), self.network.num_prefix_tokens
        self.prefix = tokens[:, :number]
        patches = tokens[:, number:].transpose(1, 2)
        height, width = pictures.shape[-2:]
        grid = self.network.patch_embed.dynamic_feat_size((height, width))
        return patches.unflatten(2, grid).contiguous().requires_grad_()

    def pooled(self, found: Tensor) -> Tensor:
        """Return the features (n, width) that follow from such a map."""
        tokens = torch.cat([self.prefix, found.flatten(2).transpose(1, 2)], dim=1)
        last = self.network.norm(self.network.blocks[-1](tokens))
        return self.network.forward_head(last, pre_logits=True)


class _Whole(nn.Module):
    """Pictures → map → logits, each less their mean over the classes, which softmax does not see."""

    def __init__(self, network: Any, found: _LastMap | _LastTokens) -> None:
        super().__init__()
        self.map, self.network = found, network

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (n, classes), float32."""
        logits = self.network.get_classifier()(self.map.pooled(self.map(pictures)))
        return logits - logits.mean(1, keepdim=True)


def heat_maps(classifier: Any, X: Any, columns: np.ndarray) -> np.ndarray | None:
    """Return how much each place speaks for a class, float32 (n, h, w), 0 or more; None without a map.

    Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) by captum, in one forward pass a picture. It covers
    what the network sees of a picture (see seen_box). Of a transformer, the map is that of its patches before
    the last block; networks with neither have none.

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
                last = _last_map(network, pictures[:1], classifier.precision_)
                if last is None:
                    return None
                method = LayerGradCam(_Whole(network, last), last)
            heat = method.attribute(pictures, targets[done : done + len(batch)], relu_attributions=True)
            done += len(batch)
            found.append(heat.detach()[:, 0].float().cpu().numpy())
    return np.concatenate(found) if found else None


def _last_map(network: Any, picture: Tensor, precision: str) -> _LastMap | _LastTokens | None:
    """Return what is attributed to; None for a network that makes vectors, or tokens in a way of its own."""
    if isinstance(network, VisionTransformer):
        return _LastTokens(network, precision)
    with torch.no_grad(), autocast(picture.device, precision):
        found = network.forward_features(picture)
    if not isinstance(found, Tensor) or found.ndim != 4 or min(found.shape) == 0:
        return None
    return _LastMap(network, precision, channels_first(found, network.num_features))


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
