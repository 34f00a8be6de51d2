"""Heat maps add up to what the network says, and lie where it looked."""

import numpy as np
import pytest
import torch
from PIL import Image

from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.pictures import batches
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.classifiers.heatmaps import HeatMaps, heat_maps, seen_box
from linnaea.classifiers.perceptron.classifier import MLPClassifier
from linnaea.classifiers.perceptron.saliency import attributions


def small_pictures(side: int = 6, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Three classes by which third of the columns is bright."""
    generator = np.random.default_rng(0)
    X = generator.random((count, side, side), np.float32) * 0.3
    y = np.arange(count) % 3
    for row, number in enumerate(y):
        X[row, :, 2 * number : 2 * number + 2] += 0.6
    return X.reshape(count, -1), np.array(["left", "middle", "right"])[y]


def raw_outputs(classifier: MLPClassifier, X: np.ndarray) -> np.ndarray:
    outputs = classifier.decision_function(X)
    return outputs - outputs.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_attributions_sum_to_the_output_less_that_for_black(activation):
    X, y = small_pictures()
    mlp = MLPClassifier((12,), activation=activation, epochs=20, batch_size=10, random_state=0).fit(X, y)
    columns = np.arange(len(X)) % 3
    found = attributions(mlp.parameters_, (36, 12, 3), activation, X, columns, steps=500)
    difference = raw_outputs(mlp, X) - raw_outputs(mlp, np.zeros_like(X[:1]))
    np.testing.assert_allclose(found.sum(axis=1), difference[np.arange(len(X)), columns], atol=2e-3)


def test_attributions_of_a_linear_network_are_weights_times_inputs():
    X, y = small_pictures()
    mlp = MLPClassifier((), epochs=5, batch_size=10, random_state=0).fit(X, y)
    found = attributions(mlp.parameters_, (36, 3), "relu", X, np.zeros(len(X), int), steps=3)
    weights = mlp.coefs_[0]
    np.testing.assert_allclose(found, X * (weights[:, 0] - weights.mean(axis=1)), atol=1e-6)
    np.testing.assert_array_equal(mlp.coefs_[0], weights)


def test_a_perceptron_looks_at_the_bar_that_tells_the_class():
    X, y = small_pictures()
    mlp = MLPClassifier((12,), epochs=40, batch_size=10, random_state=0).fit(X, y)
    found = heat_maps(mlp, X[:3], np.arange(3))
    assert found.heat.shape == (3, 6, 6)
    np.testing.assert_array_equal(found.heat.max(axis=(1, 2)), 1)
    for number in range(3):
        inside = found.heat[number][:, 2 * number : 2 * number + 2].sum()
        assert inside > 0.6 * found.heat[number].sum()


def test_keras_and_the_network_by_hand_have_the_same_heat():
    pytest.importorskip("keras")
    from linnaea.classifiers.keras.classifier import KerasMLPClassifier

    X, y = small_pictures()
    keras = KerasMLPClassifier((7, 5), epochs=1, random_state=0).fit(X, y)
    by_hand = MLPClassifier((7, 5), epochs=1, random_state=0).fit(X, y)
    kernels = keras.network_.get_weights()
    for place, kernel in zip(by_hand.coefs_, kernels[::2], strict=True):
        place[...] = kernel
    for place, bias in zip(by_hand.intercepts_, kernels[1::2], strict=True):
        place[...] = bias
    np.testing.assert_allclose(by_hand.predict_proba(X), keras.predict_proba(X), atol=1e-6)
    columns = np.arange(len(X)) % 3
    np.testing.assert_allclose(
        heat_maps(by_hand, X, columns).heat, heat_maps(keras, X, columns).heat, atol=1e-5
    )


def test_rows_that_are_no_pictures_have_no_heat_map():
    X, y = small_pictures()
    mlp = MLPClassifier((4,), epochs=1, random_state=0).fit(X[:, :35], y)
    assert heat_maps(mlp, X[:2, :35], np.zeros(2, int)) is None


@pytest.fixture(scope="module")
def photographs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (8, 110, 140, 3), dtype=np.uint8)
    return pictures, np.array(["a", "b", "c", "a", "b", "c", "a", "b"])


def test_grad_cam_before_a_mean_and_a_dense_layer_is_the_class_activation_map(photographs):
    # There the gradient is the dense layer's weight (Selvaraju et al. 2017, section 3.1; Zhou et al. 2016).
    X, y = photographs
    classifier = FineTuneClassifier(
        "mobilenetv2_050", weights="none", size=96, views=1, epochs=0, precision="float32", random_state=0
    ).fit(X, y)
    columns = np.arange(len(X)) % 3
    found = heat_maps(classifier, X, columns)
    assert found.heat.shape == (8, 3, 3)
    (batch,) = batches(X, classifier.preprocessing_, torch.device("cpu"), 8)
    weight = classifier.network_.get_classifier().logits.weight
    with torch.no_grad():
        network = classifier.network_.eval()
        maps = network.forward_features(classifier.preprocessing_.normalize(batch))
        wanted = torch.einsum("nchw,nc->nhw", maps, (weight - weight.mean(0))[torch.from_numpy(columns)])
    wanted = wanted.clamp(min=0).numpy()
    wanted /= np.maximum(wanted.max(axis=(1, 2), keepdims=True), 1e-12)
    np.testing.assert_allclose(found.heat, wanted, atol=1e-4)
    assert all(parameter.grad is None for parameter in classifier.network_.parameters())


def test_a_transformer_looks_at_the_half_that_shows_the_class(shared):
    # Flowers and hands are learned from whole pictures, and then shown side by side.
    flowers = sorted((shared / "data/flowers102/jpg").glob("*.jpg"))[:120:4]
    hands = [path for folder in sorted((shared / "data/sign_digits").iterdir()) for path in
             (sorted(folder.iterdir())[:3] if folder.is_dir() else [])]  # fmt: skip
    whole = [squeezed(path, 224) for path in [*flowers[:20], *hands[:20]]]
    classifier = FineTuneClassifier(
        "vit_tiny",
        weights=shared / "weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors",
        views=1,
        epochs=0,
        precision="float32",
        random_state=0,
    ).fit(whole, ["flower"] * 20 + ["hand"] * 20)
    pairs = zip(flowers[20:], hands[20:], strict=True)
    beside = [np.concatenate([squeezed(flower, 112), squeezed(hand, 112)], axis=1) for flower, hand in pairs]
    for column, left in ((0, True), (1, False)):
        heat = heat_maps(classifier, beside, np.full(len(beside), column)).heat
        assert heat.shape == (10, 14, 14)
        shares = heat[:, :, :7].sum(axis=(1, 2)) / heat.sum(axis=(1, 2))
        assert ((shares > 0.5) == left).all()


def squeezed(path, width):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((width, 224)))


def test_a_map_lies_over_the_square_that_was_seen():
    heat = np.zeros((1, 3, 3), np.float32)
    heat[0, 0, 2] = 1  # top right of what was seen
    laid = HeatMaps(heat, "").over(0, (20, 10, 80, 70), height=80, width=100)
    assert np.isnan(laid[:, :20]).all()
    assert np.isnan(laid[70:]).all()
    y, x = np.unravel_index(np.nanargmax(laid), laid.shape)
    # The hot ninth reaches from 60 to 80 across and from 10 to 30 down.
    assert 60 <= x < 80
    assert 10 <= y < 30
    assert laid[40, 50] == pytest.approx(0, abs=1e-6)


class Photographs:
    """As much of a classifier as seen_box asks for."""

    takes_photographs = True

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing_ = preprocessing


def test_the_seen_square_is_that_of_the_preprocessing():
    usual = Photographs(Preprocessing(size=224, crop_pct=0.875))  # 224 of 256 pixels
    assert seen_box(usual, 256, 384) == (80, 16, 304, 240)
    assert seen_box(Photographs(Preprocessing.report(224)), 256, 384) == (0, 0, 384, 256)
    assert seen_box(MLPClassifier(), 28, 40) == (6, 0, 34, 28)
