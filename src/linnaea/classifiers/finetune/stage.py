"""How far a long stage of the work is, in pictures: for whoever listens, and as a bar."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from torch import Tensor

from linnaea.classifiers.contract import OnStep
from linnaea.progress_bar import ProgressBar


class Stage:
    """One stage of the work: the features that the probe needs, or an epoch."""

    def __init__(
        self, name: str, total: int, on_step: OnStep | None, *, done: int = 0, bar: str = ""
    ) -> None:
        """Begin a stage, or go on with one; bar: what stands before the bar, "" for none."""
        self.name, self.total, self.on_step = name, total, on_step
        self.done, self._before = done, done
        self._bar = ProgressBar(bar, total, unit="pictures", done=done, shown=bool(bar), passing=True)
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def expect(self, total: int) -> None:
        """Go on with another total than the stage began with."""
        self.total = self._bar.total = total

    def advance(self, pictures: int, **numbers: float) -> None:
        """Tell that so many more pictures are done; numbers stand behind the bar."""
        self.done += pictures
        self._bar.show(**numbers)
        self._bar.update(pictures)
        if self.on_step is not None:
            # As if the pictures before had been as fast: a speed is done / seconds.
            seconds = time.perf_counter() - self._started
            share = self.done / (self.done - self._before)
            self.on_step(self.name, self.done, self.total, seconds * share)

    def over(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the batches, and tell of each one when it has been dealt with."""
        for batch in batches:
            yield batch
            self.advance(len(batch))
