"""Preprocessing: the same numbers as timm's evaluation transform, and the original report's variant."""

import json
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.errors import DataError, SettingError


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    """Two photographs that come with scikit-learn, and cuts of them: wide, tall, and odd-sized."""
    temple, flower = load_sample_images().images
    return [temple, flower, temple[:, :300], flower[:203, :201]]


@pytest.mark.parametrize("size", [96, 224])
@pytest.mark.parametrize("crop_pct", [0.875, 1.0])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_agrees_with_timms_evaluation_transform(
    photographs: list[np.ndarray], interpolation: str, crop_pct: float, size: int
) -> None:
    ours = Preprocessing(size=size, crop_pct=crop_pct, interpolation=interpolation)
    theirs = timm.data.create_transform(
        (3, size, size), interpolation=interpolation, mean=ours.mean, std=ours.std, crop_pct=crop_pct
    )
    expected = torch.stack([theirs(Image.fromarray(picture)) for picture in photographs])
    got = ours.apply(photographs)
    levels = (got - expected).abs() * torch.tensor(ours.std).view(3, 1, 1) * 255
    # Pillow and torchvision round the same sums; they differ by one level of 255, and rarely.
    assert levels.max() < 1.01
    assert levels.mean() < 0.01


@pytest.mark.parametrize("crop_mode", ["squash", "border"])
@pytest.mark.parametrize(("size", "crop_pct"), [(96, 1.0), (95, 0.9), (224, 0.875)])
def test_the_other_ways_to_a_square_are_timms(
    photographs: list[np.ndarray], crop_mode: str, size: int, crop_pct: float
) -> None:
    ours = Preprocessing(size=size, crop_pct=crop_pct, crop_mode=crop_mode)
    theirs = timm.data.create_transform(
        (3, size, size),
        interpolation="bicubic",
        mean=ours.mean,
        std=ours.std,
        crop_pct=crop_pct,
        crop_mode=crop_mode,
    )
    # A tall picture that is squashed Pillow resizes down first and then across, torchvision the other way
    # round, and both round in between: five levels of 255.
    pictures = [p for p in photographs if crop_mode == "border" or p.shape[0] <= p.shape[1] + 2]
    assert len(pictures) >= 3
    expected = torch.stack([theirs(Image.fromarray(picture)) for picture in pictures])
    levels = (ours.apply(pictures) - expected).abs() * torch.tensor(ours.std).view(3, 1, 1) * 255
    assert levels.max() < 1.01
    assert levels.mean() < 0.01


def test_a_model_that_is_older_than_the_other_ways_cuts_out_the_middle() -> None:
    values = Preprocessing(size=160).as_dict()
    del values["crop_mode"]
    assert Preprocessing.from_dict(values) == Preprocessing(size=160, crop_mode="center")


@pytest.mark.parametrize("value_range", [(0.0, 4095.0), (-20.5, 60.0), "picture", None])
def test_the_range_of_more_than_8_bits_survives_json(value_range):
    values = json.loads(json.dumps(Preprocessing(value_range=value_range).as_dict()))
    assert Preprocessing.from_dict(values) == Preprocessing(value_range=value_range)
    del values["value_range"]
    assert Preprocessing.from_dict(values).value_range is None


@pytest.mark.parametrize("value_range", [[5, 5], [3, 1], [1], [0, float("nan")], ["0", "1"], "each", 7, True])
def test_what_is_no_range_is_refused(value_range):
    with pytest.raises(SettingError, match="value_range"):
        Preprocessing.from_dict({**Preprocessing().as_dict(), "value_range": value_range})


def test_the_mean_becomes_zero_and_one_deviation_becomes_one() -> None:
    ours = Preprocessing(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 0.125))
    pixels = torch.tensor([127.5, 63.75, 0.0]).view(1, 3, 1, 1)
    assert torch.allclose(ours.normalize(pixels), torch.zeros(1, 3, 1, 1), atol=1e-6)
    above = pixels + 255 * torch.tensor(ours.std).view(1, 3, 1, 1)
    assert torch.allclose(ours.normalize(above), torch.ones(1, 3, 1, 1), atol=1e-6)


def test_an_array_of_equal_pictures_and_a_list_of_them_give_the_same(photographs: list[np.ndarray]) -> None:
    batch = np.stack(photographs[:2])
    ours = Preprocessing(size=64)
    assert torch.equal(ours.apply(batch), ours.apply(list(batch)))
    assert ours.fit(batch).shape == (2, 3, 64, 64)
    assert ours.fit([]).shape == (0, 3, 64, 64)


def test_a_picture_in_the_right_size_stays_as_it_is(photographs: list[np.ndarray]) -> None:
    square = photographs[0][:64, :64]
    fitted = Preprocessing(size=64, crop_pct=1.0).fit([square])
    assert np.array_equal(fitted[0].permute(1, 2, 0).numpy(), square)


def test_the_reports_variant_scales_to_one_and_squeezes_through_150_pixels(
    photographs: list[np.ndarray],
) -> None:
    got = Preprocessing.report(224).apply(photographs[:1])
    small = Image.fromarray(photographs[0]).resize((150, 150), Image.Resampling.BILINEAR)
    expected = np.asarray(small.resize((224, 224), Image.Resampling.BILINEAR)).transpose(2, 0, 1) / 255
    assert got.shape == (1, 3, 224, 224)
    assert got.min() >= 0
    assert got.max() <= 1
    # Two roundings: at most two levels.
    assert np.abs(got[0].numpy() - expected).max() * 255 < 2.01


