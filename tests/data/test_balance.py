from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from linnaea.data.balance import divide_groups
from linnaea.data.dataset import Dataset
from linnaea.data.groups import find_groups
from linnaea.data.split import make_split
from linnaea.errors import DataError


def chi_square(labels, taken, share):
    _, codes = np.unique(labels, return_inverse=True)
    sizes, got = np.bincount(codes), np.bincount(codes[taken], minlength=codes.max() + 1)
    return float((((got - share * sizes) ** 2) / sizes).sum())


def random(seed=0):
    return np.random.default_rng(seed)


def test_a_few_copies_among_many_pictures_change_no_share():
    labels = np.repeat([f"c{number}" for number in range(20)], 40)
    groups = np.arange(800)
    groups[::16] = groups[8::16]  # fifty pairs within their classes
    taken = divide_groups(labels, groups, Fraction(3, 10), random())
    assert {(taken & (labels == name)).sum() for name in set(labels)} == {12}


def test_the_best_of_all_divisions_is_found_where_all_can_be_tried():
    # Ten patients with 1 to 40 pictures of three classes: 1,022 ways to choose.
    generator = random(4)
    groups = np.repeat(np.arange(10), generator.integers(5, 40, 10))
    labels = generator.choice(["a", "b", "c"], len(groups))
    costs = []
    for choice in range(1, 1023):
        taken = (choice >> groups) & 1 > 0
        size = taken.sum() - 0.3 * len(groups)
        costs.append(chi_square(labels, taken, 0.3) + size**2 / len(groups))
    taken = divide_groups(labels, groups, 0.3, random())
    reached = chi_square(labels, taken, 0.3) + (taken.sum() - 0.3 * len(groups)) ** 2 / len(groups)
    assert reached <= sorted(costs)[2]


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_met_better_than_by_folds_of_scikit_learn(seed):
    generator = random(seed)
    groups = generator.integers(0, 40, 600)
    labels = generator.choice(["a", "b", "c"], 600, p=[0.6, 0.3, 0.1])
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)
    theirs = min(chi_square(labels, judged, 0.2) for _, judged in folds)
    assert chi_square(labels, divide_groups(labels, groups, 0.2, random(seed)), 0.2) <= theirs


def test_large_groups_and_small_are_on_both_sides():
    sizes = np.repeat([1, 3, 9], 40)
    groups = np.repeat(np.arange(120), sizes)
    taken = divide_groups(np.full(len(groups), "a"), groups, 0.25, random())
    chosen = sizes[np.unique(groups[taken])]
    assert [int((chosen == size).sum()) for size in (1, 3, 9)] == pytest.approx([10, 10, 10], abs=1)


def test_other_seeds_choose_other_groups():
    groups = np.repeat(np.arange(30), 4)
    labels = np.repeat(["a", "b"], 60)
    choices = {divide_groups(labels, groups, 0.3, random(seed)).tobytes() for seed in range(5)}
    assert len(choices) == 5


grouped = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=8, max_size=80)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(pictures=grouped, share=st.integers(5, 60), seed=st.integers(0, 99), data=st.data())
def test_a_split_divides_no_group_and_loses_no_picture(pictures, share, seed, data):
    names = [f"p{row:03}" for row in range(len(pictures))]
    labels = np.array([f"c{label}" for label, _ in pictures])
    patients = dict(zip(names, (f"g{patient}" for _, patient in pictures), strict=True))

    def divided(order):
        paths = tuple(names[row] for row in order)
        pixels = np.zeros((len(paths), 2, 2), np.uint8)
        dataset = Dataset("toy", "toy", paths, labels[order], pixels=pixels, columns={"patient": patients})
        groups = find_groups(dataset, column="patient")
        split = make_split(dataset, f"{100 - share}/{share}", validation=0.2, seed=seed, groups=groups)
        return {part: sorted(paths[row] for row in rows) for part, rows in split.by_name().items()}

    try:
        splits = divided(np.arange(len(names)))
    except DataError:
        # Classes of one picture or in one group cannot be divided; their messages have tests of their own.
        assume(False)
    assert sorted(name for members in splits.values() for name in members) == names
    parts_of = defaultdict(set)
    for part, members in splits.items():
        for name in members:
            parts_of[patients[name]].add(part)
    assert {len(found) for found in parts_of.values()} == {1}
    assert divided(np.array(data.draw(st.permutations(range(len(names)))))) == splits


def test_a_group_that_holds_a_whole_class_is_named():
    labels = ["a"] * 4 + ["rare"] * 3
    patients = {f"p{row}": name for row, name in enumerate("uvwxzzz")}
    dataset = Dataset(
        "toy",
        "toy",
        tuple(patients),
        np.array(labels),
        pixels=np.zeros((7, 2, 2), np.uint8),
        columns={"patient": patients},
    )
    with pytest.raises(DataError) as caught:
        make_split(dataset, "0.7", groups=find_groups(dataset, column="patient"))
    assert str(caught.value) == (
        "A class lies in one group, which cannot be divided between training and test: "
        "'rare' in 'z', 3 pictures. "
        "Add pictures of such a class that belong to another group, or leave it out."
    )


def test_without_groups_of_two_the_split_is_that_of_no_groups():
    dataset = Dataset(
        "toy", "toy", tuple(f"p{row:02}" for row in range(40)), np.array(["a", "b"] * 20),
        pixels=np.zeros((40, 2, 2), np.uint8),
    )  # fmt: skip
    plain = make_split(dataset, "0.7", validation=0.1, seed=3)
    alone = make_split(dataset, "0.7", validation=0.1, seed=3, groups=find_groups(dataset, copies=range(40)))
    for part, rows in plain.by_name().items():
        np.testing.assert_array_equal(alone.by_name()[part], rows)
    assert alone.protocol == plain.protocol
