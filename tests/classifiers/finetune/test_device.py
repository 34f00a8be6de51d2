"""The device that computes: how it is chosen, what it must be able to do, and its memory when it is full."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from linnaea.classifiers.finetune import device
from linnaea.classifiers.finetune.device import (
    Device,
    all_finite,
    choose_device,
    explaining_full_memory,
    fault_of,
    first_working,
    largest_error,
    pictures_at,
    processor_has_bfloat16,
)
from linnaea.classifiers.finetune.precision import choose_precision
from linnaea.classifiers.heatmaps import heat_maps
from linnaea.errors import LinnaeaError, SettingError

CPU = torch.device("cpu")
# Shapes without numbers: the nearest to a card that torch finds and cannot compute on.
META = torch.device("meta")


def test_the_processor_can_be_chosen_anywhere() -> None:
    assert choose_device("cpu") == Device(CPU)
    assert fault_of(CPU) == ""


def test_a_device_that_does_not_compute_is_passed_over_and_reported() -> None:
    with pytest.warns(RuntimeWarning, match="^The device meta is not used: .*meta tensor") as reports:
        assert first_working([META, CPU]) == CPU
    assert len(reports) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert first_working([CPU, META]) == CPU


@pytest.mark.parametrize("setting", ["cuda:97", "xpu", "cuda:"])
def test_a_named_device_that_is_not_here_is_refused_with_what_is(setting: str) -> None:
    with pytest.raises(SettingError) as error:
        choose_device(setting)
    assert error.value.message == f"There is no device '{setting}' here."
    assert error.value.cure.endswith("cpu, or auto.")


def test_parity_is_the_largest_error_relative_to_the_largest_number() -> None:
    expected = [torch.tensor([1.0, -100.0]), torch.tensor([0.5])]
    assert largest_error([expected[0], expected[1] + 0.05], expected) == pytest.approx(0.1)
    # 0.5 beside 100 is rounding.
    assert largest_error([expected[0] + 0.5, expected[1]], expected) == pytest.approx(0.005)
    nan = largest_error([expected[0], torch.tensor([torch.nan])], expected)
    assert not nan <= 1


def test_a_device_with_other_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    train = device._small_training

    def wrong(where: torch.device) -> list[torch.Tensor]:
        return [tensor * (1.0 if where == CPU else 1.1) for tensor in train(CPU)]

    monkeypatch.setattr(device, "_small_training", wrong)
    assert fault_of(torch.device("mps")) == "its numbers differ from the processor's by 10.0%"


def test_the_small_training_reaches_every_weight() -> None:
    logits, *gradients = device._small_training(CPU)
    assert logits.shape == (2, 5)
    assert len(gradients) == 5
    assert all(float(gradient.abs().max()) > 0.01 for gradient in gradients)


def test_seeded_lends_the_generator_and_puts_it_back() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawn = []
    for _ in range(2):
        with Device(CPU).seeded(7):
            drawn.append(torch.rand(2))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(2), drawn[0])


def test_all_finite_sees_one_bad_number_in_any_tensor() -> None:
    tensors = [torch.ones(3), torch.arange(4), torch.zeros(())]
    assert all_finite(tensors)
    assert all_finite([])
    for bad in (torch.inf, torch.nan):
        assert not all_finite([*tensors, torch.tensor([1.0, bad])])


# /proc/cpuinfo of processors with and without bfloat16: Ice Lake, Sapphire Rapids, Graviton2, Graviton3.
ICE_LAKE = {"flags": "fpu avx2 avx512f avx512bw avx512_vnni"}
SAPPHIRE_RAPIDS = {"flags": "fpu avx2 avx512f avx512bw avx512_vnni avx512_bf16 amx_bf16 amx_tile"}
NEOVERSE_N1 = {"Features": "fp asimd fphp asimdhp asimddp"}
NEOVERSE_V1 = {"Features": "fp asimd fphp asimdhp asimddp sve i8mm bf16"}


def test_a_processor_computes_in_bfloat16_where_its_instructions_do() -> None:
    assert not processor_has_bfloat16(ICE_LAKE)
    assert processor_has_bfloat16(SAPPHIRE_RAPIDS)
    assert not processor_has_bfloat16(NEOVERSE_N1)
    assert processor_has_bfloat16(NEOVERSE_V1)
    # Windows and macOS say nothing there: it is measured.
    assert processor_has_bfloat16({})


def test_nothing_is_measured_where_there_is_nothing_to_choose(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.machine, "cpuinfo", lambda: ICE_LAKE)
    assert choose_precision(WithoutBfloat16(), 32, batch_size=2, name="refuses") == "float32"
    assert not (own_cache / "precision.json").exists()


class WithoutBfloat16(nn.Module):
    """A network whose convolution has no kernel for bfloat16, as those of cards before Ampere."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("GET was unable to find an engine to execute this computation")
        return self.convolution(pictures).mean((2, 3))


