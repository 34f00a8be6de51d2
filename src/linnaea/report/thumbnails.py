"""Thumbnails → data URIs, as small as they can be shown well, within a budget of bytes."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from linnaea.errors import DataError
from linnaea.reading import read_bytes

LARGEST = 4 << 20  # bytes of a file; a thumbnail has some thousand
MOST_PIXELS = 1 << 20  # refused before they are decoded
TINY = 64  # pixels; smaller pictures are enlarged without smoothing, so that their pixels are seen
# Photographs lose nothing that shows at this size and quality, and shrink to a sixth of a PNG.
SIDE = 288
QUALITY = 80
_KEPT = 3_000  # bytes; below, another format saves nothing worth its artefacts


@dataclass(frozen=True)
class Thumbnail:
    """One picture of the page: its data URI, and whether its pixels are to be seen one by one."""

    source: str
    tiny: bool


@dataclass
class Album:
    """Pictures up to so many bytes: base64 adds a third, and a page stays under 5 MB.

    room: int
        Bytes left for pictures, before base64.
    refused: int
        How many had no room or were no pictures.
    """

    room: int
    refused: int = 0
    _known: dict[Path, Thumbnail] = field(default_factory=dict)

    def take(self, path: Path | None, side: int = SIDE) -> Thumbnail | None:
        """Return the picture in path, or None where there is none, it is damaged, or no room is left.

        A picture that is shown twice takes its bytes twice, but is read once.
        """
        if path is None:
            return None
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = _embedded(path, side) or Thumbnail("", False)
        return self.put(known)

    def put(self, thumbnail: Thumbnail) -> Thumbnail | None:
        """Return a picture that is shown, or None where it is none or no room is left."""
        if not thumbnail.source or len(thumbnail.source) * 3 // 4 > self.room:
            self.refused += 1
            return None
        self.room -= len(thumbnail.source) * 3 // 4
        return thumbnail


def _embedded(path: Path, side: int) -> Thumbnail | None:
    try:
        # A run may come from somebody else: a link in it could lead to any picture of this computer.
        if path.parent.is_symlink():
            return None
        content = read_bytes(path, LARGEST, links=False)
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            kind, tiny = str(picture.format).lower(), max(picture.size) <= TINY
            # A JPEG that fits is not compressed twice.
            if max(picture.size) > side or (len(content) > _KEPT and kind == "png"):
                content, kind = _smaller(picture, content, kind, side)
            else:
                picture.load()
    # Pillow reports a damaged picture by these, and by SyntaxError for a broken PNG.
    except (OSError, ValueError, SyntaxError, DataError, Image.DecompressionBombError):
        return None
    return Thumbnail(data_uri(content, kind), tiny)


def of_pixels(pixels: np.ndarray, side: int) -> Thumbnail:
    """Return a decoded picture, uint8 (height, width) or (height, width, 3), at most side pixels large."""
    tiny = max(pixels.shape[:2]) <= TINY
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    if tiny:
        image.save(out, "PNG")
    else:
        image.convert("RGB").save(out, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(data_uri(out.getvalue(), "png" if tiny else "jpeg"), tiny)


def data_uri(content: bytes, kind: str) -> str:
    """Return an encoded picture as an address that holds it; kind: "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _smaller(picture: Image.Image, content: bytes, kind: str, side: int) -> tuple[bytes, str]:
    """Return the picture as JPEG where that takes fewer bytes, at most side pixels wide and high."""
    large = max(picture.size) > side
    reduced = picture.convert("RGB")
    reduced.thumbnail((side, side))
    out = io.BytesIO()
    reduced.save(out, "JPEG", quality=QUALITY, optimize=True)
    return (out.getvalue(), "jpeg") if large or len(out.getvalue()) < len(content) else (content, kind)
