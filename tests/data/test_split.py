import csv
import io
import tracemalloc
import unicodedata
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnaea.data.dataset import Dataset
from linnaea.data.fingerprints import content_hashes, fingerprint
from linnaea.data.folds import make_folds
from linnaea.data.sources import open_dataset
from linnaea.data.split import Split, default_protocol, make_split
from linnaea.data.split_file import COLUMNS, read_split, split_from_rows, split_hash, split_rows
from linnaea.errors import DataError, SettingError


def whole(dataset: Dataset) -> str:
    return fingerprint(dataset, content_hashes(dataset))


def read_again(dataset: Dataset, rows: list[dict[str, str]], **settings: str) -> Split:
    return split_from_rows(dataset, rows, content_hashes(dataset), **settings)


def in_memory(counts, splits=None):
    """A data set with counts[class] pictures of a class, each with its own single value."""
    labels = np.array([name for name, count in counts.items() for _ in range(count)])
    pixels = np.arange(len(labels), dtype=np.uint32).view(np.uint8).reshape(-1, 2, 2)
    paths = tuple(f"p/{number:05d}" for number in range(len(labels)))
    return Dataset("toy", "toy", paths, labels, None if splits is None else np.array(splits), pixels)


def tally(dataset, rows):
    return dict(Counter(dataset.labels[rows].tolist()))


def test_seventy_thirty_keeps_each_class_in_proportion():
    dataset = in_memory({"a": 100, "b": 50, "c": 10})
    split = make_split(dataset, "0.7", seed=3)
    assert tally(dataset, split.train) == {"a": 70, "b": 35, "c": 7}
    assert tally(dataset, split.test) == {"a": 30, "b": 15, "c": 3}
    assert len(split.val) == 0
    assert split.protocol == "70/30 stratified, seed 3"


def test_mnist_seventy_thirty_is_49000_and_21000(shared):
    mnist = open_dataset("mnist", data_dir=shared / "data" / "mnist")
    split = make_split(mnist, "0.7")
    assert (len(split.train), len(split.test)) == (49000, 21000)
    shares = np.array([np.mean(mnist.labels[split.test] == name) for name in mnist.class_names])
    whole = np.array([np.mean(mnist.labels == name) for name in mnist.class_names])
    assert np.abs(shares - whole).max() < 1 / 21000
    official = make_split(mnist, "official")
    assert (len(official.train), len(official.val), len(official.test)) == (60000, 0, 10000)
    assert default_protocol(mnist) == "0.7"


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    dataset = in_memory({"a": 40, "b": 40})
    first, again, other = (make_split(dataset, "0.7", validation=0.1, seed=seed) for seed in (0, 0, 1))
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(first.by_name()[part], again.by_name()[part])
    assert not np.array_equal(first.test, other.test)


def test_the_split_is_recorded():
    # Guards every published number: another draw under the same seed would be another test part.
    split = make_split(in_memory({"a": 6, "b": 4}), "0.5", seed=0)
    assert split.test.tolist() == [0, 4, 5, 8, 9]


def test_order_of_listing_changes_nothing():
    dataset = in_memory({"a": 30, "b": 20})
    order = np.random.default_rng(1).permutation(50)
    shuffled = replace(
        dataset,
        paths=tuple(dataset.paths[row] for row in order),
        labels=dataset.labels[order],
        pixels=dataset.pixels[order],
    )
    rows = [
        split_rows(data, make_split(data, "0.6", validation=0.2), content_hashes(data))
        for data in (dataset, shuffled)
    ]
    assert rows[0] == rows[1]
    assert split_hash(rows[0]) == split_hash(rows[1])
    assert whole(dataset) == whole(shuffled)


@pytest.mark.parametrize("protocol", ["70/30", "0.7", " 70 / 30 ", "0.7/0.3"])
def test_one_protocol_written_in_several_ways(protocol):
    dataset = in_memory({"a": 10, "b": 10})
    split = make_split(dataset, protocol)
    assert (len(split.train), len(split.test)) == (14, 6)


def test_random_is_seventy_thirty_whatever_the_official_parts_say():
    dataset = in_memory({"a": 10, "b": 10}, splits=["train", "test"] * 10)
    random, seventy = make_split(dataset, "random", seed=2), make_split(dataset, "0.7", seed=2)
    np.testing.assert_array_equal(random.test, seventy.test)
    assert random.protocol == "70/30 stratified, seed 2"


