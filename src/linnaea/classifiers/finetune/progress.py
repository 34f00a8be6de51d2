"""How far a long stage of the work is, in pictures: for whoever listens, and as a bar."""

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from torch import Tensor
from tqdm.auto import tqdm

# on_step(stage, done, total, seconds): stage is "" inside an epoch, else what is done; done and total are
# pictures, seconds those since the stage began.
OnStep = Callable[[str, int, int, float], None]


class Stage:
    """One stage of the work: the features that the probe needs, or an epoch."""

    def __init__(self, name: str, total: int, on_step: OnStep | None, *, bar: str = "") -> None:
        """Begin a stage; bar: what stands before the bar, "" for none."""
        self.name, self.total, self.on_step = name, total, on_step
        self.done = 0
        self._bar = tqdm(total=total, desc=bar, unit=" pictures", leave=False, disable=not bar)
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, pictures: int, **numbers: float) -> None:
        """Tell that so many more pictures are done; numbers stand behind the bar."""
        self.done += pictures
        self._bar.set_postfix(numbers, refresh=False)
        self._bar.update(pictures)
        if self.on_step is not None:
            self.on_step(self.name, self.done, self.total, time.perf_counter() - self._started)

    def over(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the batches, and tell of each one when it has been dealt with."""
        for batch in batches:
            yield batch
            self.advance(len(batch))
