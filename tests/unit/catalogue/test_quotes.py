"""Every known message leads to its entry, by its status and by its words alone, with the remedy for it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from refresher.catalogue.entries import compose_remedy, read_entries, recognise, recognise_message

QUOTES = tomllib.loads(Path(__file__).with_name("quotes.toml").read_text(encoding="utf-8"))["quote"]
IDS = {
    *(f"E{number}" for number in range(1, 19)),
    *(f"I{number}" for number in range(1, 13)),
    *(f"T{number}" for number in range(1, 10)),
    *(f"P{number}" for number in range(1, 12)),
    *("M1", "M2"),
}


def test_all_fifty_two_known_failures_are_quoted() -> None:
    """The fixtures hold every failure that the facts list, and what has no number there."""
    assert len(IDS) == 52
    assert {quote["id"] for quote in QUOTES} == IDS | {"SERVICE_DISABLED", "HTML"}


@pytest.mark.parametrize("quote", QUOTES, ids=lambda quote: f"{quote['id']}-{quote['text'][:24]}")
def test_quote_leads_to_its_entry_and_remedy(quote: dict[str, Any]) -> None:
    """A message is recognised by its words alone, as a person pastes it; a server's also by its status."""
    by_words = recognise_message(f"prefix: {quote['text']} suffix")
    by_status = recognise(quote["status"], quote["text"]) if quote["status"] else by_words

    assert by_words is not None
    assert by_status is not None
    assert (by_words.name, by_status.name) == (quote["entry"], quote["entry"])
    assert quote["remedy"] in compose_remedy(by_status, quote["text"])


def test_what_no_source_shows_is_not_verified() -> None:
    """Entries whose words are from reports that can't be named, or our own, are marked, and no others are."""
    unverified = {entry.name for entry in read_entries() if not entry.is_verified}

    assert unverified == {"E18", "E20", "T6", "T9", "I4", "M1", "html", "role", "unknown"}
