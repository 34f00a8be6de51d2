"""The views of each picture, and which pictures a part of a view is of."""

import numpy as np
import torch

from linnaea.classifiers.finetune.pictures import ResidentPictures
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.classifiers.finetune.views import pictures_seen, views

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
