from __future__ import annotations

import pytest

from refresher.text import escape, quote, redact
from tests.tokens import make_jwt

OPAQUE = "AbCdEf0123456789" * 5


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


@pytest.mark.parametrize(
    "secret",
    [make_jwt(), make_jwt()[:30], "ya29.c.short-one_x", "1//0refresh-token", OPAQUE],
    ids=["jwt", "jwt-cut-off", "access-token", "refresh-token", "opaque"],
)
def test_text_that_looks_like_a_secret_is_taken_out(secret: str) -> None:
    """A server that quotes a token does not get it into our messages."""
    assert redact(f"Bad token [{secret}] here") == "Bad token […] here"


@pytest.mark.parametrize("sent", ["plain secret+/", "plain%20secret%2B%2F", "plain+secret%2B%2F"])
def test_secret_that_was_sent_is_taken_out_in_each_spelling(sent: str) -> None:
    """A secret that looks like ordinary text is taken out, also as it stands in a URL or a form."""
    assert redact(f"Bad token [{sent}] here", "plain secret+/") == "Bad token […] here"


def test_text_with_a_short_secret_is_withheld() -> None:
    """A secret of a few letters is part of ordinary words, so that the whole text is withheld."""
    assert redact("no such client or sesame", "sesame") == "(withheld, since the secret is in it)"
    assert redact("no such client", "sesame") == "no such client"


def test_long_texts_are_shortened_to_one_line() -> None:
    """A page of text becomes 500 characters of one line."""
    shortened = redact("many\nwords " * 200)

    assert len(shortened) <= 500
    assert "\n" not in shortened


def test_texts_cannot_move_the_cursor() -> None:
    """Control characters of a foreign text are shown as escapes."""
    assert redact("a\x1b[2J \ud800") == "a\\x1b[2J \\ud800"
