"""What only a GPU can show. Every test here trains a tiny network on one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.device import Device, choose_device, fault_of, present
from linnaea.classifiers.finetune.pictures import EvaluationBatches, ResidentPictures, batches
from linnaea.classifiers.finetune.precision import choose_precision
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.data import cache
from linnaea.errors import LinnaeaError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU is here"),
]
GPU = torch.device("cuda", 0)
SMALL = Preprocessing(size=32, crop_pct=1.0)


def test_the_gpu_is_chosen_and_computes_what_the_processor_does() -> None:
    assert fault_of(GPU) == ""
    assert choose_device("auto") == choose_device("cuda") == choose_device("cuda:0") == Device(GPU)
    assert present()[-1] == torch.device("cpu")
    assert choose_device("cpu").where.type == "cpu"


def test_its_name_and_memory_are_known() -> None:
    device = Device(GPU)
    assert device.name == torch.cuda.get_device_name(0)
    free = device.free_memory()
    assert free is not None
    assert 0 < free <= torch.cuda.get_device_properties(0).total_memory


def test_bfloat16_is_a_candidate_only_where_the_hardware_has_it(own_cache: Path) -> None:
    native = torch.cuda.get_device_capability(0)[0] >= 8 or torch.version.hip is not None
    assert Device(GPU).supports_bfloat16 == native
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.AdaptiveAvgPool2d(1)).to(GPU)
    chosen = choose_precision(network, 32, batch_size=2, name="gpu")
    assert chosen in (("float32", "bfloat16") if native else ("float32",))


def test_seeded_lends_the_gpu_s_generator_and_puts_it_back() -> None:
    torch.cuda.manual_seed(5)
    expected = torch.rand(3, device=GPU)
    torch.cuda.manual_seed(5)
    drawn = []
    for _ in range(2):
        with Device(GPU).seeded(7):
            drawn.append(torch.rand(2, device=GPU))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3, device=GPU), expected)
    # Another device's seed leaves it alone.
    torch.cuda.manual_seed(5)
    with Device(torch.device("cpu")).seeded(7):
        pass
    assert torch.equal(torch.rand(3, device=GPU), expected)


def test_fine_tuning_on_the_gpu_reaches_what_the_processor_does(
    classifier: Callable[..., Any], train_part: Any, val_part: Any
) -> None:
    fitted = classifier(epochs=3).fit(*train_part, validation_data=val_part)
    assert next(fitted.network_.parameters()).device == GPU
    probabilities = fitted.predict_proba(val_part[0])
    # The same weights, on the processor.
    fitted.network_.to("cpu")
    np.testing.assert_allclose(fitted.predict_proba(val_part[0]), probabilities, atol=0.02)


def test_a_saved_network_opens_there_again(
    classifier: Callable[..., Any], train_part: Any, val_part: Any, tmp_path: Path
) -> None:
    fitted = classifier(epochs=1).fit(*train_part)
    fitted.save(tmp_path)
    loaded = FineTuneClassifier.load(tmp_path)
    np.testing.assert_allclose(
        loaded.predict_proba(val_part[0]), fitted.predict_proba(val_part[0]), atol=1e-3
    )


@pytest.mark.parametrize("room", [True, False])
def test_pictures_train_alike_from_the_gpu_from_memory_and_from_the_disk(
    classifier: Callable[..., Any],
    train_part: Any,
    val_part: Any,
    own_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    room: bool,
) -> None:
    if not room:
        monkeypatch.setattr(Device, "free_memory", lambda self: 0)
    paths = [tmp_path / f"{number:02}.png" for number in range(len(train_part[0]))]
    for path, picture in zip(paths, train_part[0], strict=True):
        Image.fromarray(picture).save(path)
    side = SMALL.size
    for X in (train_part[0], cache.decoded(paths, 55)):
        resident = ResidentPictures.read(X, SMALL, GPU)
        assert resident.take(np.arange(3))[0].device.type == ("cuda" if room else "cpu")
        seen = torch.cat(list(resident.centres(7)))
        assert seen.device == GPU
        assert seen.shape == (60, 3, side, side)
        held = torch.cat(list(EvaluationBatches(X, SMALL, GPU)))
        # Resized there and here: uint8, one level apart at most.
        assert int((seen.int() - held.int()).abs().max()) <= 1
        assert torch.equal(held.cpu(), torch.cat(list(batches(X, SMALL, torch.device("cpu"), 7))))
        fitted = classifier(epochs=1).fit(X, train_part[1], validation_data=val_part)
        assert np.isfinite(fitted.history_[1].train_loss)


def test_batches_prepared_ahead_change_nothing(
    classifier: Callable[..., Any], train_part: Any, val_part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From memory, so that they are cropped by the processor, and pinned.
    monkeypatch.setattr(Device, "free_memory", lambda self: 0)
    losses = []
    for ahead in (False, True):
        monkeypatch.setattr(ResidentPictures, "ahead", ahead)
        fitted = classifier(epochs=1, cutmix=0.0).fit(*train_part, validation_data=val_part)
        losses.append(fitted.history_[1].train_loss)
    # Not bit for bit: sums on a GPU have no fixed order.
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_training_goes_on_where_it_was_stopped(
    classifier: Callable[..., Any], train_part: Any, val_part: Any
) -> None:
    whole = classifier(epochs=2).fit(*train_part, validation_data=val_part)
    states: list[Any] = []

    def stop(record: Any, learner: Any) -> None:
        if record.epoch == 1:
            states.append(learner.training_state())

    classifier(epochs=2).fit(*train_part, validation_data=val_part, on_epoch=stop)
    resumed = classifier(epochs=2)
    resumed.load_training_state(*states[0])
    resumed.fit(*train_part, validation_data=val_part)
    assert resumed.history_[-1].train_loss == pytest.approx(whole.history_[-1].train_loss, rel=1e-2)


def test_a_full_gpu_ends_in_one_sentence(classifier: Callable[..., Any], train_part: Any) -> None:
    def fill(record: Any, learner: Any) -> None:
        # What is held by now stays, and nothing comes on top.
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved(0) / total, 0)

    big = classifier(epochs=1, probe=False, batch_size=60, size=512)
    try:
        with pytest.raises(
            LinnaeaError, match="has no room for batches of 60 pictures at 512 pixels"
        ) as error:
            big.fit(*train_part, on_epoch=fill)
        assert error.value.cure == "Halve --batch-size, or set a smaller --size."
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
        torch.cuda.empty_cache()


def test_heat_maps_are_made_there(classifier: Callable[..., Any], train_part: Any) -> None:
    from linnaea.classifiers.finetune.heatmaps import heat_maps

    fitted = classifier(epochs=1).fit(*train_part)
    maps = heat_maps(fitted, train_part[0][:4], np.zeros(4, int))
    assert maps is not None
    assert maps.shape[0] == 4
    assert np.isfinite(maps).all()
