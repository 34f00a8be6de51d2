"""Small pictures and their files, drawn by hand."""

import io
import zlib

import numpy as np
from PIL import Image

from linnaea.data.decoding import decode_picture


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    """A smooth picture: what lossy formats keep, and every corner another colour."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / (width - 1), y * 255 / (height - 1), np.full_like(x, 60)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def decode(content: bytes, **settings: int) -> np.ndarray:
    return decode_picture(content, "a.png", **settings)


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    """A PNG written out by hand (ISO/IEC 15948); each row of data begins with a zero, for no filter."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([depth, colour, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    """A picture that states a size, without its pixels."""
    return png(width, height, 8, 2, b"")