def test_trainval_trains_on_both_parts_and_leaves_test_alone():
    splits = ["train", "val", "val", "test"] * 5
    dataset = in_memory({"a": 10, "b": 10}, splits=splits)
    split, official = make_split(dataset, "trainval"), make_split(dataset, "official")
    assert split.train.tolist() == sorted([*official.train, *official.val])
    np.testing.assert_array_equal(split.test, official.test)
    assert (len(split.train), len(split.val), len(split.test)) == (15, 0, 5)
    assert split.protocol == "the data set's own split, train and val together for training"
    carved = make_split(dataset, "trainval", validation=0.2, seed=1)
    assert (len(carved.train), len(carved.val)) == (12, 3)
    np.testing.assert_array_equal(carved.test, official.test)
    assert carved.protocol == (
        "the data set's own split, train and val together for training, "
        "20 % of training set aside for validation, seed 1"
    )


def test_trainval_needs_a_validation_part():
    with pytest.raises(SettingError) as caught:
        make_split(in_memory({"a": 2, "b": 2}, splits=["train", "test"] * 2), "trainval")
    assert str(caught.value) == (
        "'toy' comes with no validation set to train on as well. Use split='official'."
    )


def test_three_shares_name_a_validation_part():
    dataset = in_memory({"a": 40, "b": 60})
    split = make_split(dataset, "70/15/15", validation=0.5)
    assert [len(rows) for rows in split.by_name().values()] == [70, 15, 15]
    assert split.protocol == "70/15/15 stratified, seed 0"


def test_validation_comes_out_of_training_and_leaves_test_alone():
    dataset = in_memory({"a": 100, "b": 100})
    plain, carved = make_split(dataset, "0.7"), make_split(dataset, "0.7", validation=0.1)
    np.testing.assert_array_equal(plain.test, carved.test)
    assert tally(dataset, carved.val) == {"a": 7, "b": 7}
    assert sorted([*carved.train, *carved.val]) == sorted(plain.train)
    assert carved.protocol == "70/30 stratified, seed 0, 10 % of training set aside for validation"


@pytest.mark.parametrize(
    "protocol", ["", "half", "1", "0", "-0.5", "70/20", "50/20/20/10", "1/0", "nan", "100/0", "7/10"]
)
def test_other_protocols_are_refused_with_what_is_allowed(protocol):
    with pytest.raises(SettingError) as caught:
        make_split(in_memory({"a": 4, "b": 4}), protocol)
    assert str(caught.value) == (
        f"The split '{protocol}' is not known. "
        "Allowed are 'official', 'trainval', 'random', a fraction to train on such as 0.7, "
        "or percentages such as 70/30 or 70/15/15."
    )


@pytest.mark.parametrize("validation", [-0.1, 1, float("nan")])
def test_a_validation_fraction_out_of_range_is_refused(validation):
    with pytest.raises(SettingError, match="expected 0 or more and less than 1"):
        make_split(in_memory({"a": 4, "b": 4}), "0.7", validation=validation)


def test_official_parts_are_taken_as_they_are():
    splits = ["train", "val", "test", ""] * 4
    dataset = in_memory({"a": 8, "b": 8}, splits)
    split = make_split(dataset, "official", validation=0.5)
    for part, rows in split.by_name().items():
        assert rows.tolist() == [row for row in range(16) if splits[row] == part]
    assert split.protocol == "the data set's own split, 4 pictures in no set left out"


def test_official_without_validation_carves_it_out_when_asked():
    dataset = in_memory({"a": 20, "b": 20}, (["train"] * 10 + ["test"] * 10) * 2)
    split = make_split(dataset, "official", validation=0.2, seed=5)
    assert tally(dataset, split.val) == {"a": 2, "b": 2}
    assert split.protocol == "the data set's own split, 20 % of training set aside for validation, seed 5"


def test_official_needs_parts():
    with pytest.raises(
        SettingError, match=r"'toy' comes without a split\. Use a fraction, such as split=0.7"
    ):
        make_split(in_memory({"a": 2, "b": 2}), "official")
    dataset = in_memory({"a": 2, "b": 2}, ["train", "val", "train", "val"])
    with pytest.raises(DataError, match=r"'toy' comes with a split, but has no test set\. Add test pictures"):
        make_split(dataset, "official")


