"""The networks that have short names, and what there is to say of them without timm, a second's import.

The ResNets take torchvision's first weights (tv_in1k; ResNet50: 76.1 % of ImageNet): 90 epochs with plain
crops and flips, so they are the nearest to those of the ResNet paper and of Keras that the original report
started from. timm's default tags come from far longer recipes (mixup, up to 600 epochs, another loss).
"""

from typing import NamedTuple


class Known(NamedTuple):
    """What timm says of a network; tests hold it to that.

    timm: its name, with a tag where the weights are not timm's default
    weights: which these are; they lie in the hub, as timm/ARCHITECTURE.TAG
    size: side of its pictures, in pixels
    """

    timm: str
    weights: str
    size: int = 224


# Its ImageNet weights are a Python package, so that a first run needs no hub.
PACKAGED = "tf_efficientnet_lite0"
KNOWN = {
    "efficientnet_lite0": Known(PACKAGED, PACKAGED),
    "mobilenetv1": Known("mobilenetv1_100", "mobilenetv1_100.ra4_e3600_r224_in1k"),
    "mobilenetv2": Known("mobilenetv2_100", "mobilenetv2_100.ra_in1k"),
    **{
        f"resnet{depth}": Known(f"resnet{depth}.tv_in1k", f"resnet{depth}.tv_in1k")
        for depth in (18, 34, 50, 101, 152)
    },
}
SHORT_NAMES = {name: known.timm for name, known in KNOWN.items()}