def test_travels_through_json_unchanged() -> None:
    for ours in (
        Preprocessing(size=160, mean=(0.5, 0.5, 0.5), interpolation="bilinear"),
        Preprocessing.report(),
    ):
        assert Preprocessing.from_dict(json.loads(json.dumps(ours.as_dict()))) == ours


@pytest.mark.parametrize(
    "name",
    [
        *("resnet50.tv_in1k", "tf_efficientnet_lite0.in1k", "mobilenetv2_100.ra_in1k"),
        "vit_base_patch16_siglip_224.webli",  # squash
    ],
)
def test_reads_a_timm_configuration_as_timm_does(name: str) -> None:
    config = timm.get_pretrained_cfg(name).to_dict()
    ours = Preprocessing.from_config(config).as_dict()
    theirs = timm.data.resolve_data_config(pretrained_cfg=config)
    assert ours["size"] == theirs["input_size"][-1]
    assert (ours["mean"], ours["std"]) == (list(theirs["mean"]), list(theirs["std"]))
    assert (ours["crop_pct"], ours["crop_mode"]) == (theirs["crop_pct"], theirs["crop_mode"])
    assert ours["interpolation"] == theirs["interpolation"]


def test_grey_or_float_pictures_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        Preprocessing().apply(np.zeros((1, 8, 8, 3), np.float32))
    assert str(caught.value) == (
        "A picture has the shape (8, 8, 3) and the type float32. "
        "Pass colour pictures as uint8 (height, width, 3)."
    )
    with pytest.raises(DataError, match=r"the shape \(8, 8\)"):
        Preprocessing().apply([np.zeros((8, 8), np.uint8)])


def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(SettingError) as caught:
        Preprocessing(variant="reports")
    assert str(caught.value) == "There is no preprocessing 'reports'. Did you mean 'report'?"
    with pytest.raises(SettingError, match="There is no interpolation 'cubic'"):
        Preprocessing(interpolation="cubic")
    with pytest.raises(SettingError, match="no setting 'crop'"):
        Preprocessing.from_dict({**Preprocessing().as_dict(), "crop": 1})


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"size": 4096}, "size must be an integer from 1 to 2,048 pixels; received 4096."),
        ({"size": 100_000}, "size must be an integer from 1 to 2,048 pixels; received 100000."),
        ({"size": 224.0}, "size must be an integer from 1 to 2,048 pixels; received 224.0."),
        ({"size": True}, "size must be an integer from 1 to 2,048 pixels; received True."),
        ({"crop_pct": 0.001}, "crop_pct must be a number from 0.5 to 1; received 0.001."),
        ({"crop_pct": None}, "crop_pct must be a number from 0.5 to 1; received None."),
        ({"scale": "x"}, "scale must be a number from 1e-6 to 1e6; received 'x'."),
        ({"scale": -1}, "scale must be a number from 1e-6 to 1e6; received -1."),
        ({"mean": [0] * 4}, "mean must be three numbers (red, green, blue) of at most 1e6; received [0, 0, "),
        ({"std": [1, 0, 1]}, "std must be three numbers (red, green, blue) from 1e-6 to 1e6; received (1"),
        ({"std": [1, 1e-40, 1]}, "std must be three numbers (red, green, blue) from 1e-6 to 1e6; received"),
        ({"mean": "abc"}, "mean must be three numbers (red, green, blue) of at most 1e6; received 'abc'."),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(change: dict[str, Any], refused: str) -> None:
    with pytest.raises(SettingError) as caught:
        Preprocessing.from_dict({**Preprocessing().as_dict(), **change})
    assert str(caught.value).startswith(refused)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None, database=None)
@given(
    change=st.dictionaries(st.sampled_from([*Preprocessing().as_dict(), "unknown"]), VALUES, max_size=3),
    lost=st.sets(st.sampled_from(list(Preprocessing().as_dict())), max_size=1),
)
def test_what_is_not_refused_prepares_pictures(change: dict[str, Any], lost: set[str]) -> None:
    values = {**Preprocessing().as_dict(), **change}
    for name in lost:
        del values[name]
    try:
        ours = Preprocessing.from_dict(values)
    except SettingError:
        return
    prepared = ours.apply(np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3))
    assert prepared.shape == (1, 3, ours.size, ours.size)
    assert bool(torch.isfinite(prepared).all())


def test_no_network_of_timms_is_refused_but_for_three() -> None:
    refused = []
    for name in timm.list_pretrained():
        config = timm.get_pretrained_cfg(name)
        try:
            assert Preprocessing.from_config(config.to_dict()).size == config.input_size[-1]
        except SettingError as error:
            refused.append((name, str(error)))
    # They cut 448 pixels out of 389, and so look at a black frame; nobody else does.
    told = "crop_pct must be a number from 0.5 to 1; received 1.15."
    assert refused == [(f"volo_{name}.sail_in1k", told) for name in ("d4_448", "d5_448", "d5_512")]
