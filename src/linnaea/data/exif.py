"""When a photograph was taken, and by which camera: what its file says of itself."""

from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

# EXIF 2.32 (CIPA DC-008), tags of the main directory, and of the Exif directory that it points to.
_MAKE, _MODEL, _EXIF = 0x010F, 0x0110, 0x8769
_TAKEN, _FRACTION = 0x9003, 0x9291  # DateTimeOriginal, SubSecTimeOriginal


def taken(path: Path) -> tuple[str, float] | None:
    """Return (camera, seconds) of a photograph, or None where its EXIF does not say when it was taken.

    camera: Make and Model, "" where they are not told
    seconds: on the camera's own clock, from any fixed point: only differences within one camera mean
        anything. SubSecTimeOriginal is counted where it is there.

    Only the file's header is read. Never raises for a file: one that cannot be read says nothing.
    """
    try:
        with Image.open(path) as image:
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
