"""Hostile and odd files, made anew: what a folder of pictures from strangers may hold."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

FLAT_SIDE = 2000
"""Of a picture that is a thousand times larger in memory than on the disk, and may be decoded."""


def photo(width: int = 48, height: int = 36) -> Image.Image:
    """A smooth picture, no two corners alike."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), np.full_like(x, 60)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a picture's file, as Pillow writes it."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def valid() -> dict[str, bytes]:
    """One small whole file of each format and of its main varieties, by name with a fitting ending."""
    picture = photo()

    def several(kind: str, mode: str = "RGB") -> bytes:
        # New pictures for each format: Pillow leaves one encoder's settings behind in them.
        first, *more = (photo().rotate(turn).convert(mode) for turn in (0, 180, 90))
        return encoded(first, kind, save_all=True, append_images=more)

    files = {
        "jpeg.jpg": encoded(picture, "JPEG"),
        "progressive.jpg": encoded(picture, "JPEG", progressive=True),
        "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG"),
        "grey.jpg": encoded(picture.convert("L"), "JPEG"),
        "phone.jpg": several("MPO"),
        "exif.jpg": encoded(picture, "JPEG", exif=_exif(6)),
        "png.png": encoded(picture, "PNG"),
        "palette.png": encoded(picture.convert("P"), "PNG", transparency=3),
        "deep.png": encoded(Image.new("I;16", (9, 7), 300), "PNG"),
        "animated.png": several("PNG"),
        "gif.gif": encoded(picture.convert("P"), "GIF"),
        "animated.gif": several("GIF", "P"),
        "bmp.bmp": encoded(picture, "BMP"),
        "tga.tga": encoded(picture, "TGA", compression="tga_rle"),
        "ppm.ppm": encoded(picture, "PPM"),
        "raw.tiff": encoded(picture, "TIFF"),
        "lzw.tiff": encoded(picture, "TIFF", compression="tiff_lzw"),
        "deflate.tiff": encoded(picture, "TIFF", compression="tiff_deflate"),
        "jpeg.tiff": encoded(picture, "TIFF", compression="jpeg"),
        "float.tiff": encoded(
            Image.fromarray(np.linspace(-1, 2, 63, dtype=np.float32).reshape(7, 9)), "TIFF"
        ),
        "pages.tiff": several("TIFF"),
        "webp.webp": encoded(picture, "WEBP"),
        "lossless.webp": encoded(picture.convert("RGBA"), "WEBP", lossless=True),
        "animated.webp": several("WEBP"),
    }
    for kind, name in (("AVIF", "avif.avif"), ("JPEG2000", "jpeg2000.jp2")):
        # Both depend on how this Pillow was built.
        if kind in Image.SAVE or (Image.init() and kind in Image.SAVE):
            files[name] = encoded(picture, kind)
    return files


