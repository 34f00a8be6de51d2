"""Folds: each picture judged once, nothing that belongs together divided, every class always learned."""

import numpy as np
import pytest

from linnaea.data.dataset import Dataset
from linnaea.data.folds import make_folds
from linnaea.data.groups import Groups
from linnaea.errors import DataError, SettingError


def pictures(sizes, splits=None):
    """A data set of so many pictures a class."""
    labels = np.repeat([f"class {c}" for c in range(len(sizes))], sizes)
    paths = tuple(f"{row:04}.png" for row in range(len(labels)))
    return Dataset("made", "made", paths, labels, None if splits is None else np.array(splits))


def grouped(ids):
    return Groups(np.asarray(ids), tuple(map(str, ids)))


def test_each_picture_is_judged_once_and_never_by_who_learned_from_it():
    dataset = pictures([20, 31, 9])
    folds = make_folds(dataset, "0.7", 5, validation=0.1)
    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(60))
    for fold in folds:
        rows = np.concatenate([fold.train, fold.val, fold.test])
        assert np.array_equal(np.sort(rows), np.arange(60))
        assert len(fold.val) == pytest.approx(0.1 * 48, abs=1.5)


def test_classes_are_spread_in_proportion():
    dataset = pictures([20, 30, 10])
    for fold in make_folds(dataset, "random", 5):
        names, counts = np.unique(dataset.labels[fold.test], return_counts=True)
        assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
            "class 0": 4,
            "class 1": 6,
            "class 2": 2,
        }


def test_the_seed_decides_and_the_order_of_the_listing_does_not():
    dataset = pictures([12, 12])
    order = np.random.default_rng(0).permutation(24)
    turned = Dataset("made", "made", tuple(dataset.paths[r] for r in order), dataset.labels[order])

    def tested(data, seed):
        return [{data.paths[row] for row in fold.test} for fold in make_folds(data, "0.7", 3, seed=seed)]

    assert tested(dataset, 1) == tested(turned, 1)
    assert tested(dataset, 1) != tested(dataset, 2)


def test_a_given_test_part_stays_untouched():
    splits = ["train", "val", "test", "train"] * 10
    dataset = pictures([20, 20], splits)
    folds = make_folds(dataset, "official", 5, validation=0.2)
    touched = np.concatenate([np.concatenate([f.train, f.val, f.test]) for f in folds])
    assert "test" not in dataset.splits[touched]
    assert len(np.unique(np.concatenate([fold.test for fold in folds]))) == 30
    assert "train and val, test untouched" in folds[0].protocol


def test_groups_are_never_divided():
    dataset = pictures([30, 30])
    ids = np.arange(60) // 3
    for fold in make_folds(dataset, "0.7", 5, validation=0.2, groups=grouped(ids)):
        splits = [set(ids[rows].tolist()) for rows in (fold.train, fold.val, fold.test)]
        assert not splits[0] & splits[1]
        assert not splits[0] & splits[2]
        assert not splits[1] & splits[2]


def test_every_class_is_learned_in_every_fold():
    # Two large groups a class: chance alone would often put both into one fold.
    dataset = pictures([4] * 12)
    ids = np.arange(48) // 2
    for seed in range(8):
        folds = make_folds(dataset, "0.7", 4, validation=0.3, seed=seed, groups=grouped(ids))
        for fold in folds:
            assert set(dataset.labels[fold.train].tolist()) == set(dataset.class_names)
        assert sum(len(fold.test) for fold in folds) == 48


def test_a_class_that_cannot_be_divided_is_named():
    with pytest.raises(DataError) as refused:
        make_folds(pictures([5, 1]), "0.7", 2)
    assert str(refused.value) == (
        "The class 'class 1' has only one picture to divide between folds. "
        "Add pictures of such a class, or leave it out."
    )
    with pytest.raises(DataError) as refused:
        make_folds(pictures([4, 3]), "0.7", 2, groups=grouped([0, 1, 2, 3, 9, 9, 9]))
    assert str(refused.value) == (
        "The class 'class 1' has all pictures in one group, which cannot be divided between folds. "
        "Add pictures of such a class, leave it out, or divide the group."
    )


@pytest.mark.parametrize(("many", "number"), [(10, 3), (10, 5), (8, 3), (3, 3)])
def test_of_few_groups_one_at_least_chooses_and_none_is_divided(many, number):
    dataset = pictures([60, 60])
    ids = np.arange(120) % many
    for fold in make_folds(dataset, "0.7", number, validation=0.1, groups=grouped(ids)):
        splits = [set(ids[rows].tolist()) for rows in (fold.train, fold.val, fold.test)]
        assert all(splits)
        assert sum(map(len, splits)) == many
        assert "10 % of the others set aside for validation (it is " in fold.protocol


def test_fewer_groups_than_folds_are_refused():
    groups = grouped(np.arange(60) % 3)
    with pytest.raises(
        SettingError, match=r"3 groups of pictures cannot be divided into 5 folds: a group stays whole\."
    ):
        make_folds(pictures([30, 30]), "0.7", 5, groups=groups)


def test_more_folds_than_pictures_are_refused():
    with pytest.raises(SettingError) as refused:
        make_folds(pictures([2, 2]), "0.7", 5)
    assert str(refused.value) == "4 pictures cannot be divided into 5 folds. Ask for fewer."
