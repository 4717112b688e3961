"""Whom a remedy sends a person to, by who this user is."""

import os

from refresher.users import recommend_root
from tests.conftest import Need


def test_root_is_never_sent_to_root(need: Need) -> None:
    """Root that is refused lacks a capability; any other user becomes root."""
    need.root()
    as_root = recommend_root()
    os.seteuid(65534)
    try:
        as_user = recommend_root()
    finally:
        os.seteuid(0)

    assert as_user == "run this command as root"
    assert "as root" not in as_root
    assert "systemd-run --pipe --wait" in as_root
