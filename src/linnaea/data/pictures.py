"""A file becomes an upright RGB array: the one place that decodes pictures."""

import io
import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from linnaea import reading
from linnaea.data import damage
from linnaea.data.allowance import Allowance
from linnaea.data.modes import to_array, to_rgb
from linnaea.errors import DataError, LinnaeaError, MissingExtraError
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

# Pillow reads many more formats; some run other programs (EPS: Ghostscript) or are no pictures.
_FORMATS = (
    "AVIF",
    "BMP",
    "DIB",
    "GIF",
    "HEIF",
    "JPEG",
    "JPEG2000",
    "MPO",
    "PNG",
    "PPM",
    "TGA",
    "TIFF",
    "WEBP",
)

# Pillow remarks on odd metadata and on sizes below our limit by Python warnings, which would run through the
# progress bar and help nobody; what matters becomes an error here. (catch_warnings is not safe in threads.)
warnings.filterwarnings("ignore", module=r"PIL\.")

PECULIARITIES = {
    "animated": "animated or of several pages; only the first is read",
    "CMYK": "in CMYK, made for print; read as RGB without the colour profile",
    "16-bit": "of more than 8 bits a channel; read with 8",
    "palette": "drawn from a palette; read as RGB",
}
"""What peculiarities finds, and what is done about it."""

_EXIF_ORIENTATION = 0x0112
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
        The hash that the file had when it was looked through (see hashing.content_hash).

    Returns
    -------
    ndarray of uint8, (height, width, 3)

    Raises DataError, naming the file and the reason, for a file that cannot be read as a picture or is not
    the known one any more, and MissingExtraError for HEIC without pillow-heif.
    """
    try:
        content = read_content(path)
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder.", f"Name the pictures in it: {path}/*") from error
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
            f"{path} has changed since the pictures were looked through.",
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


def open_image(content: bytes) -> Image.Image:
    """Return the picture in the bytes of a file with its header read, and nothing decoded yet.

    Raises whatever Pillow does, and MissingExtraError for HEIC without pillow-heif.
    """
    return Image.open(io.BytesIO(content), formats=_formats(content))


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
        # struct.error, IndexError, ...); whichever it is, a person has a damaged file.
        raise _unreadable(name, damage.told(error, len(content))) from error


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


_ALLOWANCE = Allowance(MAX_PIXELS)

# Pillow takes memory in blocks of 16 MiB, which glibc keeps for the thread that freed them; what is above
# 32 MiB goes back to the system at once. The same as PILLOW_BLOCK_SIZE=64m in the environment.
Image.core.set_block_size(64 << 20)  # type: ignore[attr-defined]


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


def peculiarities(content: bytes) -> tuple[str, ...]:
    """Return what a person may not know of a picture, by its header: it is read, but something is lost.

    Any of PECULIARITIES; nothing for a file that cannot be opened.
    """
    try:
        with open_image(content) as image:
            found = []
            # MPO is how phones store a photograph with a second, smaller one: no animation.
            if getattr(image, "is_animated", False) and image.format != "MPO":
                found.append("animated")
            if image.mode == "CMYK":
                found.append("CMYK")
            if image.mode.startswith(("I", "F")) or _raw_mode(image).find("16") > 0:
                found.append("16-bit")
            if image.mode in {"P", "PA"}:
                found.append("palette")
            return tuple(found)
    except Exception:
        # Reading the picture tells what is wrong with it; here it is only not peculiar.
        return ()


def _raw_mode(image: Image.Image) -> str:
    """Return how the file stores its pixels ("RGB;16B"), which Pillow's mode does not tell for colour."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def orientation(image: Image.Image) -> int:
    """Return the orientation that a picture's EXIF tells, 1 (upright) to 8; 1 where it tells none."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:
        # Damaged EXIF does not spoil the pixels: a viewer shows such a picture as it lies.
        return 1


def _known_formats() -> tuple[str, ...]:
    # Without init, Pillow knows its five commonest formats only, and a name that it does not know is a
    # KeyError.
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _formats(content: bytes) -> tuple[str, ...]:
    """Return the formats that Pillow may try, after making HEIC one of them where it is needed."""
    if damage.is_heic(content):
        try:
            import pillow_heif
        except ImportError as error:
            raise MissingExtraError("Reading HEIC pictures needs pillow-heif, which", "heif") from error
        if "HEIF" not in Image.OPEN:
            pillow_heif.register_heif_opener()
    return _known_formats()


def _unreadable(name: str, reason: str) -> DataError:
    return DataError(f"{name} {reason}.", "Restore it or leave it out.")


def _too_large(name: str, extent: str) -> DataError:
    return DataError(
        f"{name} is too large to decode ({extent}; the limit is {MAX_PIXELS:,}).",
        "Make it smaller or leave it out.",
    )
