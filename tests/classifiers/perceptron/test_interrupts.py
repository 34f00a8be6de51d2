"""Signals held back: until the end of a step, but for the second."""

import signal

import pytest

from linnaea.classifiers.perceptron.interrupts import SignalsHeldBack


def test_the_first_waits_and_the_second_does_not():
    done = []
    with pytest.raises(KeyboardInterrupt), SignalsHeldBack() as signals:
        signal.raise_signal(signal.SIGINT)
        done.append("first")
        signals.release()
    with pytest.raises(KeyboardInterrupt), SignalsHeldBack():
        signal.raise_signal(signal.SIGINT)
        done.append("first again")
        signal.raise_signal(signal.SIGINT)
        done.append("second")
    assert done == ["first", "first again"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_even_the_second_waits_nothing_is_broken_off():
    done = []
    with pytest.raises(KeyboardInterrupt), SignalsHeldBack(even_the_second=True):
        for number in range(3):
            signal.raise_signal(signal.SIGINT)
            done.append(number)
    assert done == [0, 1, 2]


def test_a_handler_that_is_patient_itself_hears_at_once():
    class Patient:
        patient = True
        heard = 0

        def __call__(self, number, frame):
            self.heard += 1

    handler = Patient()
    before = signal.signal(signal.SIGINT, handler)
    try:
        with SignalsHeldBack():
            signal.raise_signal(signal.SIGINT)
            assert handler.heard == 1
    finally:
        signal.signal(signal.SIGINT, before)
