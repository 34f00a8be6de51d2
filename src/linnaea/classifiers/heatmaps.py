"""Heat maps of any classifier: the one place that knows how each kind's are found."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]

# Width of the filter over a perceptron's heat, as a share of the side: single pixels are noise to the eye.
_BLUR = 1 / 28


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """How much each place of n pictures speaks for a class.

    heat: ndarray of float32 (n, h, w)
        0 or more, each map's largest value 1 (or all 0: nothing speaks for the class).
    method: str
        How they were made, for a caption.
    """

    heat: np.ndarray
    method: str

    def over(self, number: int, box: Box, height: int, width: int) -> np.ndarray:
        """Return one map laid over a picture of height x width pixels, float32 in 0 to 1.

        box: left, top, right, bottom of what the network saw, in the picture's pixels; outside it: NaN.
        """
        left, top, right, bottom = box
        rows, columns = self.heat.shape[1:]
        # Pixel (x, y) of the picture asks for the place (x - left) · columns / (right - left) of the map.
        across, down = columns / (right - left), rows / (bottom - top)
        laid = Image.fromarray(np.pad(self.heat[number], 2, mode="edge")).transform(
            (width, height),
            Image.Transform.AFFINE,
            (across, 0, 2 - left * across, 0, down, 2 - top * down),
            Image.Resampling.BICUBIC,
        )
        spread = np.array(laid, dtype=np.float32).clip(0, 1)  # a cubic filter swings over a little
        y, x = np.arange(height)[:, None] + 0.5, np.arange(width)[None] + 0.5
        spread[~((x > left) & (x < right) & (y > top) & (y < bottom))] = np.nan
        return spread


def heat_maps(classifier: Any, X: Any, columns: np.ndarray) -> HeatMaps | None:
    """Return what in each picture of X speaks for a class; None where the network has no such map.

    Networks with a last map: Grad-CAM. Perceptrons: integrated gradients.

    X: as the classifier's predict takes it, a few dozen pictures.
    columns: int (n,)
        The class of each picture, as its column in classes_; as a rule the predicted one.
    """
    if classifier.takes_photographs:
        from linnaea.classifiers.finetune import heatmaps

        found = heatmaps.heat_maps(classifier, X, columns)
        return None if found is None else HeatMaps(_scaled(found), "Grad-CAM on the last map")
    from linnaea.classifiers.perceptron.saliency import attributions

    found = attributions(
        classifier.parameters_, classifier.sizes_, classifier.activation, np.asarray(X), columns
    )
    squares = _squares(found)
    return None if squares is None else HeatMaps(_scaled(squares), "integrated gradients from black")


def seen_box(classifier: Any, height: int, width: int) -> Box:
    """Return the part of a picture that the classifier sees: left, top, right, bottom, in its pixels."""
    if classifier.takes_photographs:
        from linnaea.classifiers.finetune import heatmaps

        return heatmaps.seen_box(classifier.preprocessing_, height, width)
    side = min(height, width)  # as fit_picture crops
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _squares(found: np.ndarray) -> np.ndarray | None:
    """Return (n, side, side) of (n, side·side) or (n, side·side·3), smoothed; None for other rows."""
    from scipy.ndimage import gaussian_filter

    number, features = found.shape
    for channels in (1, 3):
        side = round((features / channels) ** 0.5)
        if side * side * channels == features:
            maps = found.reshape(number, side, side, channels).sum(axis=3)
            blur = side * _BLUR
            return gaussian_filter(maps, (0, blur, blur))
    return None


def _scaled(heat: np.ndarray) -> np.ndarray:
    heat = np.maximum(np.nan_to_num(heat.astype(np.float32)), 0)
    largest = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(largest > 0, largest, 1)
