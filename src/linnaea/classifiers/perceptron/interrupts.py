"""Ctrl-C between two steps, never within one: the weights are always those of a whole step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# Windows has no hang-up, which is what a closed terminal sends.
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class SignalsHeldBack:
    """Within the context, SIGINT, SIGTERM and SIGHUP wait until release() is called or the context ends.

    It does nothing outside Python's main thread, and for signals without a Python handler.
    """

    def __enter__(self) -> "SignalsHeldBack":
        self.pending: tuple[int, FrameType | None] | None = None
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._hold)
        return self

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self.pending = (number, frame)

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
