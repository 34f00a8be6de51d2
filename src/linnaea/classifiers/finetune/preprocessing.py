"""What pretrained weights expect of a picture, in one value that travels with them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from linnaea.errors import DataError, SettingError, did_you_mean

VARIANTS = ("weights", "report")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")

# The original report shrank every picture to this many pixels a side before enlarging it again.
REPORT_SMALL_SIZE = 150


@dataclass(frozen=True)
class Preprocessing:
    """From a picture as decoded to the numbers that a network was trained on.

    size: int
        Side of the square that the network sees, in pixels.
    mean, std: three floats
        Mean and deviation of the channels (red, green, blue) after scaling.
    scale: float
        What 0..255 is multiplied with; 1/255 brings it to 0..1.
    crop_pct: float
        The shorter side is resized to size / crop_pct (rounded down), then the middle is cut out.
    interpolation: str
        "nearest", "bilinear", "bicubic" or "lanczos", always with antialiasing, as Pillow does it.
    variant: str
        "weights": as above. "report": the original report's way: scaled only, squeezed to 150 x 150
        whatever its proportions, then enlarged to size x size; crop_pct is not used.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float = 1 / 255
    crop_pct: float = 0.875
    interpolation: str = "bicubic"
    variant: str = "weights"

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise SettingError(
                f"There is no preprocessing '{self.variant}'.", did_you_mean(self.variant, VARIANTS)
            )
        if self.interpolation not in INTERPOLATIONS:
            raise SettingError(
                f"There is no interpolation '{self.interpolation}'.",
                did_you_mean(self.interpolation, INTERPOLATIONS),
            )
        if self.size < 1 or not 0 < self.crop_pct <= 1:
            raise SettingError(
                f"A picture cannot be prepared with size {self.size} and crop_pct {self.crop_pct}.",
                "The size is at least 1 pixel, crop_pct above 0 and at most 1.",
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise SettingError(
                f"A mean {self.mean} with a deviation {self.std} does not fit a colour picture.",
                "Each holds three numbers (red, green, blue), and a deviation is above 0.",
            )

    @classmethod
    def report(cls, size: int = 224) -> "Preprocessing":
        """Return the original report's variant: 0 to 1 only, down to 150 x 150, then up to size x size."""
        return cls(
            size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), crop_pct=1.0, interpolation="bilinear", variant="report"
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], size: int | None = None) -> "Preprocessing":
        """Return what a timm configuration (pretrained_cfg) asks for; size overrides its input_size.

        A key that is missing takes timm's own default (`timm.data.resolve_data_config`).
        """
        return cls(
            size=size or int(config.get("input_size", (3, 224, 224))[-1]),
            mean=_three(config.get("mean", (0.485, 0.456, 0.406))),
            std=_three(config.get("std", (0.229, 0.224, 0.225))),
            crop_pct=float(config.get("crop_pct") or 0.875),
            interpolation=str(config.get("interpolation") or "bilinear"),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Return the preprocessing that as_dict wrote; raises SettingError for a key it does not know."""
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise SettingError(
                f"The preprocessing has no setting '{unknown[0]}'.",
                did_you_mean(unknown[0], cls.__dataclass_fields__),
            )
        return cls(**{**values, "mean": _three(values["mean"]), "std": _three(values["std"])})

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for model.json."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def apply(self, pictures: np.ndarray | Iterable[np.ndarray]) -> torch.Tensor:
        """Return float32 (n, 3, size, size) for evaluation: fit, then normalize.

        pictures: uint8 (n, height, width, 3), or a list of uint8 (height, width, 3) of any sizes.
        """
        return self.normalize(self.fit(pictures))

    def fit(self, pictures: np.ndarray | Iterable[np.ndarray]) -> torch.Tensor:
        """Resize and crop: return uint8 (n, 3, size, size), which is what a cache should hold.

        The arithmetic is that of timm's evaluation transform (`timm.data.create_transform`), which
        works on Pillow pictures; torchvision's uint8 resize agrees with Pillow to one level of 255.
        Raises DataError for anything but uint8 colour pictures.
        """
        if isinstance(pictures, np.ndarray) and pictures.ndim == 4:
            return self._resize(_channels_first(pictures))
        fitted = [self._resize(_channels_first(np.asarray(picture)[None])) for picture in pictures]
        return torch.cat(fitted) if fitted else torch.empty((0, 3, self.size, self.size), dtype=torch.uint8)

    def normalize(self, pictures: torch.Tensor) -> torch.Tensor:
        """Scale and standardise (n, 3, h, w) of 0..255 (uint8 or float, any device): float32, same shape."""
        # One multiplication and one addition: (scale · x - mean) / std.
        std = torch.tensor(self.std, device=pictures.device).view(3, 1, 1)
        mean = torch.tensor(self.mean, device=pictures.device).view(3, 1, 1)
        return torch.addcmul(-mean / std, pictures.to(torch.float32), self.scale / std)

    def _resize(self, pictures: torch.Tensor) -> torch.Tensor:
        if self.variant == "report":
            small = self._scaled(pictures, [REPORT_SMALL_SIZE, REPORT_SMALL_SIZE])
            return self._scaled(small, [self.size, self.size])
        shorter_side = math.floor(self.size / self.crop_pct)
        return functional.center_crop(self._scaled(pictures, [shorter_side]), [self.size, self.size])

    def _scaled(self, pictures: torch.Tensor, size: list[int]) -> torch.Tensor:
        mode = InterpolationMode(self.interpolation)
        if mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
            return functional.resize(pictures, size, mode, antialias=True)
        # For tensors torchvision has no Lanczos, and its nearest takes other pixels than Pillow's.
        through_pillow = [functional.resize(functional.to_pil_image(one), size, mode) for one in pictures]
        return torch.stack([functional.pil_to_tensor(one) for one in through_pillow])


def _channels_first(pictures: np.ndarray) -> torch.Tensor:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3 or 0 in pictures.shape[1:]:
        raise DataError(
            f"A picture has the shape {pictures.shape[1:]} and the type {pictures.dtype}.",
            "Pass colour pictures as uint8 (height, width, 3).",
        )
    # torch has no read-only tensors and warns of them: what a memory map lends is copied.
    pictures = np.ascontiguousarray(pictures) if pictures.flags.writeable else pictures.copy()
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
