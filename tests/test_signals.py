"""Signals while a network learns: the first waits for the end of a step, the second for nothing."""

import ctypes
import signal
import socket
import sys
import threading

import numpy as np
import pytest

from linnaea.classifiers.perceptron.classifier import MLPClassifier
from linnaea.errors import DivergenceError
from linnaea.signals import Stops, between_steps


def test_in_python_the_first_waits_and_the_second_does_not():
    done = []
    with pytest.raises(KeyboardInterrupt), between_steps() as poll:
        signal.raise_signal(signal.SIGINT)
        done.append("first")
        poll()
        done.append("never")
    with pytest.raises(KeyboardInterrupt), between_steps():
        signal.raise_signal(signal.SIGINT)
        done.append("first again")
        signal.raise_signal(signal.SIGINT)
        done.append("second")
    with pytest.raises(KeyboardInterrupt), between_steps():
        signal.raise_signal(signal.SIGINT)
        done.append("until the end")
    assert done == ["first", "first again", "until the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert Stops.innermost is None


def test_a_fit_in_python_that_is_interrupted_keeps_the_weights_of_a_whole_step(monkeypatch):
    X, y = np.random.default_rng(0).random((40, 4)), np.arange(40) % 2
    train_step, steps = MLPClassifier._train_step, []

    def step(self, *arguments):
        steps.append("begun")
        if len(steps) == 5:
            signal.raise_signal(signal.SIGINT)
        train_step(self, *arguments)
        steps.append("ended")

    monkeypatch.setattr(MLPClassifier, "_train_step", step)
    with pytest.raises(KeyboardInterrupt):
        MLPClassifier(epochs=10, batch_size=10).fit(X, y)
    assert steps == ["begun", "ended"] * 3


def test_within_stops_what_comes_before_stopping_is_done_between_two_steps():
    done = []
    with Stops() as stops, pytest.raises(KeyboardInterrupt):
        stops.before_stopping = lambda: done.append("checkpoint")
        with between_steps() as poll:
            signal.raise_signal(signal.SIGINT)
            done.append("step")
            poll()
    assert done == ["step", "checkpoint"]
    assert (stops.patient, stops.hasty) == (False, False)


@pytest.mark.parametrize("number", [1, 2])
def test_of_half_a_step_no_checkpoint_is_made(number):
    done = []
    with Stops() as stops, pytest.raises(KeyboardInterrupt):
        stops.before_stopping = lambda: done.append("checkpoint")
        with between_steps():
            for _ in range(number):
                signal.raise_signal(signal.SIGINT)
            raise DivergenceError("The loss is nan.")
    assert done == []
    assert stops.hasty is (number == 2)


def test_in_a_thread_nothing_waits_for_signals_of_the_main_thread():
    seen = []

    def learn():
        with between_steps() as poll:
            seen.append(Stops.innermost)
            poll()

    with Stops() as stops:
        stops.patient = True
        signal.raise_signal(signal.SIGINT)
        thread = threading.Thread(target=learn)
        thread.start()
        thread.join()
        assert stops.pending is not None
    assert len(seen) == 1


def test_who_is_closed_hears_nothing():
    with Stops() as stops:
        stops.close()
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_can_be_done_again_is_ended_by_one_signal_after_a_while():
    done = []
    with Stops() as stops:
        stops.close()
        stops.reopen(60)
        signal.raise_signal(signal.SIGINT)
        done.append("still meant for what was stopped")
        stops.reopen(0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append("closed again")
    assert done == ["still meant for what was stopped", "closed again"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_two_that_come_during_one_operation_of_a_library_are_two():
    send = getattr(ctypes.PyDLL(None), "raise")
    with Stops() as stops, pytest.raises(KeyboardInterrupt):
        stops.patient = True
        # One operation as Python sees it: it looks for signals before and after, not in between.
        list(map(send, [int(signal.SIGINT)] * 2))
        pytest.fail("the second was not heard")
    assert stops.hasty
    assert signal.set_wakeup_fd(-1) == -1


def waiting(ear: socket.socket) -> int:
    try:
        return len(ear.recv(100, socket.MSG_PEEK))
    except BlockingIOError:
        return 0


def test_an_event_loop_that_listens_for_signals_goes_on_doing_so():
    ears = socket.socketpair()
    for ear in ears:
        ear.setblocking(False)
    signal.set_wakeup_fd(ears[1].fileno())
    try:
        with Stops() as stops:
            stops.patient = True
            signal.raise_signal(signal.SIGINT)
            assert stops.pending is not None
        assert waiting(ears[0]) == 1
    finally:
        assert signal.set_wakeup_fd(-1) == ears[1].fileno()
        for ear in ears:
            ear.close()
