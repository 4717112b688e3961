from __future__ import annotations

import pytest

from refresher.text import escape, quote, redact
from tests.tokens import make_jwt

OPAQUE = "AbCdEf0123456789" * 5


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
    assert escape("a\x1b[2J\n") == "a\\x1b[2J\\n"


def test_long_value_is_quoted_by_its_length() -> None:
    """A value that is long, unprintable or looks like a secret is not repeated."""
    assert quote("alice") == '"alice"'
    assert quote("a" * 65) == "a text of 65 characters"
    assert quote("eyJh") == "a text of 4 characters"
