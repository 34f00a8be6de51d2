"""Pictures at hand for training: the same pixels wherever they come from, and no more memory than needed."""

import os
import signal
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from linnaea.classifiers.finetune.pictures import (
    EvaluationBatches,
    ResidentPictures,
    batches,
    fits,
    kept_side,
    one_ahead,
    sequence_of,
)
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.data import cache
from linnaea.errors import DataError

CPU = torch.device("cpu")
SMALL = Preprocessing(size=32, crop_pct=1.0)  # kept_side: 37 pixels


@pytest.fixture
def paths(tmp_path: Path, own_cache: Path) -> list[Path]:
    """Forty photographs of 96 x 72 pixels, no two alike, and a cache of the test's own."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(40):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        found.append(tmp_path / f"{number:02}.jpg")
        coarse.resize((96, 72), Image.Resampling.BICUBIC).save(found[-1], quality=90)
    return found


@pytest.fixture
def as_paths(paths: list[Path], train_part: Any) -> list[str]:
    """The training part as PNG files."""
    found = [path.with_name(f"part{number}.png") for number, path in enumerate([paths[0]] * 60)]
    for path, picture in zip(found, train_part[0], strict=True):
        Image.fromarray(picture).save(path)
    return [str(path) for path in found]


@pytest.mark.parametrize("limit", ["4", "0.0001", "0"])
def test_full_half_full_or_empty_a_cache_changes_no_pixel(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setenv("LINNAEA_CACHE_GIB", limit)
    expected = torch.cat(list(batches(paths, SMALL, CPU, 7)))
    if limit == "4":
        resident = ResidentPictures.read(paths, SMALL, CPU)
    else:
        with pytest.warns(RuntimeWarning, match="of 40 pictures are decoded anew each time they are needed"):
            resident = ResidentPictures.read(paths, SMALL, CPU)
    assert torch.equal(torch.cat(list(resident.centres(7))), expected)
    assert expected.shape == (40, 3, 32, 32)
    taken = resident.take(np.array([3, 39, 3]))
    assert [tuple(picture.shape) for picture in taken] == [(3, 37, 49)] * 3
    assert torch.equal(taken[0], taken[2])
    held = EvaluationBatches(resident.pictures, SMALL, CPU)
    for _ in range(2):
        assert torch.equal(torch.cat(list(held)), expected)


def test_memory_does_not_grow_with_the_pictures(paths: list[Path]) -> None:
    def peak(number: int) -> int:
        pictures = cache.decoded([*paths] * (number // 40), kept_side(SMALL))
        tracemalloc.start()
        resident = ResidentPictures.read(pictures, SMALL, CPU)
        for rows in np.split(np.arange(number), number // 20):
            resident.take(rows)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(40), peak(400)
    # All 400 are 2.2 MB, and a step takes 109 kB.
    assert many < few + 100_000


def test_decoded_pictures_train_as_their_files_do(
    classifier: Callable[..., Any], as_paths: list[str], train_part: Any, val_part: Any
) -> None:
    y = train_part[1]
    fitted = [
        classifier(epochs=1).fit(X, y, validation_data=(val_part[0], val_part[1]))
        for X in (train_part[0], as_paths, cache.decoded(as_paths, 55))
    ]
    expected = fitted[0].predict_proba(val_part[0])
    for other in fitted[1:]:
        np.testing.assert_array_equal(other.predict_proba(val_part[0]), expected)
    decoded = cache.decoded(as_paths, 55)
    assert fitted[0].evaluate(decoded, y) == fitted[0].evaluate(train_part[0], y)
    np.testing.assert_array_equal(fitted[0].predict(decoded), fitted[0].predict(as_paths))


def test_a_classifier_tells_the_side_and_refuses_less(
    classifier: Callable[..., Any], as_paths: list[str], train_part: Any
) -> None:
    unfitted = classifier()
    assert unfitted.kept_side() == 55  # 48 · 256/224
    with pytest.raises(DataError) as error:
        unfitted.fit(cache.decoded(as_paths, 40), train_part[1])
    assert str(error.value) == (
        "The pictures were decoded to 40 pixels on the shorter side, of 48 needed. "
        "Decode them to 55: kept_side() tells."
    )


def test_a_file_that_is_no_picture_is_found_before_training(as_paths: list[str]) -> None:
    Path(as_paths[7]).write_text("a rose")
    with pytest.raises(DataError, match=r"part7\.png is a text file with a picture's name"):
        sequence_of(as_paths, SMALL, keep=True)


def test_a_pillow_picture_is_read_as_its_file_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sideways = Image.fromarray(rng.integers(0, 256, (30, 20, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "phone.png", exif=exif)
    # Half transparent, over white.
    sideways.putalpha(128)
    sideways.save(tmp_path / "alpha.png")
    for name in ("phone.png", "alpha.png"):
        from_file = torch.cat(list(batches([tmp_path / name], SMALL, CPU, 1)))
        with Image.open(tmp_path / name) as picture:
            assert torch.equal(torch.cat(list(batches([picture], SMALL, CPU, 1))), from_file)


def test_an_array_may_run_backwards(train_part: Any) -> None:
    X = train_part[0][:4]
    mirrored = torch.cat(list(batches(X[:, :, ::-1], SMALL, CPU, 4)))
    copied = torch.cat(list(batches(np.ascontiguousarray(X[:, :, ::-1]), SMALL, CPU, 4)))
    assert torch.equal(mirrored, copied)


def test_pictures_on_a_gpu_leave_it_room_to_train() -> None:
    gib = 1 << 30
    assert fits(2 * gib, 8 * gib)
    assert not fits(3 * gib, 8 * gib)
    # Training and validation pictures that both just fit leave half of the memory.
    first = int(0.3 * 8 * gib)
    second = int(0.3 * (8 * gib - first))
    assert fits(first, 8 * gib)
    assert fits(second, 8 * gib - first)
    assert first + second < 0.52 * 8 * gib
    # Nothing is moved to the processor's own memory.
    assert not fits(0, None)


def test_one_view_is_evaluation_s_whatever_the_layout(train_part: Any) -> None:
    for preprocessing in (SMALL, Preprocessing(size=32, interpolation="lanczos", crop_pct=0.9)):
        expected = preprocessing.fit(train_part[0][:5])
        for layout in (torch.channels_last, torch.contiguous_format):
            pictures = (
                torch.from_numpy(train_part[0][:5]).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            )
            assert torch.equal(torch.stack([preprocessing.fit_one(one) for one in pictures]), expected)


@pytest.mark.parametrize("ahead", [False, True])
def test_items_come_in_order_and_errors_in_their_turn(ahead: bool) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise DataError("the sixth is broken")

    received = []
    with pytest.raises(DataError, match="the sixth is broken"), one_ahead(items(), ahead) as made:
        for item in made:
            received.append(item)
    assert received == [0, 1, 2, 3, 4]


def test_the_next_item_is_made_in_another_thread_while_one_is_used() -> None:
    makers, second_is_made = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(3):
            makers.append(threading.current_thread())
            if number == 1:
                second_is_made.set()
            yield number

    with one_ahead(items(), True) as made:
        assert next(made) == 0
        assert second_is_made.wait(10)
        assert list(made) == [1, 2]
    assert threading.current_thread() not in makers
    assert len(set(makers)) == 1
    assert not makers[0].is_alive()


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError("stop")])
def test_the_thread_ends_with_an_error_of_the_caller(error: Any) -> None:
    makers = []

    def items() -> Iterator[int]:
        for number in range(1000):
            makers.append(threading.current_thread())
            yield number

    with pytest.raises((KeyboardInterrupt, DataError)), one_ahead(items(), True) as made:
        for number in made:
            if number == 2:
                raise error
    assert not makers[0].is_alive()
    # One was being made, and no more.
    assert len(makers) <= 4


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_a_signal_reaches_the_caller_who_waits_for_an_item() -> None:
    release = threading.Event()

    def items() -> Iterator[int]:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        release.wait(30)
        yield 0

    def interrupt(number: int, frame: Any) -> None:
        release.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), one_ahead(items(), True) as made:
            next(made)
    finally:
        signal.signal(signal.SIGINT, before)
