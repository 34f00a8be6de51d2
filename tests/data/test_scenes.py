"""One background is not one picture: frames of a fixed camera, things on one board, and their copies."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from linnaea.cli import main
from linnaea.data.dataset import Dataset
from linnaea.data.duplicates import find_copies, view_hashes
from linnaea.data.groups import find_groups
from linnaea.data.likeness import THUMBNAIL, align, change
from linnaea.data.scan import scan
from linnaea.data.sources import open_dataset
from linnaea.data.split import make_split
from linnaea.runs.folder import RunFolder

PHOTOGRAPHS = ("china.jpg", "flower.jpg")


def photograph(name: str) -> Image.Image:
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(name)).resize((320, 214))


def frame(scene: Image.Image, generator: np.random.Generator, width: float = 0.0) -> Image.Image:
    """The scene in its own light, with noise, shifted by two pixels; with an ellipse this wide in it."""
    image = scene.copy()
    if width:
        wide, high = width * image.width, width * image.width * (0.7 if width > 0.1 else 1)
        x = generator.uniform(4, image.width - wide - 4)
        y = generator.uniform(4, image.height - high - 4)
        # As far from what is behind it as it can be: nothing else could be asked to be seen.
        behind = np.asarray(image.convert("L"))[int(y) : int(y + high), int(x) : int(x + wide)].mean()
        shade = int(generator.integers(20, 60)) + (150 if behind < 110 else 0)
        ImageDraw.Draw(image).ellipse([x, y, x + wide, y + high], fill=(shade, shade, shade))
    top, left = generator.integers(0, 5, 2)
    pixels = np.asarray(image)[top : image.height - 4 + top, left : image.width - 4 + left].astype(float)
    pixels = pixels * generator.uniform(0.8, 1.2) + generator.normal(0, 5, pixels.shape)
    return recompressed(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), 88)


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


def on_a_board(thing: Image.Image, share: float, generator: np.random.Generator) -> Image.Image:
    """A thing cut out at a share of the height, on a board with a ruler and a colour card."""
    grain = np.random.default_rng(5).integers(90, 190, (60, 80), dtype=np.uint8)
    board = Image.fromarray(grain).resize((320, 240), Image.Resampling.BICUBIC).convert("RGB")
    draw = ImageDraw.Draw(board)
    for tick in range(60):
        draw.line([10 + 5 * tick, 238, 10 + 5 * tick, 228 if tick % 5 else 218], fill=(20, 20, 20), width=2)
    for row in range(10):
        for column in range(2):
            colour = tuple(np.random.default_rng(row * 2 + column).integers(0, 256, 3).tolist())
            draw.rectangle([4 + 16 * column, 4 + 20 * row, 18 + 16 * column, 22 + 20 * row], fill=colour)
    high = int(share * 240)
    thing = thing.resize((high, high))
    mask = Image.new("L", thing.size, 0)
    ImageDraw.Draw(mask).ellipse([0, 0, high - 1, high - 1], fill=255)
    board.paste(thing, ((320 - high) // 2 + 10, (216 - high) // 2), mask)
    return frame(board, generator)


def blossom(seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((200, 200), Image.Resampling.BICUBIC)


def small(image: Image.Image) -> Image.Image:
    return image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=3.0).convert("L")


def found(images: list[Image.Image], labels: list[str], splits: list[str] | None = None):
    """The data set, the copies, the scenes and the problems of these pictures."""
    dataset = Dataset(
        "d", "d", tuple(f"{row:03}" for row in range(len(images))), np.array(labels),
        splits=None if splits is None else np.array(splits),
    )  # fmt: skip
    looks = {row: (view_hashes(small(image)), np.asarray(small(image))) for row, image in enumerate(images)}
    hashes = [str(row) for row in range(len(images))]
    return dataset, *find_copies(dataset, hashes, looks)


def kinds(problems) -> set[str]:
    return {problem.kind for problem in problems}


def frames(width: float, name: str, of_each: int = 10) -> tuple[list[Image.Image], list[str]]:
    generator = np.random.default_rng(3)
    scene = photograph(name)
    images = [frame(scene, generator) for _ in range(of_each)]
    images += [frame(scene, generator, width) for _ in range(of_each)]
    return images, ["empty"] * of_each + ["animal"] * of_each


@pytest.mark.parametrize(("width", "name", "of_each"), [
    (0.25, "china.jpg", 25), (0.25, "flower.jpg", 10), (0.04, "china.jpg", 10), (0.04, "flower.jpg", 10),
])  # fmt: skip
def test_frames_of_a_fixed_camera_are_a_scene_and_divided_as_any_pictures(width, name, of_each):
    images, labels = frames(width, name, of_each)
    dataset, copies, scenes, problems = found(images, labels)
    assert kinds(problems) == {"same_scene"}
    assert {problem.severity for problem in problems} == {"note"}
    assert np.bincount(scenes).max() >= 1.6 * of_each
    groups = find_groups(dataset, copies=copies)
    split = make_split(dataset, "0.7", validation=0.1, groups=groups)
    assert len(split.test) == round(0.6 * of_each)
    assert not len(split.leaks(groups.ids)["test"])


def test_what_is_put_on_one_board_is_never_a_copy():
    for share in (0.3, 0.5, 0.7):
        generator = np.random.default_rng(7)
        images = [on_a_board(blossom(seed), share, generator) for seed in range(12)]
        _, copies, _, problems = found(images, ["a"] * 6 + ["b"] * 6)
        assert kinds(problems) <= {"same_scene"}
        assert len(set(copies.tolist())) == 12


def test_different_pictures_on_one_board_show_one_scene():
    generator = np.random.default_rng(7)
    images = [on_a_board(blossom(seed), 0.3, generator) for seed in range(12)]
    _, copies, scenes, problems = found(images, ["a"] * 6 + ["b"] * 6, ["train", "test"] * 6)
    assert len(set(scenes.tolist())) < len(set(copies.tolist())) == 12
    assert "; of 2 classes (a, b); in different sets (test, train). To know" in problems[0].message


CHANGES = {
    "recompressed": lambda image: recompressed(image, 20),
    "resized": lambda image: recompressed(image.resize((128, 86)), 40),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped": lambda image: image.crop((12, 4, 316, 206)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_copy_of_a_photograph_differs_nowhere(name, how):
    first, second = (np.asarray(small(image)) for image in (photograph(name), CHANGES[how](photograph(name))))
    assert change(align(first, second)) < 2.6


def test_copies_of_one_frame_are_found_among_the_frames():
    images, labels = frames(0.25, "flower.jpg")
    images += [
        recompressed(images[15].resize((150, 101)), 50),
        images[16].transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ]
    _, copies, _, problems = found(images, [*labels, "animal", "animal"])
    assert (copies[20], copies[21]) == (copies[15], copies[16])
    assert {problem.paths for problem in problems if problem.kind == "near_duplicate"} == {
        ("015", "020"), ("016", "021"),
    }  # fmt: skip


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("times", [2, 4])
def test_several_copies_of_one_frame_are_copies_and_not_the_scenes_background(times, empty):
    images, labels = frames(0.25, "flower.jpg", 12)
    if not empty:
        images, labels = images[12:], labels[12:]
    originals = range(len(images) - 3, len(images))
    changes = (
        lambda image: recompressed(image, 40),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: recompressed(image, 75),
        lambda image: image.resize((image.width // 2, image.height // 2)),
    )
    planted = [(row, change) for row in originals for change in changes[:times]]
    images += [change(images[row]) for row, change in planted]
    dataset, copies, _, problems = found(images, labels + ["animal"] * len(planted))
    assert copies[len(labels) :].tolist() == [copies[row] for row, _ in planted]
    # All other frames are pictures of their own.
    assert len(set(copies.tolist())) == len(labels)
    assert sum(problem.kind == "near_duplicate" for problem in problems) == len(originals)
    groups = find_groups(dataset, copies=copies)
    assert not len(make_split(dataset, "0.7", validation=0.1, groups=groups).leaks(groups.ids)["test"])


def test_a_caption_makes_no_other_picture_unless_the_data_show_scenes():
    plain = photograph("china.jpg")
    captioned = plain.copy()
    ImageDraw.Draw(captioned).text((180, 180), "China, 2008", fill=(255, 255, 255), font_size=24)
    pair = [np.asarray(small(image)) for image in (plain, captioned)]
    assert change(align(*pair)) > 3
    others = [blossom(seed) for seed in range(6)]
    for labels, kind in ((["a"] * 8, "near_duplicate"), (["a", "b"] * 4, "same_scene")):
        assert kinds(found([plain, captioned, *others], labels)[3]) == {kind}
    images, labels = frames(0.25, "flower.jpg", 4)
    assert kinds(found([plain, captioned, *images], ["empty"] * 2 + labels)[3]) == {"same_scene"}


def test_copies_that_fill_a_class_are_divided_and_leak():
    rare = photograph("flower.jpg")
    images = [rare, recompressed(rare, 60), *(blossom(seed) for seed in range(8))]
    dataset, copies, _, problems = found(images, ["rare"] * 2 + ["other"] * 8)
    assert kinds(problems) == {"near_duplicate"}
    groups = find_groups(dataset, copies=copies)
    split = make_split(dataset, "0.7", groups=groups)
    assert [dataset.labels[row] for row in split.leaks(groups.ids)["test"]] == ["rare"]


@pytest.fixture
def camera(tmp_path):
    images, labels = frames(0.15, "china.jpg")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        part = tmp_path / "data" / ("train" if number % 10 < 7 else "test") / label
        part.mkdir(parents=True, exist_ok=True)
        image.save(part / f"{number}.png")
    return tmp_path / "data"


def test_a_given_split_of_one_scene_is_told_as_such_and_not_as_a_leak(camera, tmp_path, capsys):
    out = tmp_path / "run"
    settings = ["--model", "mlp", "--hidden", "4", "--epochs", "1", "--size", "8"]
    assert main(["train", str(camera), *settings, "--out", str(out)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert (
        said.count("scenes")
        == said.count("show the same scenes. 6 test pictures show a scene of the") + 1
        == 2
    )
    assert "LEAK" not in said
    run = RunFolder.open(out)
    assert (run.info.data.scene_pictures, run.info.data.scenes) == (6, 1)
    assert run.info.leaks.n == 0
    page = (out / "report.html").read_text()
    assert "Training and test pictures show the same scenes." in page
    assert "the score says nothing" not in page


def test_a_switch_says_what_counts_as_a_copy(tmp_path):
    pictures = tmp_path / "p"
    for label in "ab":
        (pictures / label).mkdir(parents=True)
        for seed in range(6):
            blossom(seed + 10 * (label == "b")).save(pictures / label / f"{seed}.png")
    (pictures / "a/equal.png").write_bytes((pictures / "a/0.png").read_bytes())
    recompressed(blossom(1), 60).save(pictures / "a/near.png")
    of_kind = {
        what: sorted(
            problem.kind
            for problem in scan(open_dataset(pictures), copies=what).problems
            if "dupl" in problem.kind
        )
        for what in ("near", "exact", "off")
    }
    assert of_kind == {"near": ["exact_duplicate", "near_duplicate"], "exact": ["exact_duplicate"], "off": []}
