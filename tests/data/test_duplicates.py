"""Photographs and what people do to them; made-up pictures where a hand-worked value is wanted."""

import io

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from linnaea.data import duplicates, likeness
from linnaea.data.dataset import Dataset


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture with large shapes and fine ones, as photographs have; no two seeds alike."""
    generator = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            )
        ).astype(np.float32)
        for side in (4, 12, 40)
    ]
    mixed = 0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2]
    return Image.fromarray(mixed.astype(np.uint8))


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


CHANGES = {
    "resized": lambda image: recompressed(image.resize((128, 96)), 40),
    "enlarged": lambda image: image.resize((800, 600)),
    "mirrored": ImageOps.mirror,
    "mirrored and small": lambda image: ImageOps.mirror(image).resize((160, 120)),
    "cropped all round": lambda image: image.crop((8, 6, 312, 234)),
    "cropped on the left": lambda image: image.crop((16, 0, 320, 240)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
}


def thumbnail(image: Image.Image) -> Image.Image:
    side = likeness.THUMBNAIL
    return image.resize((side, side), Image.Resampling.BILINEAR).convert("L")


def near(images: list[Image.Image]) -> list[int]:
    small = [thumbnail(image) for image in images]
    hashes = np.stack([duplicates.view_hashes(image) for image in small])
    return duplicates.near_copies(hashes, np.stack([np.asarray(image) for image in small]))[0].tolist()


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_others(change):
    others = [scene(seed) for seed in range(2, 12)]
    assert near([scene(1), *others, CHANGES[change](scene(1))]) == [*range(11), 0]


def test_different_pictures_are_not_joined():
    assert near([scene(seed) for seed in range(60)]) == list(range(60))


def test_one_strong_outline_does_not_make_pictures_the_same():
    """Bright discs of one outline, each with a surface and a ground of its own."""
    rows, columns = np.mgrid[:240, :320]
    disc = np.clip(90 - np.hypot(rows - 120, columns - 160), 0, 40)[..., None] / 40
    discs = []
    for seed in range(3):
        surface, ground = (0.3 * np.asarray(scene(number)) for number in (seed, 50 + seed))
        picture = disc * (140 + surface) + (1 - disc) * ground
        discs.append(np.asarray(thumbnail(Image.fromarray(picture.astype(np.uint8)))))
    plain = [np.gradient(one.astype(float))[0].ravel() for one in discs]
    assert np.corrcoef(plain)[0, 1] > 0.75  # what the outline alone would say
    assert likeness.align(discs[0], discs[1]).likeness < 0.7
    assert likeness.align(discs[0], discs[2]).likeness < 0.7


def test_even_pictures_are_like_nothing():
    even = np.full((64, 64), 128, np.uint8)
    assert likeness.align(even, even).likeness == 0.0


def test_likeness_is_one_for_a_picture_and_its_mirror_image_and_symmetric():
    first, second = (np.asarray(thumbnail(scene(seed))) for seed in (1, 2))
    assert likeness.align(first, first[:, ::-1]).likeness == pytest.approx(1, abs=1e-5)
    both = likeness.align(first, second), likeness.align(second, first)
    assert both[0].likeness == pytest.approx(both[1].likeness, abs=1e-6)


def test_the_first_view_is_imagehashs_phash():
    small = thumbnail(scene(3))
    whole = np.packbits(imagehash.phash(small.resize((32, 32), Image.Resampling.BILINEAR)).hash.ravel())
    assert duplicates.view_hashes(small)[0] == whole.view(np.uint64)[0]


def test_a_picture_that_is_there_n_times_is_one_picture():
    copies = [recompressed(scene(1), quality) for quality in (95, 80, 60, 40, 30)]
    assert near([*copies, scene(2)]) == [0, 0, 0, 0, 0, 5]


def test_copies_pass_over_what_could_not_be_read_and_join_what_is_near():
    hashes = ["a", "", "b", "a", "", "c", "a"]
    dataset = Dataset("d", "d", tuple("tuvwxyz"), np.array(list("kkkllll")))
    looks = [thumbnail(image) for image in (scene(1), scene(2), ImageOps.mirror(scene(1)))]
    small = {
        row: (duplicates.view_hashes(look), np.asarray(look))
        for row, look in zip((0, 2, 5), looks, strict=True)
    }
    ids, _, problems = duplicates.find_copies(dataset, hashes, small)
    assert [row for row in range(7) if ids[row] == ids[0]] == [0, 3, 5, 6]
    assert len(set(ids.tolist())) == 4
    assert [(problem.kind, problem.paths) for problem in problems] == [
        ("near_duplicate_across_classes", ("t", "w", "y", "z"))
    ]


def test_no_pictures_no_copies():
    assert duplicates.near_copies(np.zeros((0, 8), np.uint64), np.zeros((0, 64, 64), np.uint8))[0].size == 0
