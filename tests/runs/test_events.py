"""TensorBoard's own reader finds what was written."""

import pytest

from linnaea.runs.events import EventWriter

pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")


def test_tensorboard_reads_the_curves_of_each_part(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with EventWriter(tmp_path) as events:
        for epoch in range(3):
            events.write(
                {
                    "epoch": epoch,
                    "seconds": 1.0,
                    "learning_rate": 0.1,
                    "train_loss": 2.0 - epoch,
                    "train_accuracy": 0.5,
                    "val_loss": None,
                    "val_accuracy": 0.25 * epoch,
                }
            )
    folder = tmp_path / "tensorboard"
    read = {part: EventAccumulator(str(folder / part)).Reload() for part in ("train", "val")}
    assert [(event.step, event.value) for event in read["train"].Scalars("loss")] == [(0, 2), (1, 1), (2, 0)]
    assert [event.value for event in read["val"].Scalars("accuracy")] == [0, 0.25, 0.5]
    assert "loss" not in read["val"].Tags()["scalars"]
