"""Small pictures decoded into a cache of the test's own."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from linnaea.data import cache
from linnaea.data.cache import DecodedPictures, decoded
from linnaea.data.decoding import read_picture
from linnaea.data.downloads import cache_folder
from linnaea.data.scan import scan
from linnaea.data.sources import open_dataset
from linnaea.errors import DataError, SettingError
from linnaea.hashing import content_hash

SIDE = 16
SIZE = 16 * 20 * 3  # bytes of one of make_folder's pictures of 32 x 40, reduced


@pytest.fixture
def photos(make_folder):
    return open_dataset(make_folder({"a": 4, "b": 4}, size=(32, 40))).files(range(8))


@pytest.fixture
def limit_to(monkeypatch):
    """Return a function that limits the cache to so many bytes."""
    return lambda size: monkeypatch.setenv("LINNAEA_CACHE_GIB", repr(size / 2**30))


def same(pictures: DecodedPictures, files: list[Path], side: int = SIDE) -> bool:
    return len(pictures) == len(files) and all(
        np.array_equal(picture, read_picture(file, shortest_side=side))
        for picture, file in zip(pictures, files, strict=True)
    )


def on_disk(pattern: str) -> list[Path]:
    return sorted((cache_folder() / "pictures").rglob(pattern))


@pytest.fixture
def no_decoding(monkeypatch):
    """Return a function after which nothing can be decoded any more."""

    def forbid() -> None:
        monkeypatch.setattr(cache, "decode_picture", None)
        monkeypatch.setattr(cache, "read_picture", None)

    return forbid


def test_pictures_are_what_the_decoder_makes_of_them(photos):
    for pictures in (decoded(photos, SIDE), decoded([str(file) for file in photos], SIDE)):
        assert same(pictures, photos)
        assert pictures[0].shape == (16, 20, 3)
        assert (pictures.kept, pictures.nbytes, pictures.notes) == (8, 8 * SIZE, ())
        assert list(pictures.hashes) == [content_hash(file.read_bytes()) for file in photos]


def test_the_second_time_nothing_is_decoded(photos, no_decoding):
    first = decoded(photos, SIDE)
    no_decoding()
    second = decoded(photos, SIDE)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(on_disk("*.bin")) == 1


def test_pictures_are_known_by_their_content(photos, tmp_path, no_decoding):
    decoded(photos, SIDE)
    moved = [shutil.copy(photos[row], tmp_path / f"{place}.jpg") for place, row in enumerate((5, 2))]
    no_decoding()
    assert decoded(moved, SIDE).kept == 2
    assert decoded(photos[1::2], SIDE).kept == 4


def test_a_changed_or_new_picture_is_decoded_and_the_rest_is_not(photos):
    decoded(photos, SIDE)
    file = photos[3]
    Image.new("RGB", (40, 32), "red").save(file)
    assert decoded(photos, SIDE)[3][0, 0].tolist() == [255, 0, 0]
    # The second shard holds the one new picture.
    assert sorted(path.stat().st_size for path in on_disk("*.bin")) == [SIZE, 8 * SIZE]


def test_another_side_is_another_cache_and_nothing_is_enlarged(photos):
    decoded(photos, SIDE)
    assert same(decoded(photos, 24), photos, 24)
    assert decoded(photos, 500)[0].shape == (32, 40, 3)
    with pytest.raises(ValueError, match="side must be at least 1 pixel; got 0"):
        decoded(photos, 0)


def test_the_same_picture_twice_is_kept_once(photos):
    files = [photos[0], photos[1], photos[0], photos[0]]
    assert same(decoded(files, SIDE), files)
    assert [path.stat().st_size for path in on_disk("*.bin")] == [2 * SIZE]


def test_parts_and_copies_of_the_sequence(photos):
    pictures, files = decoded(photos, SIDE), photos
    assert same(pictures[2:5], files[2:5])
    assert same(pictures.select(np.array([7, 0])), [files[7], files[0]])
    assert same(pictures.select([7, 0])[::-1], [files[0], files[7]])
    assert np.array_equal(pictures[-1], pictures[7])
    assert same(pickle.loads(pickle.dumps(pictures)), files)
    with pytest.raises(IndexError):
        pictures[8]


def test_digits_are_passed_on_in_colour(digits):
    pictures = scan(digits, side=SIDE).photographs
    assert (len(pictures), pictures[0].shape, pictures.side) == (5000, (28, 28, 3), None)
    np.testing.assert_array_equal(pictures[7][..., 2], digits.pixels[7])
    assert not (cache_folder() / "pictures").exists()


def test_an_unreadable_picture_is_told_before_training_and_the_others_stay(photos, no_decoding):
    files = photos
    whole = files[7].read_bytes()
    files[7].write_bytes(whole[:100])
    with pytest.raises(DataError, match=r"b/3\.png is truncated"):
        decoded(photos, SIDE)
    files[7].unlink()
    with pytest.raises(DataError, match=r"b/3\.png could not be read \(No such file or directory\)"):
        decoded(photos, SIDE)
    no_decoding()
    assert decoded(files[:7], SIDE).kept == 7


@pytest.mark.parametrize("harm", ["a flipped bit", "cut short", "gone", "emptied"])
def test_a_damaged_shard_is_noticed_while_training_and_made_anew(photos, harm):
    pictures, files = decoded(photos, SIDE), photos
    (shard,) = on_disk("*.bin")
    content = bytearray(shard.read_bytes())
    content[5 * SIZE + 7] ^= 4
    if harm == "gone":
        shard.unlink()
    else:
        keep = {"a flipped bit": len(content), "cut short": 5 * SIZE + 1, "emptied": 0}[harm]
        shard.write_bytes(content[:keep])
    with pytest.warns(RuntimeWarning, match="are lost or damaged; they are decoded from their files") as told:
        assert same(pictures, files)
    assert len(told) == 1
    anew = decoded(photos, SIDE)
    assert same(anew, files)
    assert anew.kept == 8
    assert shard not in on_disk("*.bin")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:Decoded pictures:RuntimeWarning")
def test_whatever_happens_to_an_index_the_pictures_are_right(photos, changes):
    decoded(photos, SIDE)
    index = on_disk("*.json")[-1]
    content = bytearray(index.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    index.write_bytes(content)
    assert same(decoded(photos, SIDE), photos)


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"format_version": 1, "bytes": 7680, "pictures": {"x": [1e999, 1, 1, 0]}}']
)
def test_an_index_that_says_nothing_is_made_anew(photos, index):
    decoded(photos, SIDE)
    on_disk("*.json")[0].write_text(index)
    assert decoded(photos, SIDE).kept == 8
    assert len(on_disk("*.json")) == len(on_disk("*.bin")) == 1


def test_a_data_set_larger_than_the_limit_is_kept_in_part_and_told(photos, limit_to):
    limit_to(5 * SIZE + 1)
    pictures = decoded(photos, SIDE)
    assert pictures.notes == (
        "3 of 8 pictures are decoded anew each time they are needed: the cache is limited to 4.47e-06 GiB "
        "(LINNAEA_CACHE_GIB sets another limit).",
    )
    assert same(pictures, photos)
    assert sum(path.stat().st_size for path in on_disk("*.bin")) == 5 * SIZE
    again = decoded(photos, SIDE)
    assert (again.kept, again.notes) == (5, pictures.notes)


def test_the_least_recently_used_pictures_make_room(make_folder, limit_to):
    sets = [
        open_dataset(make_folder({"a": 2, "b": 2}, name=name, size=size)).files(range(4))
        for name, size in (("one", (32, 40)), ("two", (34, 40)), ("three", (36, 40)))
    ]
    limit = 10 * SIZE
    limit_to(limit)
    for number in (0, 1):
        decoded(sets[number], SIDE)
    # Made an hour apart, and the older one used again just now.
    for age, index in enumerate(sorted(on_disk("*.json"), key=lambda path: path.stat().st_mtime)[::-1], 1):
        os.utime(index, (index.stat().st_mtime - 3600 * age,) * 2)
    assert decoded(sets[0], SIDE).kept == 4
    assert decoded(sets[2], SIDE).kept == 4
    assert sum(path.stat().st_size for path in on_disk("*.bin")) <= limit
    assert len(on_disk("*.bin")) == 2
    kept = [
        {key for index in on_disk("*.json") for key in json.loads(index.read_text())["pictures"]}
        >= {content_hash(file.read_bytes()) for file in data}
        for data in sets
    ]
    assert kept == [True, False, True]


def test_the_limit_comes_from_the_environment(photos, monkeypatch):
    monkeypatch.setenv("LINNAEA_CACHE_GIB", "0")
    assert decoded(photos, SIDE).kept == 0
    monkeypatch.setenv("LINNAEA_CACHE_GIB", "lots")
    with pytest.raises(SettingError) as caught:
        decoded(photos, SIDE)
    assert str(caught.value) == (
        "LINNAEA_CACHE_GIB is 'lots'. Give a number of GiB, such as 4, or 0 to keep nothing."
    )


def test_a_full_disk_ends_the_keeping_and_not_the_work(photos):
    # No file may grow beyond three pictures and a half: the fourth is written in part, like on a full disk.
    # In a process of its own, and without byte code: Python would leave half a .pyc behind as well.
    command = (
        "import resource, sys; from pathlib import Path; from linnaea.data.cache import decoded;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({3 * SIZE + SIZE // 2},) * 2);"
        f"pictures = decoded([Path(name) for name in sys.argv[1:]], {SIDE});"
        "print(*pictures.notes, sum(int(picture.sum()) for picture in pictures), sep='|')"
    )
    files = photos
    ran = subprocess.run(
        [sys.executable, "-B", "-c", command, *map(str, files)], capture_output=True, text=True, check=False
    )
    total = sum(int(read_picture(file, shortest_side=SIDE).sum()) for file in files)
    assert ran.stdout == (
        "8 of 8 pictures are decoded anew each time they are needed: "
        f"{cache_folder()}/pictures/v2-16 cannot be used (only a part of a picture could be written; "
        f"free some space, or name another folder in LINNAEA_CACHE).|{total}\n"
    ), ran.stderr
    # What was taken is given back. The lock of a set stays, and its name may begin with any: ".b*.lock".
    assert on_disk("*.bin") == on_disk("*.building") == on_disk("*.json") == []


def test_a_disk_that_is_nearly_full_is_not_filled(photos, monkeypatch):
    free = shutil.disk_usage(cache_folder().parent).free
    monkeypatch.setattr(cache, "RESERVE", free * 2)
    pictures = decoded(photos, SIDE)
    assert pictures.kept == 0
    assert "MiB are free beside" in pictures.notes[0]
    assert same(pictures, photos)


def test_a_cache_that_cannot_be_written_is_told(photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way of a folder")
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "file"))
    pictures = decoded(photos, SIDE)
    assert same(pictures, photos)
    assert pictures.notes == (
        "8 of 8 pictures are decoded anew each time they are needed: "
        f"{tmp_path}/file/pictures/v2-16 cannot be used (Not a directory; "
        "free some space, or name another folder in LINNAEA_CACHE).",
    )


def test_two_processes_at_once_do_the_work_once(make_folder):
    root = make_folder({"a": 60, "b": 60}, size=(96, 120))
    command = (
        "import sys; from linnaea.data.sources import open_dataset; from linnaea.data.cache import decoded;"
        f"pictures = decoded(open_dataset(sys.argv[1]).files(range(120)), {SIDE});"
        "print(len(pictures), pictures.kept, sum(int(picture.sum()) for picture in pictures))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", command, str(root)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in processes]
    expected = sum(
        int(read_picture(file, shortest_side=SIDE).sum()) for file in open_dataset(root).files(range(120))
    )
    assert said == [f"120 120 {expected}\n"] * 2
    assert len(on_disk("*.bin")) == 1


def test_what_a_killed_process_left_is_removed_later(photos):
    decoded(photos, SIDE)
    folder = on_disk("*.bin")[0].parent
    for name in ("old.building", "old.bin", "young.building"):
        (folder / name).write_bytes(b"half a picture")
    for name in ("old.building", "old.bin"):
        os.utime(folder / name, (0, 0))
    decoded(photos, SIDE)
    assert {path.name for path in folder.iterdir()}.isdisjoint({"old.building", "old.bin"})
    assert (folder / "young.building").exists()


def test_memory_does_not_grow_with_the_number_of_pictures(make_folder):
    files = open_dataset(make_folder({"a": 100, "b": 100}, size=(64, 64))).files(range(200))
    few = files[:40]

    def peak(pictures_of) -> int:
        tracemalloc.start()
        for picture in decoded(pictures_of, 64):
            assert picture.shape == (64, 64, 3)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(few)  # what is imported on first use is not counted
    shutil.rmtree(cache_folder())
    small, large = peak(few), peak(files)
    # 160 pictures more are 1,966,080 bytes; what remains is the list of where each lies.
    assert large - small < 160 * 64 * 64 * 3 / 4


def test_the_flowers_are_kept_once_for_every_split(shared, no_decoding):
    dataset = open_dataset("flowers102", data_dir=shared / "data" / "flowers102")
    some = dataset.files(range(60))
    pictures = decoded(some, 256)
    assert min(min(picture.shape[:2]) for picture in pictures) == 256
    assert same(pictures, some, 256)
    no_decoding()
    assert decoded(some[20:], 256).kept == 40
