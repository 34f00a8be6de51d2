"""Facts about features: they are what the last layer turns into logits, whatever stands before it."""

import numpy as np
import pytest
import torch

from linnaea.classifiers.finetune import heads
from linnaea.errors import DataError


@pytest.mark.parametrize(
    "settings",
    [{"probe": False, "epochs": 0}, {"head_hidden": 6, "probe": False, "epochs": 0}, {"tta": "flip"}],
)
def test_the_last_layer_makes_logits_of_them(settings, classifier, train_part, test_part):
    fitted = classifier(**({"epochs": 0, "views": 1} | settings)).fit(*train_part)
    features = fitted.features(test_part[0])
    last = heads.logits_layer(fitted.network_)
    assert (features.dtype, features.shape) == (np.float32, (90, last.in_features))
    with torch.no_grad():
        logits = last(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(logits, fitted.decision_function(test_part[0]), atol=1e-5)


def test_no_pictures_have_no_features(classifier, train_part):
    fitted = classifier(epochs=0, views=1).fit(*train_part)
    with pytest.raises(DataError, match="X holds no picture"):
        fitted.features([])


def test_those_of_the_probe_are_remembered_and_those_before_fine_tuning_are_not(
    classifier, train_part, val_part
):
    probe = classifier(epochs=0, views=1).fit(*train_part, validation_data=val_part)
    for part, (X, _) in (("train", train_part), ("val", val_part)):
        np.testing.assert_allclose(probe.remembered(part), probe.features(X), rtol=1e-4, atol=1e-5)
    assert probe.remembered("test") is None
    tuned = classifier(epochs=1, views=1).fit(*train_part)  # without a validation part the last epoch is kept
    assert tuned.kept_ == "fine-tuned"
    assert tuned.remembered("train") is None
