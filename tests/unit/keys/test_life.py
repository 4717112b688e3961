from __future__ import annotations

from datetime import timedelta

import pytest

from refresher.errors import KeysError
from refresher.keys.life import MOST_PUBLISHED, SKEW, activated, added, retired, revoked
from refresher.keys.registry import KeyRecord, KeyState
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
    """A key is added as next, signs, retires when its successor signs, and goes when its tokens have expired."""
    records = activated(added(FIRST, key("b")), None, NOW, HOUR)

    assert states(records) == {"a": "retiring", "b": "active"}
    assert records[0].keep_until == NOW + HOUR + SKEW
    with pytest.raises(KeysError, match="may be in use until 2026"):
        retired(records, NOW + HOUR)
    assert states(retired(records, NOW + HOUR + SKEW)) == {"a": "gone", "b": "active"}


def test_one_next_at_a_time() -> None:
    """A second next key is refused, because it would be unclear which of the two was uploaded."""
    with pytest.raises(KeysError, match="key b is next already"):
        added(added(FIRST, key("b")), key("c"))


def test_never_more_than_a_provider_takes() -> None:
    """The ninth published key is refused; keys in state gone do not count."""
    many = (*FIRST, *(key(str(number), KeyState.RETIRING) for number in range(MOST_PUBLISHED - 1)))
    gone = tuple(key(f"gone-{number}", KeyState.GONE) for number in range(20))

    with pytest.raises(KeysError, match="8 keys are published already"):
        added(many, key("b"))
    assert len(added((*many[1:], *gone), key("b"))) == MOST_PUBLISHED + len(gone)


def test_only_what_waits_is_activated() -> None:
    """Activation fails without a next key, or for a key that is not the next one."""
    with pytest.raises(KeysError, match="no key is next"):
        activated(FIRST, None, NOW, HOUR)
    with pytest.raises(KeysError, match="key c is not next"):
        activated(added(FIRST, key("b")), "c", NOW, HOUR)


def test_nothing_to_retire() -> None:
    """Without a retiring key there is nothing to retire, and the command fails."""
    with pytest.raises(KeysError, match="no key is retiring"):
        retired(FIRST, NOW)


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
    assert states(revoked(records, kid, key("new"), NOW)) == expected


def test_unknown_key_is_not_revoked() -> None:
    """The error for an unknown key lists the known ones."""
    with pytest.raises(KeysError, match="name one of: a"):
        revoked(FIRST, "z", key("new"), NOW)
