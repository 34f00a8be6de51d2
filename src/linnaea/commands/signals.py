"""SIGINT, SIGTERM and SIGHUP: the first waits for the end of a step, the second for nothing."""

import signal
import socket
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from linnaea.classifiers.perceptron.interrupts import SIGNALS
from linnaea.commands import terminal

# Seconds within which SIGTERM or SIGHUP sent again is not somebody's impatience: timeout(1) sends to the
# process and then to its group, a closing terminal sends and its shell does.
TOGETHER = 0.1


class Stops:
    """Within the context, signals stop a run so that nothing is lost.

    While `patient`, the first signal only waits: the loop asks answer() between two steps, which raises what
    the signal would have raised. The second raises at once, wherever the step is (`hasty`). Without patience
    the first raises at once. What comes after that is not heard any more: the run is being closed, which
    takes seconds and should leave it readable.

    It does nothing outside Python's main thread, and for signals without a Python handler.
    """

    def __init__(self) -> None:
        self.patient = False
        self.pending: tuple[int, FrameType | None] | None = None
        self.hasty = False
        self._since = 0.0
        self._deaf = False
        self._handlers: dict[int, Any] = {}
        self._ears: tuple[socket.socket, socket.socket] | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self)
            self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._ears is not None:
            signal.set_wakeup_fd(-1)
            for ear in self._ears:
                ear.close()

    def _listen(self) -> None:
        """Let each signal be counted as it comes.

        Python calls a handler once for all that came while one operation of a library took its time: the
        backward pass of a large network takes seconds.
        """
        ears = socket.socketpair()
        for ear in ears:
            ear.setblocking(False)
        before = signal.set_wakeup_fd(ears[1].fileno(), warn_on_full_buffer=False)
        if before == -1:
            self._ears = ears
            return
        # An event loop (a notebook's, say) listens already, and needs to.
        signal.set_wakeup_fd(before)
        for ear in ears:
            ear.close()

    def _came(self, number: int) -> int:
        """Return how many of this signal came since the last time, as far as they could be counted."""
        came = b""
        if self._ears is not None:
            with suppress(BlockingIOError):
                came = self._ears[0].recv(1 << 16)
        return came.count(number)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Hear a signal: the handler that Python calls."""
        again = self._came(number) > 1 and number == signal.SIGINT
        if self._deaf:
            return
        if self.patient:
            if self.pending is None and not again:
                self.pending, self._since = (number, frame), time.monotonic()
                return
            if number != signal.SIGINT and time.monotonic() - self._since < TOGETHER:
                return
            self.hasty = True
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
