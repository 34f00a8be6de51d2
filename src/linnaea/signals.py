"""What happens at Ctrl-C (SIGINT), SIGTERM and SIGHUP.

A command ends with a KeyboardInterrupt, which Python itself raises for Ctrl-C; for the others it is a
Terminated (end_properly). While a network learns, the first signal only sets a flag, which is polled between
two steps (between_steps): the weights are always those of a whole step. The second waits for nothing.
`linnaea train` writes a checkpoint before it stops, and ignores signals while it closes its run (Stops).

Signals reach Python's main thread only. Elsewhere, and for signals without a Python handler, all this does
nothing.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

if TYPE_CHECKING:
    from socket import socket

# Windows has no hang-up, which is what a closed terminal sends.
ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
SIGNALS = [signal.SIGINT, *ENDING]
# Seconds within which SIGTERM or SIGHUP sent again is not somebody's impatience: timeout(1) sends to the
# process and then to its group, a closing terminal sends and its shell does.
TOGETHER = 0.1


class Terminated(KeyboardInterrupt):
    """SIGTERM, or a closed terminal: the same road out as Ctrl-C, another exit code."""


@contextmanager
def end_without_traceback() -> Iterator[None]:
    """Within the context, Ctrl-C ends the process like any other: while imports run, say.

    Whoever has a handler of their own, or is in a thread, keeps what they have.
    """
    unanswered = _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if unanswered:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if unanswered:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def end_properly() -> None:
    """Let SIGTERM and SIGHUP raise Terminated from now on, so that a run is closed as after Ctrl-C."""
    for number in ENDING:
        # nohup asks that a closed terminal be ignored, and so it is.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def ignore_interrupts() -> None:
    """Let Ctrl-C do nothing from now on: only Python's own clearing up is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Stops:
    """Within the context, a signal stops what goes on so that nothing is lost.

    While `patient`, the first signal only waits: whoever goes through steps calls poll() between two of them,
    which raises what the signal would have raised. The second raises at once, wherever the step is (`hasty`).
    Without patience the first raises at once. What comes after that is ignored, and so is anything
    after close(): what was begun is being closed, which takes seconds and should leave it readable. What can
    be done again later may be stopped once more (reopen).

    before_stopping: called by poll() before it raises; a second signal does not wait for it either.
    """

    innermost: "Stops | None" = None
    """The one whose context was entered last, in the main thread."""

    def __init__(self) -> None:
        self.patient = False
        self.pending: tuple[int, FrameType | None] | None = None
        self.hasty = False
        self.before_stopping: Callable[[], None] | None = None
        self._since = 0.0  # when the signal that waits came
        self._closed = False
        self._opens = math.inf  # when a signal raises again although all is closed
        self._handlers: dict[int, Any] = {}  # those that stood before
        self._counter: tuple[socket, socket] | None = None
        self._outer: Stops | None = None

    def __enter__(self) -> Self:
        if _in_main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._handle)
            self._count_signals()
            self._outer, Stops.innermost = Stops.innermost, self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if Stops.innermost is self:
            Stops.innermost = self._outer
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._counter is not None:
            signal.set_wakeup_fd(-1)
            for end in self._counter:
                end.close()

    def poll(self) -> None:
        """Between two steps: raise what the signal that waits, if one does, stands for."""
        if self.pending is not None:
            if self.before_stopping is not None:
                self.before_stopping()
            self._raise_pending()

    def _raise_pending(self) -> None:
        if self.pending is not None:
            (number, frame), self.pending, self.patient = self.pending, None, False
            self._handlers[number](number, frame)

    def close(self) -> None:
        """Ignore signals from now on."""
        self._closed, self._opens = True, math.inf

    def reopen(self, seconds: float) -> None:
        """Let the first signal after so many seconds raise, until close() is called again.

        Those that come before are still meant for what was stopped.
        """
        self._opens = time.monotonic() + seconds

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Answer a signal: the handler that Python calls."""
        both = self._came(number) > 1 and number == signal.SIGINT
        if self._closed and time.monotonic() < self._opens:
            return
        if self.patient:
            if self.pending is None and not both:
                self.pending, self._since = (number, frame), time.monotonic()
                return
            if number != signal.SIGINT and time.monotonic() - self._since < TOGETHER:
                return
            self.hasty, self.pending = True, None
        self.close()
        self._handlers[number](number, frame)

    def _count_signals(self) -> None:
        """Let each signal be counted as it comes.

        Python calls a handler once for all that came while one operation of a library took its time: the
        backward pass of a large network takes seconds.
        """
        from socket import socketpair

        ends = socketpair()
        for end in ends:
            end.setblocking(False)
        before = signal.set_wakeup_fd(ends[1].fileno(), warn_on_full_buffer=False)
        if before == -1:
            self._counter = ends
            return
        # An event loop (a notebook's, say) listens already, and needs to.
        signal.set_wakeup_fd(before)
        for end in ends:
            end.close()

    def _came(self, number: int) -> int:
        """Return how many of this signal came since the last time, as far as they could be counted."""
        came = b""
        if self._counter is not None:
            with suppress(BlockingIOError):
                came = self._counter[0].recv(1 << 16)
        return came.count(number)


@contextmanager
def between_steps() -> Iterator[Callable[[], None]]:
    """Within the context, the first signal waits until what is yielded is called, or the context ends.

    The second waits no longer, and reaches its handler at once: then the weights may be those of half a step.
    Within Stops, it is those that wait and are asked: they may have a checkpoint to write first.
    """
    if not _in_main_thread():
        yield _nothing
        return
    with nullcontext(Stops.innermost) if Stops.innermost is not None else Stops() as stops:
        if stops.patient:
            # Whoever waits for signals already asks for them, too.
            yield stops.poll
            return
        stops.patient = True
        try:
            yield stops.poll
            stops.poll()
        finally:
            # After an error, a step may be half done: nothing that comes before stopping may be made of it.
            stops._raise_pending()
            stops.patient = False


def _nothing() -> None:
    pass


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
