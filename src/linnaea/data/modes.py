"""Pillow's many modes become RGB, as a viewer shows them, in strips: no second copy of a huge picture."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageCms

STRIP = 1 << 22
"""Pixels converted at a time: a photograph of 4 million goes whole, a scan of 100 million needs 1/25 more."""

_ALPHA = {"RGBA", "RGBa", "LA", "La", "PA"}


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a Pillow image of any mode as RGB, the way a viewer shows it (see pictures.read_picture)."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    # Pillow itself would cut these off at 255 instead of scaling them: a 16-bit scan would come out white.
    if image.mode.startswith(("I", "F")):
        return _in_strips(image, _to_8_bits(image))
    if image.mode in _ALPHA or "transparency" in image.info:
        return _in_strips(image, _on_white)
    # The one mode for which Pillow has no formula of its own.
    if image.mode == "LAB":
        return _in_strips(image, _from_lab)
    return image.convert("RGB")


def to_array(image: Image.Image) -> np.ndarray:
    """Return an RGB image as uint8 (height, width, 3)."""
    if image.width * image.height <= STRIP:
        return np.asarray(image)
    # Pillow hands its pixels over as bytes, and joins them once more: three copies of a huge picture.
    array = np.empty((image.height, image.width, 3), np.uint8)
    for top, strip in _strips(image):
        array[top : top + strip.height] = np.asarray(strip)
    return array


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    if image.width * image.height <= STRIP:
        return convert(image)
    whole = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        whole.paste(convert(strip), (0, top))
    return whole


def _on_white(image: Image.Image) -> Image.Image:
    # Dropping the alpha channel would show whatever colour hides under the transparent pixels, often black.
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    return ImageCms.profileToProfile(  # type: ignore[return-value]
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )


def _to_8_bits(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Scale 16-bit numbers by their high byte, others from the first usual range that holds them all."""
    kind = np.asarray(image.crop((0, 0, 1, 1))).dtype
    # Pillow reads colour of 16 bits by its high byte too, so grey and colour agree.
    if kind.kind == "u" and kind.itemsize == 2:
        return lambda strip: Image.fromarray((np.asarray(strip) >> 8).astype(np.uint8)).convert("RGB")
    usual = (1.0, 255.0, 65535.0) if kind.kind == "f" else (65535.0,)
    ranges = [(float(values.min()), float(values.max())) for values in map(_finite, _all_strips(image))]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    fitting = [top for top in usual if low >= 0 and high <= top]
    if fitting:
        low, high = 0.0, fitting[0]

    def scaled(strip: Image.Image) -> Image.Image:
        values = (_finite(strip) - low) * (255.0 / max(high - low, 1e-12))
        return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")

    return scaled


def _all_strips(image: Image.Image) -> Iterator[Image.Image]:
    return (strip for _, strip in _strips(image))


def _finite(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
