"""A small archive in the official layout on a real HTTP server, and the real pictures where they are."""

import hashlib
import io
import shutil
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from linnaea.data import downloads, flowers102
from linnaea.data.flowers102 import MIRRORS_VARIABLE, flower_names, open_flowers102
from linnaea.data.sources import open_dataset
from linnaea.data.split import default_protocol, make_split
from linnaea.errors import DataError

LABELS = [1, 2, 1, 2, 1, 2, 102, 102]
SPLITS = {"trnid": [1, 2], "valid": [3, 4], "tstid": [5, 6, 7, 8]}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (number, 0, 0)).save(out, "JPEG")
    return out.getvalue()


def publish(folder: Path, extra: tarfile.TarInfo | None = None) -> Path:
    """Write the three files of a data set of eight pictures."""
    folder.mkdir()
    savemat(folder / "imagelabels.mat", {"labels": np.array([LABELS], np.uint8)})
    savemat(folder / "setid.mat", {key: np.array([ids], np.uint16) for key, ids in SPLITS.items()})
    with tarfile.open(folder / "102flowers.tgz", "w:gz") as tar:
        for number in range(1, len(LABELS) + 1):
            info = tarfile.TarInfo(f"jpg/image_{number:05d}.jpg")
            info.size = len(picture(number))
            tar.addfile(info, io.BytesIO(picture(number)))
        if extra is not None:
            tar.addfile(extra)
    return folder


