"""Augmentation: torchvision's arithmetic a batch at a time, mixing whose shares add up, the probe's views."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.transforms.v2 import functional

from linnaea.classifiers.finetune.augment import (
    Augmentation,
    cross_entropy,
    cutmix,
    erase,
    jitter_colour,
    mixup,
    pictures_seen,
    random_box,
    shares,
    smoothed,
    views,
)
from linnaea.classifiers.finetune.pictures import ResidentPictures
from linnaea.classifiers.finetune.preprocessing import Preprocessing

SMALL = Preprocessing(size=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def noise(number: int, height: int = 40, width: int = 60) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randint(0, 256, (number, 3, height, width), dtype=torch.uint8, generator=generator))


@given(st.integers(1, 500), st.integers(1, 500), st.floats(0.05, 1), st.integers(0, 2**32))
def test_a_random_box_lies_in_the_picture(height: int, width: int, least: float, seed: int) -> None:
    top, left, h, w = random_box(height, width, least, np.random.default_rng(seed))
    assert 0 <= top < top + h <= height
    assert 0 <= left < left + w <= width


def test_random_boxes_cover_the_share_that_was_asked_for_with_even_chance() -> None:
    rng = np.random.default_rng(0)
    covered = np.array([np.prod(random_box(400, 400, 0.25, rng)[2:]) / 400**2 for _ in range(4000)])
    # Only boxes near the whole picture lose something, where 3:4 no longer fits in.
    assert 0.24 < covered.min() < 0.26
    assert abs(np.mean(covered < 0.5) - 1 / 3) < 0.03


def test_without_augmentation_training_sees_what_evaluation_sees() -> None:
    pictures = noise(4, 40, 60)
    plain = Augmentation(crop_scale=1, flip=False)
    seen = plain.pictures(pictures, 32, SMALL, np.random.default_rng(0))
    arrays = [picture.permute(1, 2, 0).numpy() for picture in pictures]
    assert torch.equal(seen, SMALL.apply(arrays))
    assert seen.is_contiguous(memory_format=torch.channels_last)


def test_a_smaller_picture_shows_the_same_part_as_evaluation() -> None:
    ramp = torch.arange(60, dtype=torch.uint8).expand(3, 40, 60) * 4
    seen = Augmentation(crop_scale=1, flip=False).cropped([ramp], 16, SMALL, np.random.default_rng(0))
    full = SMALL.fit([ramp.permute(1, 2, 0).numpy()])
    assert F.l1_loss(seen.float(), F.avg_pool2d(full.float(), 2)) < 3


def test_half_of_the_pictures_are_mirrored() -> None:
    picture = torch.zeros(3, 32, 32, dtype=torch.uint8)
    picture[:, :, :16] = 255
    seen = Augmentation(crop_scale=1).pictures([picture] * 400, 32, SMALL, np.random.default_rng(0))
    mirrored = seen[:, 0, 16, 0] < seen[:, 0, 16, -1]
    assert 160 < int(mirrored.sum()) < 240


def test_the_same_generator_gives_the_same_batch_and_another_one_another() -> None:
    everything = Augmentation(0.3, True, 0.4, "trivialaugment", 0.5)
    batches = [everything.pictures(noise(8), 32, SMALL, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_a_policy_leaves_torchs_global_generator_alone(policy: str) -> None:
    before = torch.random.get_rng_state()
    Augmentation(policy=policy).pictures(noise(3), 32, SMALL, np.random.default_rng(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_colours_change_as_torchvision_changes_them_one_picture_at_a_time() -> None:
    pictures = torch.stack(noise(5))
    changed = jitter_colour(pictures.float(), 0.4, np.random.default_rng(7))
    factors = np.random.default_rng(7).uniform(0.6, 1.4, (3, 5))
    for row, picture in enumerate(pictures):
        expected = functional.adjust_brightness(picture, factors[0, row])
        expected = functional.adjust_contrast(expected, factors[1, row])
        expected = functional.adjust_saturation(expected, factors[2, row])
        # torchvision rounds down to whole levels after each of the three.
        assert (changed[row] - expected).abs().max() <= 4


def test_erasing_paints_rectangles_of_the_mean_colour() -> None:
    pictures = torch.ones(500, 3, 32, 32)
    erase(pictures, 0.4, np.random.default_rng(0))
    empty = (pictures == 0).all(1).float().mean((1, 2))
    assert 0.3 < float((empty > 0).float().mean()) < 0.5
    assert float(empty[empty > 0].min()) > 0.01
    assert float(empty.max()) <= 0.36


def test_cutmix_mixes_targets_by_the_area_that_stays() -> None:
    pictures = torch.stack([torch.zeros(3, 40, 30), torch.ones(3, 40, 30)])
    targets = shares(torch.tensor([0, 1]), 3)
    for seed in range(50):
        mixed, mixed_targets = cutmix(pictures, targets, torch.tensor([1, 0]), np.random.default_rng(seed))
        # The first picture is black: what is white in it was pasted.
        pasted = float(mixed[0].mean())
        assert mixed_targets[0].tolist() == pytest.approx([1 - pasted, pasted, 0], abs=1e-6)
        assert mixed_targets.sum(1).tolist() == pytest.approx([1, 1])
    assert pictures.sum() == 3 * 40 * 30


def test_mixup_blends_pictures_and_targets_by_one_share() -> None:
    pictures = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    targets = shares(torch.tensor([0, 1]), 2)
    mixed, mixed_targets = mixup(pictures, targets, torch.tensor([1, 0]), np.random.default_rng(3))
    other = float(mixed[0, 0, 0, 0])
    assert 0 < other < 1
    assert mixed_targets[0].tolist() == pytest.approx([1 - other, other], rel=1e-5)


def test_batches_are_mixed_as_often_as_asked() -> None:
    augmentation = Augmentation(mixup=0.2, cutmix=0.3)
    pictures, targets = torch.rand(2, 3, 8, 8), shares(torch.tensor([0, 1]), 2)
    rng = np.random.default_rng(0)
    kept = sum(augmentation.mixed(pictures, targets, rng)[0] is pictures for _ in range(1000))
    assert 450 < kept < 550


def test_smoothed_cross_entropy_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator)
    targets = torch.tensor([0, 1, 2, 3, 1, 1])
    ours = cross_entropy(logits, smoothed(shares(targets, 4), 0.1))
    theirs = F.cross_entropy(logits, targets, label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(ours, theirs)


def test_weights_multiply_the_loss_of_their_picture() -> None:
    logits, targets = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    each = F.cross_entropy(logits, targets, reduction="none")
    ours = cross_entropy(logits, shares(targets, 2, torch.tensor([0.5, 1.5])))
    torch.testing.assert_close(ours, 0.5 * each[0] + 1.5 * each[1])


PREPROCESSING = Preprocessing(size=32, crop_pct=1.0)


def resident(number: int = 5) -> ResidentPictures:
    generator = torch.Generator().manual_seed(0)
    pictures = [
        torch.randint(0, 256, (3, 36, 48), dtype=torch.uint8, generator=generator) for _ in range(number)
    ]
    return ResidentPictures(pictures, PREPROCESSING, torch.device("cpu"))


def all_of(*args: object, **settings: object) -> torch.Tensor:
    return torch.cat(list(views(*args, **settings)))


def test_views_are_evaluations_its_mirror_and_then_crops() -> None:
    pictures = resident()
    found = all_of(pictures, 3, seed=0, batch_size=2)
    assert found.shape == (15, 3, 32, 32)
    expected = PREPROCESSING.fit([picture.permute(1, 2, 0).numpy() for picture in pictures.pictures])
    assert torch.equal(found[:5], expected)
    assert torch.equal(found[5:10], expected.flip(-1))
    assert not torch.equal(found[10:], expected)
    again = all_of(pictures, 3, seed=0, batch_size=2)
    assert torch.equal(found, again)
    unmirrored = all_of(pictures, 2, seed=0, flip=False, batch_size=2)
    assert not torch.equal(unmirrored[5:], expected.flip(-1))


def test_a_part_of_a_view_is_of_some_pictures() -> None:
    # Of two views and a quarter the third is of two pictures of eight.
    seen = pictures_seen(8, 2.25, seed=3)
    assert seen[:16].tolist() == [*range(8), *range(8)]
    assert len(seen) == 18
    assert seen[16] < seen[17]
    drawn = {tuple(pictures_seen(8, 2.25, seed)[16:]) for seed in range(40)}
    assert len(drawn) > 10
    assert np.array_equal(pictures_seen(8, 3, seed=3), np.tile(np.arange(8), 3))


def test_the_views_are_those_of_the_pictures_that_are_named() -> None:
    pictures = resident(8)
    one = all_of(pictures, 1, seed=3, batch_size=3)
    for number in (1.5, 2.25):
        seen, found = pictures_seen(8, number, seed=3), all_of(pictures, number, seed=3, batch_size=3)
        assert found.shape == (len(seen), 3, 32, 32)
        assert torch.equal(found[:8], one)
        assert torch.equal(found[8:16], one[torch.from_numpy(seen[8:16])].flip(-1))
    # Going on after the first view is the same as going on from it.
    later = all_of(pictures, 2.25, seed=3, batch_size=3, first=1)
    assert torch.equal(later, all_of(pictures, 2.25, seed=3, batch_size=3)[8:])
