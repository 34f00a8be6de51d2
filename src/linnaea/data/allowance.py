"""How much is decoded at the same time: threads share one allowance of pixels, so that memory has a bound."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Allowance:
    """So many pixels may be in work at once, whichever threads ask; who asks for more than is left waits."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Hold so many pixels of the allowance; one picture alone is let in, whatever its size."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= self.pixels)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()