def test_a_class_with_one_picture_is_named():
    with pytest.raises(DataError) as caught:
        make_split(in_memory({"a": 9, "rare": 1}), "0.7")
    assert str(caught.value) == (
        "The class 'rare' has only one picture to divide between training and test. "
        "Add pictures of such a class, or leave it out."
    )
    with pytest.raises(DataError, match=r"2 classes \('b', 'c'\) have only one picture"):
        make_split(in_memory({"a": 9, "b": 1, "c": 1}), "0.7")
    with pytest.raises(DataError, match="only one picture outside the test set"):
        make_split(in_memory({"a": 9, "b": 2}), "0.7", validation=0.2)


def test_a_class_that_training_never_had_is_named():
    dataset = in_memory({"a": 4, "new": 2}, ["train", "train", "test", "test", "test", "test"])
    with pytest.raises(DataError) as caught:
        make_split(dataset, "official")
    assert str(caught.value) == (
        "The class 'new' has pictures in the test set and none in the training set. "
        "A network cannot learn a class that it never sees: add pictures of it, leave it out, or divide all "
        "anew (split=0.7)."
    )


def test_a_folder_copied_from_a_mac_is_drawn_alike():
    """HFS+ stores é as e and an accent (NFD), so that écrin stands before f and no longer behind z."""
    names = [f"{letter}{number}.jpg" for letter in ("\u00e9", "f", "\u00fc", "z") for number in range(10)]
    labels = np.array(["a", "b"] * 20)
    drawn = []
    for form in ("NFC", "NFD"):
        paths = tuple(unicodedata.normalize(form, name) for name in names)
        dataset = Dataset("toy", "toy", paths, labels, pixels=np.zeros((40, 1, 1), np.uint8))
        splits = [make_split(dataset, "0.7", validation=0.2), *make_folds(dataset, "all", 3)]
        again = read_again(dataset, split_rows(dataset, splits[0], content_hashes(dataset)))
        assert [rows.tolist() for rows in again.by_name().values()] == [
            rows.tolist() for rows in splits[0].by_name().values()
        ]
        drawn.append([[names[row] for rows in split.by_name().values() for row in rows] for split in splits])
    assert drawn[0] == drawn[1]


