"""Training that leaves the numbers goes back to the last good epoch, whatever learns."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from linnaea.cli import main
from linnaea.runs.folder import RunFolder

EPOCHS = 4
FINE_TUNED = ["--model", "test_efficientnet", "--weights", "none", "--size", "32", "--set", "views=1",
              "--set", "patience=0"]  # a probe without a mistake would end it at once  # fmt: skip


def spoil_perceptron(patch: pytest.MonkeyPatch, is_time: Callable[[int], bool]) -> None:
    from linnaea.classifiers.perceptron.classifier import MLPClassifier

    train_step = MLPClassifier._train_step

    def step(self: Any, *arguments: Any) -> None:
        train_step(self, *arguments)
        if is_time(self._progress.epoch):
            self.parameters_[-1] = np.inf

    patch.setattr(MLPClassifier, "_train_step", step)


def spoil_keras(patch: pytest.MonkeyPatch, is_time: Callable[[int], bool]) -> None:
    from linnaea.classifiers.keras import network as keras_network

    after_step = keras_network.Listener.on_train_batch_end

    def step(self: Any, batch: int, logs: Any = None) -> None:
        if is_time(self.progress.epoch):
            bias = self.model.trainable_weights[-1]
            bias.assign(np.full(bias.shape, np.nan, np.float32))
        after_step(self, batch, logs)

    patch.setattr(keras_network.Listener, "on_train_batch_end", step)


def spoil_fine_tuned(patch: pytest.MonkeyPatch, is_time: Callable[[int], bool]) -> None:
    from linnaea.classifiers.finetune import loop

    train_step = loop.train_step

    def step(learner: loop.Learner, part: Any, *arguments: Any) -> Any:
        told = train_step(learner, part, *arguments)
        # After the last step, whose loss was finite: nothing but the weights shows it.
        last = learner.progress.step + 1 == -(-len(part) // learner.settings["batch_size"])
        if last and is_time(learner.progress.epoch):
            next(learner.network.parameters()).data.fill_(math.nan)
        return told

    patch.setattr(loop, "train_step", step)


@pytest.mark.parametrize(
    ("spoil", "arguments"),
    [
        (spoil_perceptron, ["--hidden", "8", "--size", "12"]),
        (spoil_keras, ["--model", "keras", "--hidden", "8", "--size", "12"]),
        (spoil_fine_tuned, FINE_TUNED),
    ],
    ids=["perceptron", "keras", "fine-tuned"],
)
def test_it_goes_back_to_the_last_epoch_with_half_the_rate(
    spoil, arguments, bars, tmp_path, monkeypatch, capsys
):
    # Epochs far shorter than those after which the clock would ask for a checkpoint.
    spoiled = []

    def is_time(epochs_over: int) -> bool:
        return epochs_over == 2 and not spoiled and not spoiled.append(True)

    spoil(monkeypatch, is_time)
    run = tmp_path / "run"
    asked = ["--epochs", str(EPOCHS), "--batch-size", "4", "--learning-rate", "0.002", "--on-nan", "rewind"]
    assert main(["train", str(bars), *arguments, *asked, "--out", str(run)]) == 0
    assert "Back to epoch 2, continuing with learning rate 0.001" in capsys.readouterr().err
    info, history = json.loads((run / "run.json").read_text()), RunFolder.open(run).history()
    assert info["rewinds"] == [
        {
            "to_epoch": 2,
            "learning_rate": 0.001,
            "reason": "Training diverged in epoch 3: loss or weights are no longer finite.",
        }
    ]
    assert [(line["epoch"], line.get("rewinds")) for line in history] == [
        *((epoch, None) for epoch in (0, 1, 2)),
        *((epoch, 1) for epoch in (3, 4)),
    ]
    assert all(np.isfinite(array).all() for array in load_file(run / "weights.safetensors").values())


def test_a_fine_tuning_that_explodes_is_told_and_its_probe_kept(bars, tmp_path, capsys):
    run = tmp_path / "run"
    asked = ["--epochs", "1", "--validation", "0", "--learning-rate", "1", "--set", "warmup_epochs=0"]
    assert main(["train", str(bars), *FINE_TUNED, *asked, "--out", str(run)]) == 0
    loss = RunFolder.open(run).history()[-1]["train_loss"]
    assert loss > 3 * math.log(3)
    assert (
        f"fine-tuning ended with a loss of {loss:.3g}, far above that of guessing (1.10): lower the learning "
        "rate; the probe is what is kept"
    ) in capsys.readouterr().err
    assert json.loads((run / "run.json").read_text())["kept"] == "probe"
    assert (
        "the linear probe: the loss of fine-tuning rose far above that of guessing"
        in (run / "report.html").read_text()
    )