def test_a_network_that_cannot_compute_in_bfloat16_is_trained_in_float32(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.machine, "cpuinfo", lambda: SAPPHIRE_RAPIDS)
    assert choose_precision(WithoutBfloat16(), 32, batch_size=2, name="refuses") == "float32"
    (measured,) = json.loads((own_cache / "precision.json").read_text()).values()
    assert list(measured["pictures_per_second"]) == ["float32"]


def test_a_first_measurement_that_does_not_fit_says_what_to_do(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.machine, "cpuinfo", lambda: SAPPHIRE_RAPIDS)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    network.register_forward_hook(greedy)
    with pytest.raises(LinnaeaError, match="no room for batches of 2 pictures at 32 pixels"):
        choose_precision(network, 32, batch_size=2, name="large")


def test_memory_that_is_full_becomes_one_sentence_with_a_cure() -> None:
    with (
        pytest.raises(LinnaeaError) as error,
        explaining_full_memory(CPU, pictures_at(16, 224), "Halve --batch-size, or set a smaller --size."),
    ):
        torch.empty(1 << 60, dtype=torch.uint8)
    assert str(error.value) == (
        "The processor's memory has no room for batches of 16 pictures at 224 pixels. "
        "Halve --batch-size, or set a smaller --size."
    )
    assert pictures_at(1, 2048) == "batches of 1 picture at 2,048 pixels"


def test_other_errors_are_not_taken_for_full_memory() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        explaining_full_memory(CPU, "", ""),
    ):
        torch.ones(2, 3) @ torch.ones(2, 3)


def greedy(module: nn.Module, *_: Any) -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def test_training_and_prediction_say_what_to_do_when_memory_is_full(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    fitted = classifier(epochs=1, probe=False).fit(*train_part)
    fitted.network_.register_forward_hook(greedy)
    fitted.network_.get_submodule("conv_stem").register_forward_hook(greedy)
    for ask in (fitted.predict, fitted.features):
        with pytest.raises(LinnaeaError, match="no room for batches of 32 pictures at 48 pixels") as error:
            ask(train_part[0])
        assert error.value.cure.startswith("Close other programs")

    def spoil(record: Any, learner: Any) -> None:
        learner._trainer.learner.network.get_submodule("conv_stem").register_forward_hook(greedy)

    with pytest.raises(LinnaeaError, match="no room for batches of 16 pictures at 48 pixels") as error:
        classifier(epochs=1, probe=False).fit(*train_part, on_epoch=spoil)
    assert error.value.cure == "Halve --batch-size, or set a smaller --size."


def full(module: nn.Module, *_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_what_a_fitted_network_is_asked_says_what_to_do_when_memory_is_full(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    X, fitted = train_part[0], classifier(epochs=0).fit(*train_part)
    fitted.network_.get_classifier()[-1].register_forward_hook(full)
    columns = np.zeros(len(X), int)
    for ask in (
        # Features are remembered: what is computed is the last layer.
        lambda: fitted.features_and_proba(X, "train"),
        lambda: heat_maps(fitted, X, columns),
        lambda: fitted.evaluate(*train_part),
    ):
        with pytest.raises(LinnaeaError, match="no room for batches of 32 pictures at 48 pixels") as error:
            ask()
        assert error.value.cure.startswith("Close other programs")


def test_statistics_that_are_estimated_again_say_what_to_do_when_memory_is_full(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    def spoil(record: Any, learner: Any) -> None:
        learner.network_.get_submodule("conv_stem").register_forward_hook(full)

    learner = classifier(epochs=1, batch_norm="reestimate")
    with pytest.raises(LinnaeaError, match="no room for batches of 16 pictures at 48 pixels") as error:
        learner.fit(*train_part, on_epoch=spoil)
    assert error.value.cure == "Halve --batch-size, or set a smaller --size."


class TooLarge:
    """A picture that no memory has room for."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.empty((1 << 30, 1 << 28, 3), np.uint8)


def test_pictures_that_memory_has_no_room_for_say_what_to_do(
    classifier: Callable[..., Any], train_part: Any
) -> None:
    pictures = [*train_part[0][1:], TooLarge()]
    for more in ({"X": pictures}, {"X": train_part[0], "validation_data": (pictures, train_part[1])}):
        with pytest.raises(LinnaeaError, match="no room for the pictures") as error:
            classifier(epochs=0).fit(y=train_part[1], **more)
        assert error.value.cure.startswith("Close other programs")


def test_a_classifier_computes_on_the_device_that_it_is_given(
    classifier: Callable[..., Any], train_part: Any, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match="There is no device 'cuda:97' here"):
        classifier(device="cuda:97").check_network()
    with pytest.raises(SettingError, match="There is no device 'cuda:97' here"):
        classifier(device="cuda:97", epochs=0).fit(*train_part)
    fitted = classifier(device="cpu", epochs=0).fit(*train_part)
    # Saved where there was such a card, and opened here.
    fitted.set_params(device="cuda:97").save(tmp_path)
    assert torch.equal(
        torch.from_numpy(type(fitted).load(tmp_path).predict_proba(train_part[0])),
        torch.from_numpy(fitted.predict_proba(train_part[0])),
    )
