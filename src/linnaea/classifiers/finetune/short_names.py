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
    megabytes: of the file of weights, 10^6 bytes
    size: side of its pictures, in pixels; DINOv2's networks learned at 518, and are used at 224
    """

    timm: str
    weights: str
    megabytes: int
    size: int = 224


class Candidate(NamedTuple):
    """One of the networks that --model auto chooses from. No licence of them binds who uses the network.

    name: its short name
    cost: time of a picture's features on two cores, as a multiple of EfficientNet-Lite0's
    purpose: what it is there for
    """

    name: str
    cost: float
    purpose: str


# Its ImageNet weights are a Python package, so that a first run needs no hub.
PACKAGED = "tf_efficientnet_lite0"
KNOWN = {
    "efficientnet_lite0": Known(PACKAGED, PACKAGED, 19),
    "mobilenetv1": Known("mobilenetv1_100", "mobilenetv1_100.ra4_e3600_r224_in1k", 17),
    "mobilenetv2": Known("mobilenetv2_100", "mobilenetv2_100.ra_in1k", 14),
    **{
        f"resnet{depth}": Known(f"resnet{depth}.tv_in1k", f"resnet{depth}.tv_in1k", megabytes)
        for depth, megabytes in ((18, 47), (34, 87), (50, 102), (101, 179), (152, 242))
    },
    **{
        name: Known(weights, weights, megabytes)
        for name, weights, megabytes in (
            ("vit_tiny", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", 23),
            ("vit_small", "vit_small_patch16_224.augreg_in21k_ft_in1k", 88),
            ("dinov2_small", "vit_small_patch14_dinov2.lvd142m", 88),
            ("dinov2_base", "vit_base_patch14_dinov2.lvd142m", 346),
        )
    },
}
SHORT_NAMES = {name: known.timm for name, known in KNOWN.items()}

# From tiny to large; the first needs no hub.
CANDIDATES = (
    Candidate("efficientnet_lite0", 1.0, "installed with Linnaea"),
    Candidate("vit_tiny", 1.0, "learned from 21,000 kinds of things"),
    Candidate("vit_small", 3.0, "the same, larger"),
    Candidate("dinov2_small", 4.0, "learned from 142 million pictures, no labels"),
    Candidate("dinov2_base", 12.0, "the same, larger: for a GPU"),
)
