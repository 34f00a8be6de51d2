"""Lengths of time, as people write them."""

import pytest

from linnaea.runs.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5m", 90),
        ("45", 45),
        (45, 45),
        ("1 H 5 s", 3605),
    ],
)
def test_a_duration_is_read_from_what_a_person_writes(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "soon", "-5s", "1h30", "m", "5d", "nan", "inf"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ValueError, match="is written as 90s, 10m, 2h or 1h30m"):
        parse_duration(text)
