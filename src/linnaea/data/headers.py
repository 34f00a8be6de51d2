"""What a picture's file says before its pixels: format, size, orientation."""

from dataclasses import dataclass

from linnaea.data.pictures import open_image, orientation


@dataclass(frozen=True)
class Header:
    """format as Pillow names it ("JPEG"); width, height in pixels, as stored; orientation 1 to 8 (EXIF)."""

    format: str = ""
    width: int = 0
    height: int = 0
    orientation: int = 1


def header(content: bytes) -> Header:
    """Return what the bytes of a picture's file say; an empty Header where it cannot be opened."""
    try:
        with open_image(content) as image:
            return Header(image.format or "", *image.size, orientation(image))
    except Exception:
        # Decoding tells what is wrong with it, and better.
        return Header()
