"""A file becomes an upright RGB array: the one place that decodes pictures."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from linnaea import reading
from linnaea.data import damage
from linnaea.data.headers import open_image, orientation
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
) -> np.ndarray:
    """Return a picture as a viewer shows it: upright by its EXIF orientation, RGB, first frame.

    Transparency lies on white, 16-bit and float values are scaled to 8 bits, CMYK is converted. Colour
    profiles are not applied: pretrained networks learned from pictures read that way.

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

    Returns
    -------
    ndarray of uint8, (height, width, 3)

    Raises DataError, naming the file and the reason, for a file that cannot be read as a picture or is not
    the known one any more, and MissingExtraError for HEIC without pillow-heif.
    """
    try:
        content = read_content(path)
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
    if known and content_hash(content) != known:
        raise DataError(
            f"{path} has changed since the pictures were scanned.",
            "Restore it, or begin a new run with the pictures as they are now.",
        )
    return decode_picture(
        content, str(path), enough=enough, longest_side=longest_side, shortest_side=shortest_side
    )


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
                array = to_array(_prepared(image, longest_side, shortest_side))
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


def _prepared(image: Image.Image, longest_side: int | None, shortest_side: int | None) -> Image.Image:
    image.load()
    # Only now: the orientation of a TIFF is applied by Pillow itself while loading, and that of a PNG may
    # stand after the pixels.
    turn = _UPRIGHT.get(orientation(image))
    image = to_rgb(image)
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


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a Pillow image of any mode as RGB, the way a viewer shows it (see read_picture)."""
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
