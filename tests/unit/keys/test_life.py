from __future__ import annotations

from datetime import timedelta

import pytest

from refresher.errors import KeysError
from refresher.keys.registry import SKEW, KeyRecord, KeyState, activate_key, add_key, drop_retired, revoke_key
from refresher.limits import MOST_PUBLISHED_KEYS
from tests.tokens import NOW

HOUR = timedelta(hours=1)


def key(kid: str, state: KeyState = KeyState.NEXT) -> KeyRecord:
    """Return a key's record."""
    return KeyRecord(kid=kid, algorithm="ES256", state=state, created_at=NOW)


FIRST = (key("a", KeyState.ACTIVE),)


def states(records: tuple[KeyRecord, ...]) -> dict[str, str]:
    """Return each key's state."""
    return {record.kid: record.state.value for record in records}


def test_whole_life() -> None:
    """A key is added as next, signs, retires when the following one signs, and is gone when its tokens have expired."""
    records = activate_key(add_key(FIRST, key("b")), None, NOW, HOUR)

    assert states(records) == {"a": "retiring", "b": "active"}
    assert records[0].keep_until == NOW + HOUR + SKEW
    with pytest.raises(KeysError, match="may be in use until 2026"):
        drop_retired(records, NOW + HOUR)
    assert states(drop_retired(records, NOW + HOUR + SKEW)) == {"a": "gone", "b": "active"}


def test_one_next_at_a_time() -> None:
    """A second next key is refused: an upload would be ambiguous."""
    with pytest.raises(KeysError, match="key b is next already"):
        add_key(add_key(FIRST, key("b")), key("c"))


def test_never_more_than_a_provider_accepts() -> None:
    """The ninth published key is refused; keys that are gone do not count."""
    many = (*FIRST, *(key(str(number), KeyState.RETIRING) for number in range(MOST_PUBLISHED_KEYS - 1)))
    gone = tuple(key(f"gone-{number}", KeyState.GONE) for number in range(20))

    with pytest.raises(KeysError, match="8 keys are published already"):
        add_key(many, key("b"))
    assert len(add_key((*many[1:], *gone), key("b"))) == MOST_PUBLISHED_KEYS + len(gone)


def test_only_a_next_key_can_become_active() -> None:
    """Activating with no next key, or another than the next one, is refused."""
    with pytest.raises(KeysError, match="no key waits to be activated"):
        activate_key(FIRST, None, NOW, HOUR)
    with pytest.raises(KeysError, match="key c is not next"):
        activate_key(add_key(FIRST, key("b")), "c", NOW, HOUR)


def test_nothing_to_retire() -> None:
    """Without a retiring key there is nothing to retire, and the command fails."""
    with pytest.raises(KeysError, match="no key is retiring"):
        drop_retired(FIRST, NOW)


@pytest.mark.parametrize(
    ("records", "kid", "expected"),
    [
        (FIRST, "a", {"a": "gone", "new": "active"}),
        ((*FIRST, key("b")), "a", {"a": "gone", "b": "active"}),
        ((*FIRST, key("b")), "b", {"a": "active", "b": "gone"}),
        ((*FIRST, key("o", KeyState.RETIRING)), "o", {"a": "active", "o": "gone"}),
    ],
    ids=["alone", "next-takes-over", "next-itself", "retiring"],
)
def test_revoked_key_goes_at_once(records: tuple[KeyRecord, ...], kid: str, expected: dict[str, str]) -> None:
    """A revoked key is gone in any state, and there is an active key afterwards."""
    assert states(revoke_key(records, kid, key("new"), NOW)) == expected


def test_unknown_key_is_not_revoke() -> None:
    """Revoking an unknown key names the known ones."""
    with pytest.raises(KeysError, match="revoke one of: a"):
        revoke_key(FIRST, "z", key("new"), NOW)