def test_one_long_path_takes_its_own_room_only():
    count = 2000
    paths = (*(f"{number:06}.jpg" for number in range(count - 1)), "z" * 4000)
    labels = np.array(["a", "b"] * (count // 2))
    dataset = Dataset("toy", "toy", paths, labels, pixels=np.zeros((count, 1, 1), np.uint8))
    make_split(dataset, "0.7")  # what is imported on first use is not counted
    tracemalloc.start()
    make_split(dataset, "0.7")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * 4000  # bytes; an array of text would take four times as many


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(2, 30), min_size=2, max_size=12),
    share=st.integers(1, 99),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_class_is_in_both_parts_and_every_picture_in_one(counts, share, seed):
    dataset = in_memory({f"c{number:02d}": count for number, count in enumerate(counts)})
    split = make_split(dataset, f"{share}/{100 - share}", seed=seed)
    assert sorted([*split.train, *split.test]) == list(range(len(dataset)))
    assert set(dataset.labels[split.train]) == set(dataset.labels[split.test]) == set(dataset.class_names)
    room = len(counts)
    wanted = min(max(len(dataset) * (100 - share) / 100, room), len(dataset) - room)
    assert abs(len(split.test) - wanted) <= room


def test_rows_of_a_folder_carry_the_hash_of_the_file(make_folder):
    import hashlib

    root = make_folder({"a": 4, "b": 4})
    dataset = open_dataset(root)
    rows = split_rows(dataset, make_split(dataset, "0.5"), content_hashes(dataset))
    assert [row["path"] for row in rows] == list(dataset.paths)
    assert rows[0]["hash"] == hashlib.sha256((root / "a/0.png").read_bytes()).hexdigest()[:32]
    assert Counter(row["split"] for row in rows) == {"train": 4, "test": 4}


def written(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def test_a_split_comes_back_from_its_file(make_folder):
    dataset = open_dataset(make_folder({"a": 6, "b, c": 6}))
    split = make_split(dataset, "0.5", validation=0.4)
    back = split_from_rows(
        dataset,
        read_split(written(split_rows(dataset, split, content_hashes(dataset)))),
        content_hashes(dataset),
    )
    for part, rows in split.by_name().items():
        np.testing.assert_array_equal(back.by_name()[part], rows)


def test_a_split_is_refused_when_the_pictures_changed(make_folder):
    root = make_folder({"a": 6, "b": 6})
    dataset = open_dataset(root)
    rows = split_rows(dataset, make_split(dataset, "0.5"), content_hashes(dataset))
    (root / "a/0.png").unlink()
    (root / "a/1.png").rename(root / "a/new name.png")
    (root / "a/2.png").write_bytes((root / "b/0.png").read_bytes() + b"x")
    (root / "a/3.png").rename(root / "b/9.png")
    changed = open_dataset(root)
    labels = changed.labels.copy()
    labels[list(changed.paths).index("a/4.png")] = "b"
    with pytest.raises(DataError) as caught:
        split_from_rows(replace(changed, labels=labels), rows, content_hashes(changed))
    assert str(caught.value) == (
        "'photos' is not what the split was made from (1 missing: a/0.png; "
        "2 moved: a/1.png (now a/new name.png), a/3.png (now b/9.png); "
        "1 changed: a/2.png; 1 relabelled: a/4.png ('a', now 'b')). "
        "Restore the pictures, or make a new split."
    )


def test_a_picture_that_vanished_has_not_moved_to_its_copy(make_folder):
    root = make_folder({"a": 6, "b": 6})
    (root / "a/1.png").write_bytes((root / "a/0.png").read_bytes())
    dataset = open_dataset(root)
    rows = split_rows(dataset, make_split(dataset, "0.5"), content_hashes(dataset))
    (root / "a/0.png").unlink()
    with pytest.raises(DataError, match=r"\(1 missing: a/0.png\)"):
        read_again(open_dataset(root), rows)
    (root / "b/new.png").write_bytes((root / "a/1.png").read_bytes())
    with pytest.raises(DataError, match=r"\(1 moved: a/0.png \(now b/new.png\)\)"):
        read_again(open_dataset(root), rows)


def test_new_pictures_stay_outside_an_earlier_split(make_folder):
    root = make_folder({"a": 4, "b": 4})
    dataset = open_dataset(root)
    rows = split_rows(dataset, make_split(dataset, "0.5"), content_hashes(dataset))
    (root / "a/9.png").write_bytes((root / "a/0.png").read_bytes() + b"x")
    split = read_again(open_dataset(root), rows, protocol="splits of runs/one")
    assert len(split.train) + len(split.test) == 8
    assert split.protocol == "splits of runs/one, 1 picture outside it left out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\na,b\n",
            "The split has no column 'hash', 'split'. Its columns must be path,hash,label,split[,group].",
        ),
        ("path,hash,label,split\na,h,b,exam\n", "The split contains the unknown set 'exam'. "),
        ("path,hash,label,part\na,h,b,train\na,h,b,test\n", "The split lists pictures twice: a. "),
    ],
)
def test_a_damaged_split_file_is_refused(text, message):
    with pytest.raises(DataError) as caught:
        read_split(text)
    assert str(caught.value).startswith(message)


def test_a_split_file_of_an_earlier_version_is_read():
    older = "path,hash,label,part\na,h,rose,train\nb,i,lily,test\n"
    assert [row["split"] for row in read_split(older)] == ["train", "test"]
    assert split_hash(read_split(older)) == split_hash(read_split(older.replace("part", "split")))


def test_the_fingerprint_follows_content_label_path_and_part():
    dataset = in_memory({"a": 3, "b": 3}, ["train"] * 6)
    base = whole(dataset)
    pixels, labels, splits = dataset.pixels.copy(), dataset.labels.copy(), dataset.splits.copy()
    pixels[0, 0, 0], labels[0], splits[0] = 9, "b", "val"
    others = [
        {"pixels": pixels},
        {"labels": labels},
        {"splits": splits},
        {"paths": ("q", *dataset.paths[1:])},
    ]
    assert len({base, *(whole(replace(dataset, **change)) for change in others)}) == 5
