"""What pretrained weights expect of a picture, in one value that travels with them."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from linnaea.data.decoding import ValueRange
from linnaea.errors import DataError, SettingError, did_you_mean
from linnaea.settings import MAX_SIDE

VARIANTS = ("weights", "report")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
CROP_MODES = ("center", "squash", "border")
"""timm's ways from a picture to a square."""

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
        The picture is resized to size / crop_pct (rounded down), then the middle is cut out. From 0.5 to 1:
        with less, pictures would be enlarged for pixels that nobody looks at.
    crop_mode: str
        What is resized to that: "center" the shorter side, "squash" both, whatever the proportions, "border"
        the longer side, with a border in the colour of the mean around the rest.
    interpolation: str
        "nearest", "bilinear", "bicubic" or "lanczos", always with antialiasing, as Pillow does it.
    variant: str
        "weights": as above. "report": the original report's way: scaled only, squeezed to 150 x 150
        whatever its proportions, then enlarged to size x size; crop_pct and crop_mode are not used.
    value_range: (float, float), "picture" or None
        What a file's numbers of more than 8 bits are decoded with (see decoding.read_picture); the same for
        every picture that the network was trained on.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float = 1 / 255
    crop_pct: float = 0.875
    interpolation: str = "bicubic"
    variant: str = "weights"
    crop_mode: str = "center"
    value_range: ValueRange | None = None

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise SettingError(
                f"There is no preprocessing {_shown(self.variant)}.", _near(self.variant, VARIANTS)
            )
        if self.interpolation not in INTERPOLATIONS:
            raise SettingError(
                f"There is no interpolation {_shown(self.interpolation)}.",
                _near(self.interpolation, INTERPOLATIONS),
            )
        if self.crop_mode not in CROP_MODES:
            raise SettingError(
                f"There is no crop_mode {_shown(self.crop_mode)}.", _near(self.crop_mode, CROP_MODES)
            )
        for name, (expected, accepts) in _RULES.items():
            value = getattr(self, name)
            if not accepts(value):
                raise SettingError(f"{name} must be {expected}; received {_shown(value)}.")

    @classmethod
    def report(cls, size: int = 224) -> "Preprocessing":
        """Return the original report's variant: 0 to 1 only, down to 150 x 150, then up to size x size."""
        return cls(
            size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), crop_pct=1.0, interpolation="bilinear", variant="report"
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], size: int | None = None) -> "Preprocessing":
        """Return what a timm configuration (pretrained_cfg) asks for; size overrides its input_size.

        A key that is missing takes timm's own default (`timm.data.resolve_data_config`). Raises SettingError,
        naming the key, for a value of another kind or out of range.
        """
        sides = config.get("input_size", (3, 224, 224))
        crop_pct = config.get("crop_pct") or 0.875
        if not isinstance(sides, (list, tuple)) or len(sides) != 3 or not _is_side(sides[-1]):
            raise SettingError(
                f"input_size must be [3, height, width] with sides from 1 to {MAX_SIDE:,}; "
                f"received {_shown(sides)}."
            )
        return cls(
            size=size or sides[-1],
            mean=_three(config.get("mean", (0.485, 0.456, 0.406))),
            std=_three(config.get("std", (0.229, 0.224, 0.225))),
            crop_pct=float(crop_pct) if _RULES["crop_pct"][1](crop_pct) else crop_pct,
            interpolation=config.get("interpolation") or "bilinear",
            crop_mode=config.get("crop_mode") or "center",
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Return the preprocessing that as_dict wrote.

        Raises SettingError for a key that it does not know or lacks, and for a value that is refused.
        """
        if not isinstance(values, Mapping):
            raise SettingError(f"The preprocessing must be an object; received {_shown(values)}.")
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise SettingError(
                f"The preprocessing has no setting {_shown(unknown[0])}.",
                _near(unknown[0], cls.__dataclass_fields__),
            )
        # Older models were always cut out of the middle, and had no range.
        values = {"crop_mode": "center", "value_range": None, **values}
        missing = [name for name in cls.__dataclass_fields__ if name not in values]
        if missing:
            raise SettingError(f"The preprocessing lacks {', '.join(missing)}.")
        value_range = values["value_range"]
        if isinstance(value_range, list):
            value_range = tuple(value_range)
        tuples = {"mean": _three(values["mean"]), "std": _three(values["std"]), "value_range": value_range}
        return cls(**{**values, **tuples})

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for model.json."""
        value_range = list(self.value_range) if isinstance(self.value_range, tuple) else self.value_range
        return {
            **asdict(self),
            "mean": list(self.mean),
            "std": list(self.std),
            "value_range": value_range,
        }

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

    def fit_one(self, picture: torch.Tensor) -> torch.Tensor:
        """Return uint8 (3, size, size) of one uint8 picture (3, height, width), on its device; as fit."""
        # Rows of pixels together, as fit has them: that resizes faster.
        return self._resize(picture[None].contiguous(memory_format=torch.channels_last))[0]

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
        side = math.floor(self.size / self.crop_pct)
        if self.crop_mode == "squash":
            scaled = self._scaled(pictures, [side, side])
        elif self.crop_mode == "border":
            scaled = self._framed(pictures, side)
        else:
            scaled = self._scaled(pictures, [side])
        return functional.center_crop(scaled, [self.size, self.size])

    def _framed(self, pictures: torch.Tensor, side: int) -> torch.Tensor:
        """Resize the longer side to `side`, and put a border around what is smaller than the square then."""
        ratio = max(pictures.shape[-2:]) / side
        height, width = (max(round(length / ratio), 1) for length in pictures.shape[-2:])
        across, down = max(self.size - width, 0), max(self.size - height, 0)
        # Left, top, right, bottom: an odd pixel goes to the right and to the bottom, as timm has it.
        border = [across // 2, down // 2, (across + 1) // 2, (down + 1) // 2]
        colour = [min(max(round(255 * value), 0), 255) for value in self.mean]
        return functional.pad(self._scaled(pictures, [height, width]), border, fill=colour)

    def _scaled(self, pictures: torch.Tensor, size: list[int]) -> torch.Tensor:
        mode = InterpolationMode(self.interpolation)
        if mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
            return functional.resize(pictures, size, mode, antialias=True)
        # For tensors torchvision has no Lanczos, and its nearest takes other pixels than Pillow's.
        through_pillow = [functional.resize(functional.to_pil_image(one), size, mode) for one in pictures]
        return torch.stack([functional.pil_to_tensor(one) for one in through_pillow]).to(pictures.device)


def _channels_first(pictures: np.ndarray) -> torch.Tensor:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3 or 0 in pictures.shape[1:]:
        raise DataError(
            f"A picture has the shape {pictures.shape[1:]} and the type {pictures.dtype}.",
            "Pass colour pictures as uint8 (height, width, 3).",
        )
    # torch has no read-only tensors and warns of them: what a memory map lends is copied.
    pictures = np.ascontiguousarray(pictures) if pictures.flags.writeable else pictures.copy()
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def _three(values: Any) -> Any:
    """Return three numbers as floats; anything else as it is, for the rules to refuse."""
    return tuple(map(float, values)) if _are_three(-_LARGEST, _LARGEST)(values) else values


def _number(low: float, high: float) -> Callable[[Any], bool]:
    # NaN fails every comparison.
    return lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v <= high


def _are_three(low: float, high: float) -> Callable[[Any], bool]:
    each = _number(low, high)
    return lambda v: isinstance(v, (list, tuple)) and len(v) == 3 and all(each(item) for item in v)


def _is_value_range(value: Any) -> bool:
    if value is None or value == "picture":
        return True
    number = _number(-_LARGEST_VALUE, _LARGEST_VALUE)
    return isinstance(value, tuple) and len(value) == 2 and all(map(number, value)) and value[0] < value[1]


def _is_side(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 1 <= int(value) <= MAX_SIDE


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _near(value: Any, known: Iterable[str]) -> str:
    return did_you_mean(str(value)[:100], known)


# Far beyond what networks are trained with (0..1 or 0..255), and small enough that every quotient of two of
# them, and of a pixel, is a finite float32.
_LARGEST = 1e6
_LARGEST_VALUE = 1e300  # of a picture's numbers
_LEAST_CROP = 0.5  # timm's networks: 0.8 and more. Pictures are then resized to twice the size at most.
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "size": (f"an integer from 1 to {MAX_SIDE:,} pixels", _is_side),
    "mean": ("three numbers (red, green, blue) of at most 1e6", _are_three(-_LARGEST, _LARGEST)),
    "std": ("three numbers (red, green, blue) from 1e-6 to 1e6", _are_three(1 / _LARGEST, _LARGEST)),
    "scale": ("a number from 1e-6 to 1e6", _number(1 / _LARGEST, _LARGEST)),
    "value_range": ("two numbers, the lower first, 'picture' or nothing", _is_value_range),
    "crop_pct": (f"a number from {_LEAST_CROP} to 1", _number(_LEAST_CROP, 1)),
}
