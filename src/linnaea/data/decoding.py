"""A file becomes an upright RGB array: the one place that decodes pictures."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from linnaea import reading
from linnaea.data import damage
from linnaea.data.headers import more_than_8_bits, open_image, orientation
from linnaea.errors import DataError, LinnaeaError
from linnaea.hashing import content_hash

MAX_PIXELS = 178_956_970
"""The largest picture that is decoded: 512 MiB as RGB. More is a decompression bomb or a mistake.

So many pixels are also in work at once, whatever the number of threads. At worst (WebP) Pillow needs 16 bytes
for each, so that decoding never takes more than 2.9 GB, and seldom a tenth of it.
"""

SUFFIXES = frozenset(
    [
        ".avif",
        ".bmp",
        ".dib",
        ".gif",
        ".heic",
        ".heif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
"""The endings, in lower case, by which a file in a folder counts as a picture."""

STRIP = 1 << 22
"""Pixels converted at a time: a photograph of 4 million goes whole, a scan of 100 million needs 1/25 more."""

ValueRange = tuple[float, float] | Literal["picture"]
"""Which numbers of more than 8 bits are black and white; "picture": those of each picture itself."""

_FULL = (0.0, 65535.0)
_EVEN = 10  # levels of 255 between the 1st and the 99th percentile: less, and there is nothing to be seen

_SAMPLED = 4000  # numbers that speak for a picture
_LEAST = 0.01  # share of the numbers that is not constant, or nothing can be said about how far it reaches
_FAR = 25  # times as far as it reaches: on one scale with what lies there it has fewer than 10 of 256 levels

_ALPHA = {"RGBA", "RGBa", "LA", "La", "PA"}

# EXIF 2.32, tag 0x0112: what must be done to show the picture upright (1: nothing).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(
    path: Path | str,
    *,
    enough: int | None = None,
    longest_side: int | None = None,
    shortest_side: int | None = None,
    known: str | None = None,
    value_range: ValueRange | None = None,
) -> np.ndarray:
    """Return a picture as a viewer shows it: upright by its EXIF orientation, RGB, first frame.

    Transparency lies on white, or on black where nothing could be seen on white; 16-bit and float values are
    scaled to 8 bits, CMYK is converted. Colour profiles are not applied: pretrained networks learned from
    pictures read that way.

    Parameters
    ----------
    path: Path or str
        JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF, JPEG 2000, PPM, TGA; HEIC with pillow-heif.
    enough: int, optional
        A shorter side, in pixels, that is enough: a larger JPEG may then be decoded at 1/2, 1/4 or 1/8 of its
        size, several times faster, its shorter side never under this.
    longest_side: int, optional
        Reduce the picture, in proportion, so that its longer side has at most so many pixels.
    shortest_side: int, optional
        Reduce the picture, in proportion, so that its shorter side has at most so many pixels: what the
        evaluation of a network on photographs does first. The longer side is rounded down, as torchvision's
        resize does.
    known: str, optional
        The hash that the file had when it was scanned (see hashing.content_hash).
    value_range: (float, float) or "picture", optional
        The numbers of more than 8 bits that are black and white; those beyond are cut off. "picture": the
        darkest and the brightest of this picture, but for a thousandth of its pixels. None: 16 bits by their
        high byte, others from the first usual range that holds them all. Pictures of 8 bits have no use for
        it.

    Returns
    -------
    ndarray of uint8, (height, width, 3)

    Raises DataError, naming the file and the reason, for a file that cannot be read as a picture or is not
    the known one any more, and MissingExtraError for HEIC without pillow-heif.
    """
    content = content_of(path)
    if known and content_hash(content) != known:
        raise DataError(
            f"{path} has changed since the pictures were scanned.",
            "Restore it, or begin a new run with the pictures as they are now.",
        )
    return decode_picture(
        content,
        str(path),
        enough=enough,
        longest_side=longest_side,
        shortest_side=shortest_side,
        value_range=value_range,
    )


def content_of(path: Path | str) -> bytes:
    """Return the bytes of a picture's file. Raises DataError, naming it and the reason, where it has none."""
    try:
        return read_content(path)
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder.", f"Give the pictures in it: {path}/*") from error
    except (OSError, ValueError) as error:
        if isinstance(error, LinnaeaError):
            raise
        # A zero character in a name is a ValueError of Python's.
        raise DataError(
            f"{path} could not be read ({getattr(error, 'strerror', None) or error}).",
            "Check the path and its permissions.",
        ) from error


def read_content(path: Path | str, name: str = "") -> bytes:
    """Return the bytes of a picture's file; name is what errors call it.

    Raises DataError for a pipe, a device or a file above reading.MAX_PICTURE, before anything is read, and
    OSError as opening does.
    """
    return reading.read_bytes(path, reading.MAX_PICTURE, name)


def decode_picture(
    content: bytes,
    name: str,
    *,
    enough: int | None = None,
    longest_side: int | None = None,
    shortest_side: int | None = None,
    value_range: ValueRange | None = None,
) -> np.ndarray:
    """Return the picture in the bytes of a file; name is what errors call it. Otherwise like read_picture."""
    if not content:
        raise _unreadable(name, "is empty (0 bytes)")
    try:
        with open_image(content) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(name, f"{image.width:,} x {image.height:,} pixels")
            reason = damage.hidden(image.format, content)
            if reason:
                raise _unreadable(name, reason)
            _draft(image, enough, longest_side, shortest_side)
            with _ALLOWANCE.taken(image.width * image.height):
                array = to_array(_prepared(image, longest_side, shortest_side, value_range))
                # Its pixels go before the next picture may come.
                image.close()
            return array
    except LinnaeaError:
        raise
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        raise _too_large(name, f"{int(pixels[0]):,} pixels" if pixels else str(error)) from error
    except UnidentifiedImageError as error:
        raise _unreadable(name, damage.what_it_is(content)) from error
    except Exception as error:
        # Pillow answers damaged files with nearly every kind of exception (OSError, SyntaxError, ValueError,
        # struct.error, IndexError, ...); whichever it is, the user has a damaged file.
        raise _unreadable(name, damage.explanation(error, len(content))) from error


def fit_picture(picture: np.ndarray, size: int, colour: bool = False) -> np.ndarray:
    """Return the middle of a picture as a square of size x size pixels.

    The longer side is cropped at both ends, so that nothing is stretched; then Pillow's bilinear filter,
    which widens when it reduces, resizes without aliasing. A picture that has the size already stays exactly
    itself.

    Parameters
    ----------
    picture: ndarray of uint8, (height, width) or (height, width, 3)
    size: int
        In pixels.
    colour: bool
        Whether to return (size, size, 3) RGB, else (size, size) grey (luma of ITU-R BT.601).
    """
    image = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB" if colour else "L")
    if image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        middle = image.crop((left, top, left + side, top + side))
        image = middle.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(image)


def value_sample(content: bytes) -> tuple[np.ndarray, bool] | None:
    """Return a sample of the numbers in a file's picture (see ordered_numbers), and whether they are whole.

    None for a picture of 8 bits, and for one that cannot be read: decoding reports what is wrong with it.
    """
    try:
        with open_image(content) as image:
            if not more_than_8_bits(image) or image.width * image.height > MAX_PIXELS:
                return None
            with _ALLOWANCE.taken(image.width * image.height):
                image.load()
                if image.mode.startswith(("I", "F")):
                    numbers = np.asarray(image)
                else:
                    numbers = _colours(np.asarray(image), image.mode) * np.uint16(257)
                found = ordered_numbers(numbers)
            return (found, numbers.dtype.kind != "f") if len(found) else None
    except Exception:
        # As many kinds of exception as in decode_picture.
        return None


def ordered_numbers(numbers: np.ndarray) -> np.ndarray:
    """Return up to _SAMPLED of the finite numbers, evenly from the lowest to the highest: float64.

    One in a thousand at either end, and one more, are left out: a sensor's dead and hot pixels are so many.
    """
    flat = numbers.reshape(-1)
    # A million are enough.
    flat = flat[:: max(1, len(flat) >> 20)]
    if flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if not len(flat):
        return np.zeros(0)
    left_out = min(len(flat) // 1000 + 1, (len(flat) - 1) // 2)
    ordered = np.sort(flat)[left_out : len(flat) - left_out]
    return ordered[np.linspace(0, len(ordered) - 1, min(_SAMPLED, len(ordered))).astype(int)].astype(float)


def without_fills(samples: list[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
    """Return the samples of pictures without what stands for no value, and the numbers that do, in order.

    Such a number (-9999, -32768, 65535) is the lowest or the highest of a picture many times over, and so far
    from what else all of them hold that this would have fewer than 10 of 256 levels on one scale with it.
    """
    ends = {end for sample in samples for end in sample[[0, -1]].tolist() if (sample == end).sum() > 1}
    together = np.concatenate(samples)
    rest = together[~np.isin(together, list(ends))]
    if len(rest) < _LEAST * len(together):
        return samples, []
    low, high = np.percentile(rest, (1, 99)).tolist()
    spread = high - low
    fills = sorted(end for end in ends if spread and max(low - end, end - high) > _FAR * spread)
    if not fills:
        return samples, []
    # Where a picture was resized, numbers between the two came to lie along a border.
    lowest = low - spread if fills[0] < low else -np.inf
    highest = high + spread if fills[-1] > high else np.inf
    kept = [sample[(sample >= lowest) & (sample <= highest)] for sample in samples]
    return [sample for sample in kept if len(sample)], fills


def _prepared(
    image: Image.Image,
    longest_side: int | None,
    shortest_side: int | None,
    value_range: ValueRange | None,
) -> Image.Image:
    # Before it is loaded: Pillow reads colour of 16 bits by its high byte, and forgets that it did.
    high_bytes = value_range is not None and more_than_8_bits(image)
    image.load()
    # Only now: the orientation of a TIFF is applied by Pillow itself while loading, and that of a PNG may
    # stand after the pixels.
    turn = _UPRIGHT.get(orientation(image))
    image = to_rgb(image, value_range, high_bytes=high_bytes)
    if longest_side is not None and max(image.size) > longest_side:
        image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    if shortest_side is not None and min(image.size) > shortest_side:
        short = min(image.size)
        width, height = (int(shortest_side * length / short) for length in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return image.transpose(turn) if turn is not None else image


def _draft(
    image: Image.Image, enough: int | None, longest_side: int | None, shortest_side: int | None
) -> None:
    """Let the JPEG decoder work at 1/2, 1/4 or 1/8 where that is enough (other formats ignore it)."""
    scales = []
    if enough is not None:
        scales.append(enough / min(image.size))
    if longest_side is not None:
        # Twice the size asked for: the rest is done by a filter, which looks better than the decoder's
        # average.
        scales.append(2 * longest_side / max(image.size))
    if shortest_side is not None:
        scales.append(2 * shortest_side / min(image.size))
    scale = max(scales, default=1.0)
    if scale < 1:
        image.draft(
            None, (max(1, int(np.ceil(image.width * scale))), max(1, int(np.ceil(image.height * scale))))
        )


def to_rgb(
    image: Image.Image, value_range: ValueRange | None = None, *, high_bytes: bool = False
) -> Image.Image:
    """Return a Pillow image of any mode as RGB, the way a viewer shows it (see read_picture).

    high_bytes: whether an image of 8 bits holds the high bytes of numbers of 16, which value_range is of.
    """
    # Pillow itself would cut these off at 255 instead of scaling them: a 16-bit scan would come out white.
    if image.mode.startswith(("I", "F")):
        return _in_strips(image, _to_8_bits(image, value_range))
    if high_bytes and value_range is not None and value_range != _FULL:
        image = _spread(image, value_range)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _ALPHA or "transparency" in image.info:
        return _on_a_ground(image)
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


def _on_a_ground(image: Image.Image) -> Image.Image:
    """Lay a picture with transparency on white, or on black where it has nothing to show on white."""
    on_white = _in_strips(image, lambda strip: _laid_on(strip, "white"))
    levels, deviation = _contrast(on_white)
    if levels >= _EVEN:
        return on_white
    # White icons. What is even on both grounds stays on white.
    on_black = _in_strips(image, lambda strip: _laid_on(strip, "black"))
    return on_black if _contrast(on_black)[1] > deviation else on_white


def _laid_on(image: Image.Image, colour: str) -> Image.Image:
    # Dropping the alpha channel would show whatever colour hides under the transparent pixels, often black.
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, colour)
    return Image.alpha_composite(ground, layer).convert("RGB")


def _contrast(image: Image.Image) -> tuple[int, float]:
    """Return the levels of grey between the 1st and the 99th percentile, and the standard deviation."""
    counts = np.array(image.convert("L").histogram())
    shares = np.cumsum(counts) / counts.sum()
    low, high = np.searchsorted(shares, (0.01, 0.99)).tolist()
    levels = np.arange(256)
    mean = np.average(levels, weights=counts)
    return high - low, float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)))


def _from_lab(image: Image.Image) -> Image.Image:
    return ImageCms.profileToProfile(  # type: ignore[return-value]
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )


def _to_8_bits(image: Image.Image, value_range: ValueRange | None) -> Callable[[Image.Image], Image.Image]:
    """Scale the numbers of the range to 0 to 255; without one, see _usual_range."""
    kind = np.asarray(image.crop((0, 0, 1, 1))).dtype
    # Pillow reads colour of 16 bits by its high byte too, so grey and colour agree.
    if kind.kind == "u" and kind.itemsize == 2 and value_range in (None, _FULL):
        return lambda strip: Image.fromarray((np.asarray(strip) >> 8).astype(np.uint8)).convert("RGB")
    if value_range is None:
        low, high = _usual_range(image, kind)
        beyond = 0.0, 0.0, 0.0
    else:
        low, high = _of_one(np.asarray(image), value_range)
        beyond = low, high, low

    def scaled(strip: Image.Image) -> Image.Image:
        values = (_finite(strip, *beyond) - low) * (255.0 / max(high - low, 1e-12))
        return Image.fromarray(np.rint(np.clip(values, 0, 255)).astype(np.uint8)).convert("RGB")

    return scaled


def _of_one(numbers: np.ndarray, value_range: ValueRange) -> tuple[float, float]:
    """Return the range for one picture."""
    if value_range != "picture":
        return value_range
    ordered = ordered_numbers(numbers)
    if not len(ordered):
        return 0.0, 1.0
    (ordered,), _ = without_fills([ordered])
    return float(ordered[0]), float(ordered[-1])


def _usual_range(image: Image.Image, kind: np.dtype) -> tuple[float, float]:
    """Return the first usual range that holds all numbers of a picture, or from its lowest to its highest."""
    usual = (1.0, 255.0, 65535.0) if kind.kind == "f" else (65535.0,)
    ranges = [(float(values.min()), float(values.max())) for values in map(_finite, _all_strips(image))]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    fitting = [top for top in usual if low >= 0 and high <= top]
    return (0.0, fitting[0]) if fitting else (low, high)


def _spread(image: Image.Image, value_range: ValueRange) -> Image.Image:
    """Scale the high bytes of numbers of 16 bits; transparency stays what it is."""
    low, high = _of_one(_colours(np.asarray(image), image.mode) * np.uint16(257), value_range)
    numbers = (np.arange(256) * 257 - low) * (255.0 / max(high - low, 1e-12))
    table = np.rint(np.clip(numbers, 0, 255)).astype(np.uint8).tolist()
    bands = image.getbands()
    return image.point([level for band in bands for level in (range(256) if band == "A" else table)])


def _colours(array: np.ndarray, mode: str) -> np.ndarray:
    """Return an image's array as uint16 without its transparency."""
    return (array[..., :-1] if mode in _ALPHA else array).astype(np.uint16)


def _all_strips(image: Image.Image) -> Iterator[Image.Image]:
    return (strip for _, strip in _strips(image))


def _finite(image: Image.Image, nan: float = 0.0, above: float = 0.0, below: float = 0.0) -> np.ndarray:
    return np.nan_to_num(np.asarray(image).astype(np.float64), nan=nan, posinf=above, neginf=below)


class Allowance:
    """So many pixels may be in work at once, whichever threads ask; who asks for more than is left waits."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Hold so many pixels of the allowance; one picture alone is let in, whatever its size."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= self.pixels)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


_ALLOWANCE = Allowance(MAX_PIXELS)


def _unreadable(name: str, reason: str) -> DataError:
    return DataError(f"{name} {reason}.", "Restore it or leave it out.")


def _too_large(name: str, extent: str) -> DataError:
    return DataError(
        f"{name} is too large to decode ({extent}; the limit is {MAX_PIXELS:,}).",
        "Make it smaller or leave it out.",
    )
