"""What a picture's file states before its pixels: format, size, orientation, when it was taken."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime

from PIL import Image

from linnaea.data import damage
from linnaea.errors import MissingExtraError

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

PECULIARITIES = {
    "animated": "animated or of several pages; only the first is read",
    "CMYK": "in CMYK, made for print; read as RGB without the colour profile",
    "16-bit": "of more than 8 bits a channel; read with 8",
    "palette": "drawn from a palette; read as RGB",
}
"""What is lost of a picture that is read all the same, and what is done about it."""

# EXIF 2.32 (CIPA DC-008), tags of the main directory, and of the Exif directory that it points to.
_ORIENTATION, _MAKE, _MODEL, _EXIF = 0x0112, 0x010F, 0x0110, 0x8769
_TAKEN, _FRACTION = 0x9003, 0x9291  # DateTimeOriginal, SubSecTimeOriginal


@dataclass(frozen=True)
class Header:
    """What the bytes of a picture's file say of it; as by default where they cannot be opened.

    format: str
        As Pillow names it: "JPEG".
    width, height: int
        In pixels, as stored.
    orientation: int
        Of EXIF, 1 (upright) to 8.
    peculiarities: tuple of str
        Keys of PECULIARITIES: what a user may not know.
    taken: (str, float) or None
        Camera ("" where it is not given) and seconds on its own clock, from any fixed point: only differences
        within one camera mean anything. None where EXIF does not say when the photograph was taken.
    """

    format: str = ""
    width: int = 0
    height: int = 0
    orientation: int = 1
    peculiarities: tuple[str, ...] = ()
    taken: tuple[str, float] | None = None


def header(content: bytes) -> Header:
    """Return what the bytes of a picture's file say; an empty Header where it cannot be opened."""
    try:
        with open_image(content) as image:
            # Before the others: a PNG's EXIF may stand behind its pixels, and reading so far forgets how they
            # were stored.
            peculiarities = _peculiarities(image)
            return Header(image.format or "", *image.size, orientation(image), peculiarities, _taken(image))
    except Exception:
        # Decoding reports what is wrong with it, and better.
        return Header()


def open_image(content: bytes) -> Image.Image:
    """Return the picture in the bytes of a file with its header read, and nothing decoded yet.

    Raises whatever Pillow does, and MissingExtraError for HEIC without pillow-heif.
    """
    return Image.open(io.BytesIO(content), formats=_formats(content))


def orientation(image: Image.Image) -> int:
    """Return the orientation in a picture's EXIF, 1 (upright) to 8; 1 where there is none."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # Damaged EXIF does not spoil the pixels: a viewer shows such a picture as it lies.
        return 1


def more_than_8_bits(image: Image.Image) -> bool:
    """Return whether the numbers of a picture that is not loaded yet have more than 8 bits."""
    return image.mode.startswith(("I", "F")) or _raw_mode(image).find("16") > 0


def _peculiarities(image: Image.Image) -> tuple[str, ...]:
    peculiarities = []
    try:
        # MPO is how phones store a photograph with a second, smaller one: no animation.
        if getattr(image, "is_animated", False) and image.format != "MPO":
            peculiarities.append("animated")
    except Exception:
        # Its second page is damaged: the first may be whole.
        return ()
    if image.mode == "CMYK":
        peculiarities.append("CMYK")
    if more_than_8_bits(image):
        peculiarities.append("16-bit")
    if image.mode in {"P", "PA"}:
        peculiarities.append("palette")
    return tuple(peculiarities)


def _raw_mode(image: Image.Image) -> str:
    """Return how the file stores its pixels ("RGB;16B"), which Pillow's mode does not state for colour."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _taken(image: Image.Image) -> tuple[str, float] | None:
    try:
        tags = image.getexif()
        inner = tags.get_ifd(_EXIF)
        # Time zones are passed over: a camera's clock is compared with itself only, and most do not know.
        moment = datetime.strptime(_text(inner[_TAKEN]), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
        fraction = _text(inner.get(_FRACTION, ""))
        camera = f"{_text(tags.get(_MAKE, ''))} {_text(tags.get(_MODEL, ''))}".strip()
    except Exception:
        # Missing ("0000:00:00 00:00:00", blanks) and damaged EXIF are common, and break off in many ways.
        return None
    return camera, moment.timestamp() + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)


def _text(value: object) -> str:
    # Writers pad with blanks and zero bytes.
    return str(value).replace("\0", "").strip()


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
