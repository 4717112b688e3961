from __future__ import annotations

from datetime import timedelta

import pytest

from refresher.durations import format_duration, format_seconds, format_span, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("1h30m", 5400), ("1h1s", 3601), ("0s", 0)]
)
def test_reads_durations(text: str, seconds: int) -> None:
    """Hours, minutes and seconds are read, each with its unit."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "1d", "1H", "-1s", "1.5h", "30m1h", "1h ", "1234567s", "\u0661s", "1s\n"])
def test_refuses_everything_else(text: str) -> None:
    """A number without a unit, other units, signs, fractions and another order are refused."""
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "1m30s"), (3600, "1h"), (5401, "1h30m1s")])
def test_writes_the_shortest_form(seconds: int, text: str) -> None:
    """Parts that are zero are left out."""
    assert format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=61), "1 min 1 s"),
        (timedelta(days=2, hours=1, minutes=3), "2 d 1 h"),
    ],
)
def test_spans_in_words(duration: timedelta, words: str) -> None:
    """A span has its two largest units."""
    assert format_span(duration) == words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.94022, "1.9 s"), (2.0, "2 s"), (0.04, "0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (20.4, "20 s"), (300, "300 s")],
)
def test_seconds_are_rounded_for_people(seconds: float, text: str) -> None:
    """Below ten seconds there is one decimal, above none."""
    assert format_seconds(seconds) == text
