"""Why a file is no picture: what a decoder does not report, or reports in words of its own."""

import struct
import zlib

MAX_SCANS = 500
"""The most scans that a JPEG may have; usual are 1 to 10.

Each costs a pass over the whole picture for a few bytes of the file (libjpeg-turbo's advisory LJT-01-004): a
small file could keep a decoder busy for hours.
"""

# The brands by which an ISO media file (ISO/IEC 23008-12) says that it is HEIC.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF"}


def hidden(kind: str | None, content: bytes) -> str:
    """Return why a file should not be decoded, or "": what Pillow would do without a word.

    kind: Pillow's name of the format.
    """
    if kind in {"JPEG", "MPO"}:
        # Within a scan every 0xFF is followed by 0x00 or a restart: the marker cannot stand there by chance.
        scans = content.count(b"\xff\xda")
        if scans > MAX_SCANS:
            return f"would take too long to decode ({scans:,} scans; the limit is {MAX_SCANS})"
        # A copy that stopped half way on a reserved file: the rest of the picture would come out grey.
        if content.endswith(bytes(16)) and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
            return "is damaged (its end is overwritten with zeros)"
    if kind == "PNG" and not _pixels_are_whole(content):
        return "is damaged (its pixels do not agree with their checksum)"
    return ""


def _pixels_are_whole(content: bytes) -> bool:
    """Compare the checksum of each IDAT chunk (ISO/IEC 15948, 5.3: length, type, data, CRC-32).

    Pillow does not: a file whose second half was overwritten would be read as a picture with a torn half.
    """
    view, place = memoryview(content), 8
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        # A file that ends early is the decoder's to report.
        if kind == b"IEND" or end + 4 > len(content):
            break
        if kind == b"IDAT" and zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            return False
        place = end + 4
    return True


def is_heic(content: bytes) -> bool:
    """Tell HEIC by its file type box: size, "ftyp", main brand, version, compatible brands, 4 bytes each."""
    if content[4:8] != b"ftyp":
        return False
    compatible = {content[at : at + 4] for at in range(16, min(int.from_bytes(content[:4]), 256), 4)}
    # AVIF uses the same container, and some writers give it the general main brand as well.
    return content[8:12] in _HEIC_BRANDS and not compatible & {b"avif", b"avis"}


def what_it_is(content: bytes) -> str:
    """Say what a file is that no decoder knows."""
    kinds = [kind for signature, kind in _SIGNATURES.items() if content.startswith(signature)]
    kinds += ["HEIC"] if is_heic(content) else []
    if kinds:
        return f"is damaged (it begins like a {kinds[0]}, but its {len(content):,} bytes are not one)"
    try:
        start = content[:512].decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut in two at byte 512 is still text.
        start = content[: error.start].decode("utf-8") if error.start > len(content[:512]) - 4 else ""
    if start and all(letter.isprintable() or letter.isspace() for letter in start):
        return "is a text file with a picture's name"
    return f"is not a picture in a format that can be read (it begins with {content[:4].hex(' ')})"


def explanation(error: Exception, size: int) -> str:
    """Say what a decoder's error means for a file of size bytes."""
    if isinstance(error, MemoryError):
        return "needs more memory to decode than there is"
    words = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in words or "not enough" in words or "premature" in words:
        return f"is truncated (the picture continues after the file's {size:,} bytes)"
    return f"is damaged ({str(error).rstrip('.') or type(error).__name__})"