def declare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sums of these files be the published ones."""
    for name in flowers102._FILES:
        md5 = hashlib.md5((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(flowers102._FILES, name, md5)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The folder behind a mirror; the cache is empty."""
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "cache"))
    folder = publish(tmp_path / "mirror")
    declare(folder, monkeypatch)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv(MIRRORS_VARIABLE, f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()


def check(dataset, root: Path) -> None:
    assert dataset.paths == tuple(f"jpg/image_{number:05d}.jpg" for number in range(1, 9))
    assert dataset.labels.tolist() == [flower_names()[label - 1] for label in LABELS]
    assert dataset.splits.tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 4
    assert (dataset.root, dataset.notes) == (root, ())
    assert dataset.files([4])[0].read_bytes() == picture(5)


def test_it_is_fetched_into_the_cache_once(published, tmp_path):
    cached = tmp_path / "cache" / "flowers102"
    check(open_dataset("flowers102"), cached)
    # The archive is not kept beside its pictures.
    left = sorted(path.name for path in cached.iterdir() if not path.name.endswith(".lock"))
    assert left == ["imagelabels.mat", "jpg", "setid.mat"]
    shutil.rmtree(published)
    check(open_dataset("flowers102"), cached)


def test_a_persons_own_archive_is_extracted_into_the_cache_and_kept(published, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRRORS_VARIABLE, "http://127.0.0.1:1")
    check(open_flowers102(published), tmp_path / "cache" / "flowers102")
    assert (published / "102flowers.tgz").is_file()
    assert not (published / "jpg").exists()


@pytest.mark.parametrize("below", ["", "flowers102", "flowers-102"])
def test_own_pictures_are_found_where_they_usually_lie(published, tmp_path, monkeypatch, below):
    monkeypatch.setenv(MIRRORS_VARIABLE, "http://127.0.0.1:1")
    folder = tmp_path / "own" / below
    (folder / "jpg").mkdir(parents=True)
    for number in range(1, 9):
        (folder / "jpg" / f"image_{number:05d}.jpg").write_bytes(picture(number))
    for name in ("imagelabels.mat", "setid.mat"):
        shutil.copy(published / name, folder)
    check(open_flowers102(tmp_path / "own"), folder)
    assert not (tmp_path / "cache").exists()


def test_a_partial_copy_says_what_is_there_and_what_is_strange(published, tmp_path):
    (tmp_path / "own" / "jpg").mkdir(parents=True)
    for name in ("image_00001.jpg", "image_00002.jpg", "image_00005.jpg", "image_00009.jpg", "list.txt"):
        (tmp_path / "own" / "jpg" / name).write_bytes(picture(1))
    dataset = open_flowers102(tmp_path / "own")
    assert dataset.labels.tolist() == [flower_names()[label] for label in (0, 1, 0)]
    assert dataset.notes == (
        "3 of 8 pictures are here: 2 of 2 train, 0 of 2 val, 1 of 4 test.",
        "2 files in jpg/ that are not of the data set left out (image_00009.jpg, list.txt).",
    )
    with pytest.raises(
        DataError, match=r"jpg contains 2 files that would be left out \(image_00009.jpg, list"
    ):
        open_flowers102(tmp_path / "own", strict=True)


def test_folders_that_cannot_be_used(published, tmp_path):
    with pytest.raises(DataError, match=r"The data folder .*nowhere does not exist. Check data_dir."):
        open_flowers102(tmp_path / "nowhere")
    (tmp_path / "own" / "jpg").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        open_flowers102(tmp_path / "own")
    assert str(caught.value) == (
        f"{tmp_path}/own/jpg contains no picture of Flowers-102 (image_00001.jpg to image_00008.jpg). "
        "Put the pictures there, or remove the folder, so that 102flowers.tgz is used."
    )


@pytest.mark.parametrize("name", ["102flowers.tgz", "imagelabels.mat", "setid.mat"])
def test_another_file_under_the_name_is_refused(published, name):
    whole = (published / name).read_bytes()
    (published / name).write_bytes(whole[:-30])
    # From a mirror:
    with pytest.raises(DataError, match=rf"{name} could not be fetched \(.*MD5 .* instead of .*data_dir"):
        open_flowers102()
    # In a person's own folder:
    received = hashlib.md5(whole[:-30]).hexdigest()
    with pytest.raises(DataError) as caught:
        open_flowers102(published)
    assert str(caught.value).startswith(
        f"{published / name} is not Flowers-102's as published: it has MD5 {received}, "
        f"expected {hashlib.md5(whole).hexdigest()}."
    )


@pytest.mark.parametrize(
    ("name", "link", "reason"),
    [
        ("jpg/../../../evil", "", "leads outside the folder"),
        ("jpg/image_00009.jpg", "/etc/passwd", "is a link to '/etc/passwd'"),
    ],
)
def test_even_with_the_right_sum_nothing_leaves_the_folder(
    published, tmp_path, monkeypatch, name, link, reason
):
    shutil.rmtree(published)
    extra = tarfile.TarInfo(name)
    if link:
        extra.type, extra.linkname = tarfile.SYMTYPE, link
    declare(publish(published, extra), monkeypatch)
    with pytest.raises(DataError, match=reason):
        open_flowers102()
    assert not (tmp_path / "cache" / "flowers102" / "jpg").exists()
    assert list(tmp_path.rglob("evil")) == []


def test_no_mirror_and_no_copy_says_what_to_put_where(published, monkeypatch):
    monkeypatch.setenv(MIRRORS_VARIABLE, "http://127.0.0.1:1/a, http://127.0.0.1:1/b/")
    with pytest.raises(DataError) as caught:
        open_flowers102()
    assert str(caught.value) == (
        "imagelabels.mat could not be fetched (http://127.0.0.1:1/a/imagelabels.mat: could not be reached; "
        "http://127.0.0.1:1/b/imagelabels.mat: could not be reached). "
        "Check the network, or put 102flowers.tgz, imagelabels.mat and setid.mat into a folder and pass it "
        "as data_dir; LINNAEA_FLOWERS102_MIRRORS names other mirrors."
    )


def test_there_are_102_names_and_no_two_alike():
    names = flower_names()
    assert len(names) == len(set(names)) == 102
    # Labels 1, 51 (the commonest, 258 pictures) and 102 of the publisher's list of categories.
    assert (names[0], names[50], names[101]) == ("pink primrose", "petunia", "blackberry lily")
    assert all(name == name.strip().lower() for name in names)


def test_the_real_copy_has_the_published_parts(shared):
    dataset = open_dataset("flowers102", data_dir=shared / "data" / "flowers102")
    assert dataset.notes == (
        "4,080 of 8,189 pictures are here: 1,020 of 1,020 train, 1,020 of 1,020 val, 2,040 of 6,149 test.",
    )
    assert len(dataset.class_names) == 102
    assert default_protocol(dataset) == "official"
    split = make_split(dataset, "official", validation=0.2)
    assert (len(split.train), len(split.val), len(split.test)) == (1020, 1020, 2040)
    # Ten pictures of each flower to learn from, ten to choose on.
    for rows, each in ((split.train, 10), (split.val, 10), (split.test, 20)):
        assert set(np.unique(dataset.labels[rows], return_counts=True)[1].tolist()) == {each}
    both = make_split(dataset, "trainval")
    assert (len(both.train), len(both.val), len(both.test)) == (2040, 0, 2040)


def test_the_names_belong_to_the_labels(shared):
    table = (shared / "data" / "flowers102" / "classes.csv").read_text().splitlines()[1:]
    assert tuple(line.split(",", 1)[1] for line in table) == flower_names()


def test_a_few_of_the_originals_do_for_looking(shared):
    dataset = open_dataset("flowers102", data_dir=shared / "data" / "flowers102-originals")
    assert len(dataset) == 204
    assert dataset.notes[0].startswith("204 of 8,189 pictures are here: ")
