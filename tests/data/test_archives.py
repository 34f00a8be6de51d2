"""Real tar archives, written member by member."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from linnaea.data import archives
from linnaea.data.archives import extract
from linnaea.errors import DataError, LinnaeaError


def member(name: str, content: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


GOOD = (member("jpg/a.jpg", b"first"), member("jpg/b.jpg", b"second"), member("readme", b"outside"))


def nothing_left(folder: Path) -> bool:
    return [path.name for path in folder.iterdir() if not path.name.endswith(".lock")] == []


def test_the_wanted_folder_is_extracted_and_nothing_else(tmp_path):
    archive = packed(tmp_path / "a.tgz", *GOOD)
    place = extract(archive, "jpg", tmp_path / "out" / "pictures")
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {
        "a.jpg": b"first",
        "b.jpg": b"second",
    }
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".lock"] == ["pictures"]


def test_what_is_there_is_not_extracted_again(tmp_path):
    (tmp_path / "pictures").mkdir()
    assert extract(tmp_path / "missing.tgz", "jpg", tmp_path / "pictures") == tmp_path / "pictures"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (member("../evil"), "'../evil' leads outside the folder"),
        (member("jpg/../../evil"), "'jpg/../../evil' leads outside the folder"),
        (member("jpg\\..\\..\\evil"), "leads outside the folder"),
        (member("/etc/evil"), "'/etc/evil' has an absolute path"),
        (member("C:\\evil"), "has an absolute path"),
        (member("jpg/c", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link to '/etc/passwd'"),
        (member("jpg/c", b"", type=tarfile.SYMTYPE, linkname="a.jpg"), "is a link to 'a.jpg'"),
        (member("jpg/c", b"", type=tarfile.LNKTYPE, linkname="jpg/a.jpg"), "is a link to 'jpg/a.jpg'"),
        (member("jpg/c", b"", type=tarfile.CHRTYPE), "is neither a file nor a folder"),
        (member("jpg/c", b"", type=tarfile.FIFOTYPE), "is neither a file nor a folder"),
        (member("jpg/./a.jpg"), "'jpg/./a.jpg' is in it twice"),
    ],
)
def test_a_dangerous_member_refuses_the_whole_archive(tmp_path, bad, reason):
    archive = packed(tmp_path / "a.tgz", *GOOD, bad)
    with pytest.raises(DataError) as caught:
        extract(archive, "jpg", tmp_path / "out" / "pictures")
    assert str(caught.value).startswith(f"{archive} was refused: its member ")
    assert reason in str(caught.value)
    assert str(caught.value).endswith("Do not use this archive; fetch the data set from its publisher.")
    assert nothing_left(tmp_path / "out")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("name", "limit", "reason"),
    [
        ("MAX_MEMBER", 5, "'jpg/b.jpg' has 6 bytes (the limit is 5)"),
        ("MAX_TOTAL", 10, "'jpg/b.jpg' brings the whole to 11 bytes (the limit is 10)"),
        ("MAX_MEMBERS", 2, "'readme' is one too many (the limit is 2)"),
    ],
)
def test_absurd_sizes_are_refused(tmp_path, monkeypatch, name, limit, reason):
    monkeypatch.setattr(archives, name, limit)
    with pytest.raises(DataError) as caught:
        extract(packed(tmp_path / "a.tgz", *GOOD), "jpg", tmp_path / "out" / "pictures")
    assert reason in str(caught.value)
    assert nothing_left(tmp_path / "out")


def test_a_huge_member_is_refused_by_its_header_before_it_is_unpacked(tmp_path):
    # 2 TiB announced, a few bytes there: the refusal comes from the announcement.
    info = tarfile.TarInfo("jpg/bomb")
    info.size = 2 << 40
    (tmp_path / "a.tgz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(DataError, match="'jpg/bomb' has 2,199,023,255,552 bytes"):
        extract(tmp_path / "a.tgz", "jpg", tmp_path / "out" / "pictures")


@pytest.mark.parametrize("kind", [b"x", b"g", b"X", tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_name_of_a_terabyte_is_refused_by_its_header(tmp_path, kind):
    # tarfile reads such a block whole, into memory, before it gives the member out.
    info = tarfile.TarInfo("jpg/long")
    info.type, info.size = kind, 1 << 40
    (tmp_path / "a.tgz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    with pytest.raises(DataError, match="a name in it has 1,099,511,627,776 bytes"):
        extract(tmp_path / "a.tgz", "jpg", tmp_path / "out" / "pictures")
    assert nothing_left(tmp_path / "out")


def test_what_a_killed_extraction_left_is_removed(tmp_path):
    archive = packed(tmp_path / "a.tgz", *GOOD)
    (tmp_path / "out" / ".extract-pictures-killed" / "jpg").mkdir(parents=True)
    extract(archive, "jpg", tmp_path / "out" / "pictures")
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".lock"] == ["pictures"]


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5])
def test_a_damaged_archive_is_named_and_leaves_nothing(tmp_path, keep):
    content = packed(tmp_path / "a.tgz", *GOOD).read_bytes()
    (tmp_path / "a.tgz").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=r"a.tgz is damaged \(.+\). Remove it, so that it is fetched again."):
        extract(tmp_path / "a.tgz", "jpg", tmp_path / "out" / "pictures")
    assert nothing_left(tmp_path / "out")


def test_an_archive_without_the_folder_and_a_place_that_cannot_be_written(tmp_path):
    archive = packed(tmp_path / "a.tgz", *GOOD)
    with pytest.raises(DataError, match="contains no folder 'png'"):
        extract(archive, "png", tmp_path / "out" / "pictures")
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(LinnaeaError, match=r"could not be extracted to .*LINNAEA_CACHE"):
        extract(archive, "jpg", tmp_path / "file" / "pictures")
