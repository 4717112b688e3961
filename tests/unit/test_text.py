from __future__ import annotations

import pytest

from refresher.text import escape, quote


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("plain text, ünïcode", "plain text, ünïcode", id="printable"),
        pytest.param("a\nb\tc", r"a\nb\tc", id="lines"),
        pytest.param("\x1b[2Jgone", r"\x1b[2Jgone", id="terminal-control"),
        pytest.param("\u202eevil", r"\u202eevil", id="right-to-left"),
        pytest.param("\udcff", r"\udcff", id="undecodable-byte"),
        pytest.param("\U000e0001", r"\U000e0001", id="beyond-the-first-plane"),
    ],
)
def test_text_is_shown_on_one_line_without_control_characters(text: str, expected: str) -> None:
    """Whatever a terminal would act on is escaped as Python does, and the result can be encoded."""
    shown = escape(text)

    assert shown == expected
    assert shown.isprintable()
    shown.encode()


@pytest.mark.parametrize(
    ("length", "expected"), [(4, "xxxx"), (5, "xxxx…"), (10**6, "xxxx…")], ids=["limit", "above", "huge"]
)
def test_text_is_cut_when_it_is_long(length: int, expected: str) -> None:
    """At most the given number of characters is shown, and an ellipsis shows that there are more."""
    assert escape("x" * length, longest=4) == expected


def test_text_is_cut_by_its_own_characters() -> None:
    """The limit counts the characters of the text, not those of the escapes."""
    assert escape("\n" * 5, longest=2) == r"\n\n…"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("gcp-x", '"gcp-x"', id="short"),
        pytest.param("", '""', id="empty"),
        pytest.param("x" * 64, f'"{"x" * 64}"', id="limit"),
        pytest.param("x" * 65, "a text of 65 characters", id="long"),
        pytest.param("a\nb", "a text of 3 characters", id="unprintable"),
        pytest.param("eyJhbGciOi.x.y", "a text of 14 characters", id="token"),
        pytest.param("Bearer eyJh", "a text of 11 characters", id="header"),
        pytest.param("-----BEGIN", "a text of 10 characters", id="key"),
    ],
)
def test_value_is_quoted_unless_it_may_be_a_secret(value: str, expected: str) -> None:
    """Only the length is shown of a value that is long, unprintable, or looks like a token or a key."""
    assert quote(value) == expected
