"""SIGINT, SIGTERM and SIGHUP: the first waits for the end of a step, the second for nothing."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from linnaea.classifiers.perceptron.interrupts import SIGNALS
from linnaea.commands import terminal


class Stops:
    """Within the context, signals stop a run so that nothing is lost.

    While `patient`, the first signal only waits: the loop asks answer() between two steps, which raises what
    the signal would have raised. Any other signal raises at once, and what comes after that is not heard any
    more: the run is being closed, which takes seconds and should leave it readable.

    It does nothing outside Python's main thread, and for signals without a Python handler.
    """

    def __init__(self) -> None:
        self.patient = False
        self.pending: tuple[int, FrameType | None] | None = None
        self._deaf = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._deaf:
            return
        if self.patient and self.pending is None:
            self.pending = (number, frame)
            return
        self._deaf = True
        self._handlers[number](number, frame)

    def answer(self) -> None:
        """Raise what the signal that waits, if one does, stands for; the next one does not wait."""
        if self.pending is not None:
            (number, frame), self.pending, self.patient = self.pending, None, False
            terminal.say("Stopping", "the network is judged as it stands; a second signal stops at once")
            self._handlers[number](number, frame)

    def close(self) -> None:
        """Hear nothing any more: the run is being closed."""
        self._deaf = True
