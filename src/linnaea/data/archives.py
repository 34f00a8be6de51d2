"""Archives from the network become folders: only plain files, only below the folder, whole or not at all."""

import glob
import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Self

from linnaea.errors import DataError, LinnaeaError
from linnaea.progress_bar import ProgressBar

MAX_MEMBER = 64 << 20  # bytes; the largest picture of the data sets known here has 120 KB
MAX_TOTAL = 8 << 30  # bytes of all members together
MAX_MEMBERS = 1_000_000

MAX_ATTRIBUTES = 1 << 20  # bytes of a member's long name and other attributes
_ATTRIBUTES = (b"x", b"g", b"X", tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)

_CURE = "Do not use this archive; fetch the data set from its publisher."


def extract(archive: Path, folder: str, destination: Path) -> Path:
    """Extract one folder of a tar archive (plain or gzipped) as destination, unless that is there already.

    Everything is written below a temporary folder beside the destination and renamed at the end, so that
    destination is there whole or not at all, and two processes do the work once.

    Parameters
    ----------
    archive: Path
        Its checksum compared by the caller: a tar file that ends early between two members looks whole.
    folder: str
        The folder in the archive that becomes destination.
    destination: Path

    Raises DataError for an archive that is damaged, that lacks the folder, or contains anything but plain
    files and folders: a link, a device, an absolute path, a path that leads outside, a name twice, or sizes
    above MAX_MEMBER, MAX_TOTAL and MAX_MEMBERS. Raises LinnaeaError where the disk refuses.
    """
    import filelock

    if destination.exists():
        return destination
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with (
            filelock.FileLock(destination.with_name(f".{destination.name}.lock")),
            _workplace(destination) as temporary,
        ):
            if not destination.exists():
                _extract_all(archive, Path(temporary))
                wanted = Path(temporary) / folder
                if not wanted.is_dir():
                    raise DataError(f"{archive} contains no folder '{folder}'.", _CURE)
                os.replace(wanted, destination)
    except OSError as error:
        raise LinnaeaError(
            f"{archive} could not be extracted to {destination} ({error.strerror or error}).",
            "Free some space, or name another cache folder in the environment variable LINNAEA_CACHE.",
        ) from error
    return destination


class _Header(tarfile.TarInfo):
    """A header of a tar archive, refused where its name alone would fill the memory.

    Long names and other attributes stand in blocks before the member, which tarfile reads whole, whatever
    size they state.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the header in these 512 bytes."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _ATTRIBUTES and header.size > MAX_ATTRIBUTES:
            raise DataError(
                f"The archive was refused: a name in it has {header.size:,} bytes "
                f"(the limit is {MAX_ATTRIBUTES:,}).",
                _CURE,
            )
        return header


def _workplace(destination: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a new folder beside destination; what an extraction left that was killed is removed first."""
    prefix = f".extract-{destination.name}-"
    # The lock is held by now: nobody else is at work here.
    for left in destination.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(dir=destination.parent, prefix=prefix)


def _extract_all(archive: Path, folder: Path) -> None:
    names: set[str] = set()
    total = 0
    # "r|*" reads the archive once, from front to back: with "r:*" Python would first decompress it whole to
    # list its members, and a gzip bomb would be unpacked before the first check.
    try:
        with (
            tarfile.open(archive, "r|*", tarinfo=_Header) as tar,
            ProgressBar(f"Extracting {archive.name}", None, unit="files", patient=True) as bar,
        ):
            for member in tar:
                total += member.size
                _check(archive, member, names, total)
                names.add(_plain(member.name))
                # The standard library's own filter as well (PEP 706): it resolves the path on the disk and
                # drops owners and odd permissions.
                tar.extract(member, folder, filter="data")
                bar.update()
    except tarfile.FilterError as error:
        raise DataError(f"{archive} was refused ({error}).", _CURE) from error
    except DataError:
        raise
    # BadGzipFile is an OSError, which would be reported as a disk that cannot be written; impossible names
    # and dates end in ValueError and OverflowError.
    except (tarfile.TarError, EOFError, ValueError, OverflowError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{archive} is damaged ({str(error).rstrip('.') or type(error).__name__}).",
            "Remove it, so that it is fetched again.",
        ) from error


def _check(archive: Path, member: tarfile.TarInfo, names: set[str], total: int) -> None:
    reason = _refused(member, names, total)
    if reason:
        raise DataError(f"{archive} was refused: its member {member.name!r} {reason}.", _CURE)


def _refused(member: tarfile.TarInfo, names: set[str], total: int) -> str:
    if member.issym() or member.islnk():
        return f"is a link to {member.linkname!r}"
    # isreg counts sparse files in, whose size on the disk says nothing about the size that is read.
    if not (member.isdir() or member.isreg()) or member.issparse():
        return "is neither a file nor a folder"
    # Both families of systems: what is absolute on one may be extracted on the other.
    windows, posix = PureWindowsPath(member.name), PurePosixPath(member.name)
    if posix.is_absolute() or windows.drive or windows.root:
        return "has an absolute path"
    if ".." in posix.parts or ".." in windows.parts:
        return "leads outside the folder"
    if not member.isdir() and _plain(member.name) in names:
        return "is in it twice"
    if member.size > MAX_MEMBER:
        return f"has {member.size:,} bytes (the limit is {MAX_MEMBER:,})"
    if total > MAX_TOTAL:
        return f"brings the whole to {total:,} bytes (the limit is {MAX_TOTAL:,})"
    if len(names) >= MAX_MEMBERS:
        return f"is one too many (the limit is {MAX_MEMBERS:,})"
    return ""


def _plain(name: str) -> str:
    return PurePosixPath(name).as_posix()
