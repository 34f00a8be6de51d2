"""Ctrl-C between two steps, never within one: the weights are always those of a whole step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# Windows has no hang-up, which is what a closed terminal sends.
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class SignalsHeldBack:
    """Within the context, SIGINT, SIGTERM and SIGHUP wait until release() is called or the context ends.

    The second one waits no longer, and reaches its handler at once: then the weights may be those of half a
    step. even_the_second: nothing does, until the end.

    It does nothing outside Python's main thread, for signals without a Python handler, and for handlers that
    are `patient` themselves.
    """

    def __init__(self, *, even_the_second: bool = False) -> None:
        self.even_the_second = even_the_second
        self.pending: tuple[int, FrameType | None] | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "SignalsHeldBack":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler) and not getattr(handler, "patient", False):
                    self._handlers[number] = handler
                    signal.signal(number, self._hold)
        return self

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self.pending is None or self.even_the_second:
            self.pending = (number, frame)
            return
        self.release()
        self._handlers[number](number, frame)

    def release(self) -> None:
        """Let the signal that waits, if one does, reach the handler it was meant for."""
        if self.pending is not None:
            (number, frame), self.pending = self.pending, None
            self._handlers[number](number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self.release()