def readable() -> dict[str, bytes]:
    """Odd files that are whole pictures nevertheless: each must be read."""
    picture = photo()
    files = {f"whole {name}": content for name, content in valid().items()}
    files |= {f"exif {turn}.jpg": encoded(picture, "JPEG", exif=_exif(turn)) for turn in range(10)}
    files |= {
        "exif corrupt.jpg": encoded(picture, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        "exif loops.tiff": _looping_tiff(),
        "icc corrupt.jpg": encoded(picture, "JPEG", icc_profile=b"no profile" * 9),
        "icc corrupt.png": encoded(picture, "PNG", icc_profile=b"\xff" * 200),
        "icc.png": encoded(picture, "PNG", icc_profile=_srgb()),
        "one pixel.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "tall.png": encoded(Image.new("RGB", (1, 20_000)), "PNG"),
        "wide.jpg": encoded(Image.new("RGB", (20_000, 1)), "JPEG"),
        "a JPEG.png": encoded(picture, "JPEG"),
        "with  blanks .jpg": encoded(picture, "JPEG"),
        "new\nline.jpg": encoded(picture, "JPEG"),
        "\x1b]0;owned\x07\x1b[2J.jpg": encoded(picture, "JPEG"),
        "<script>alert(1)</script>.jpg".replace("/", "⁄"): encoded(picture, "JPEG"),
        "花 – ψ – \u202egnp.jpg": encoded(picture, "JPEG"),
        "[bold]rich[/bold]{{ 7*7 }}.jpg".replace("/", "⁄"): encoded(picture, "JPEG"),
        "é" * 125 + "e.png": encoded(picture, "PNG"),
        "trailing.jpg": encoded(picture, "JPEG") + b"\0" * 5000,
        "flat bomb.png": flat_png(FLAT_SIDE, FLAT_SIDE),
        "alpha bomb.png": flat_png(FLAT_SIDE, FLAT_SIDE, colour=6),
    }
    return files


def unreadable() -> dict[str, tuple[bytes, str]]:
    """Files that no picture comes out of, each with a piece of the reason that must be told."""
    picture = photo(200, 150)
    files: dict[str, tuple[bytes, str]] = {}
    cut = {
        "jpg": "JPEG",
        "png": "PNG",
        "gif": "GIF",
        "bmp": "BMP",
        "tiff": "TIFF",
        "webp": "WEBP",
        "ppm": "PPM",
    }
    for ending, kind in cut.items():
        content = encoded(picture.convert("P") if kind == "GIF" else picture, kind)
        for share in (0.02, 0.3, 0.6):
            files[f"cut at {share}.{ending}"] = (content[: int(len(content) * share)], "")
    jpeg, png = encoded(picture, "JPEG"), encoded(picture, "PNG")
    files |= {
        "empty.jpg": (b"", "is empty (0 bytes)"),
        "zeros.jpg": (bytes(4096), "is not a picture in a format that can be read"),
        "text.jpg": (b"Not a picture at all.\n", "is a text file with a picture's name"),
        "page.png": (b"<!doctype html><title>404</title>", "is a text file with a picture's name"),
        "script.gif": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is a text file"),
        "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is a text file"),
        "program.jpg": (b"\x7fELF\x02\x01\x01" + bytes(60), "is not a picture"),
        "archive.png": (b"PK\x03\x04" + bytes(60), "is not a picture"),
        "half zeros.png": (png[: len(png) // 2] + bytes(len(png) // 2), "do not agree with their checksum"),
        "half zeros.jpg": (
            jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2),
            "its end is overwritten with zeros",
        ),
        "jpeg head only.jpg": (jpeg[:20], "is damaged (it begins like a JPEG"),
        "wrong crc.png": (png[:20] + b"\x7f" + png[21:], ""),
        "dimension bomb.png": (flat_png(100_000, 100_000, pixels=False), "is too large to decode"),
        "dimension bomb.bmp": (_bmp_header(65_000, 65_000), "is too large to decode"),
        "dimension bomb.gif": (b"GIF89a\xff\xff\xff\xff\0\0\0" + _gif_frame(), "is too large to decode"),
        "scan bomb.jpg": (_scan_bomb(), "scans; the limit is 500"),
        "no pixels.png": (flat_png(64, 64, pixels=False), ""),
        "0 x 0.png": (flat_png(0, 0), ""),
        "text bomb.png": (_text_bomb(), ""),
    }
    return files


def make(folder: Path) -> dict[str, str]:
    """Write the whole corpus into folder; return {name: a piece of the reason} of what must be refused."""
    folder.mkdir(parents=True)
    refused = {}
    for name, content in readable().items():
        (folder / name).write_bytes(content)
    for name, (content, reason) in unreadable().items():
        (folder / name).write_bytes(content)
        refused[name] = reason
    return refused | dict(_special(folder))


def _special(folder: Path) -> Iterator[tuple[str, str]]:
    """What is no file at all, or not only one."""
    (folder / "loop.jpg").symlink_to("loop.jpg")
    yield "loop.jpg", "could not be read"
    (folder / "to and fro.jpg").symlink_to("fro and to.jpg")
    (folder / "fro and to.jpg").symlink_to("to and fro.jpg")
    yield "to and fro.jpg", "could not be read"
    yield "fro and to.jpg", "could not be read"
    (folder / "nowhere.jpg").symlink_to("gone/picture.jpg")
    yield "nowhere.jpg", "does not exist"
    (folder / "zero.jpg").symlink_to("/dev/zero")
    yield "zero.jpg", "is a device, not a file"
    os.mkfifo(folder / "pipe.jpg")
    yield "pipe.jpg", "is a named pipe, not a file"
    with open(folder / "sparse.jpg", "wb") as file:
        file.truncate(1 << 40)  # a terabyte that takes no room on the disk
    yield "sparse.jpg", "is too large to read"
    # A folder with a picture's name and a loop back up.
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "up").symlink_to("../..")


def flat_png(width: int, height: int, *, colour: int = 2, pixels: bool = True) -> bytes:
    """A PNG of one colour, written out by hand (ISO/IEC 15948): a thousandth of what it decodes to.

    colour: 2 RGB, 6 RGB with alpha. pixels: False states the size alone.
    """
    row = 1 + width * {2: 3, 6: 4}[colour]
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(row)) for _ in range(height)) if pixels else b""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows + packer.flush()) + _IEND


def with_right_checksums(content: bytes) -> bytes:
    """Return a PNG with the checksum of each chunk made right; anything else as it is."""
    data, place = bytearray(content), 8
    while content.startswith(b"\x89PNG") and place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4])
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4)
        place = end + 4
    return bytes(data)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


_IEND = _chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    """A PNG whose compressed comments would unpack to 200 MB."""
    comment = b"Comment\0\0" + zlib.compress(bytes(1 << 20))
    whole = flat_png(4, 4)
    return whole[:33] + _chunk(b"zTXt", comment) * 200 + whole[33:]


def _scan_bomb() -> bytes:
    """A progressive JPEG whose last scan is there 600 times (libjpeg-turbo's advisory LJT-01-004)."""
    whole = encoded(photo(), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * 600 + b"\xff\xd9"


def _bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def _gif_frame() -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x4c\x01\x00;"


def _looping_tiff() -> bytes:
    """A TIFF whose last page says that the first is the next."""
    whole = bytearray(encoded(photo(), "TIFF"))
    first = struct.unpack_from("<I", whole, 4)[0]
    entries = struct.unpack_from("<H", whole, first)[0]
    struct.pack_into("<I", whole, first + 2 + 12 * entries, first)
    return bytes(whole)


def _exif(turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif.tobytes()


def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
