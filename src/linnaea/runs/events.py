"""history.jsonl once more, as TensorBoard reads it: for those who watch many runs at once."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from linnaea.errors import MissingExtraError


class EventWriter:
    """Writes records into folder/tensorboard: loss and accuracy, with the sets as curves of one chart."""

    def __init__(self, folder: Path) -> None:
        """Raise MissingExtraError where TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("TensorBoard", "tensorboard") from error
        self._folder = folder / "tensorboard"
        self._writer = SummaryWriter
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()

    def write(self, record: dict[str, Any]) -> None:
        """Add one line of history.jsonl; what is None there is left out."""
        epoch = record["epoch"]
        for name, value in record.items():
            split, _, quantity = name.partition("_")
            if value is None or quantity not in ("loss", "accuracy"):
                continue
            # TensorBoard draws one curve a folder: equal tags in sibling folders share a chart.
            if split not in self._writers:
                self._writers[split] = self._writer(str(self._folder / split))
            self._writers[split].add_scalar(quantity, value, epoch)
            self._writers[split].flush()
        if "train" in self._writers:
            self._writers["train"].add_scalar("learning_rate", record["learning_rate"], epoch)
