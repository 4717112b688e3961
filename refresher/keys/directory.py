"""The keys directory, read: load the key that signs or one that waits, give the public halves.

`KID.pem` holds a key, `keys.json` says which keys there are. Keys are made and moved on in `refresher.keys.changes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from refresher.errors import KeysError
from refresher.keys.registry import KeyRecord, KeyState, list_keys, open_keys, read_file
from refresher.keys.signing import PrivateKey, UnsupportedKeyError

if TYPE_CHECKING:
    from pathlib import Path


def jwks(directory: Path) -> dict[str, Any]:
    """Give the JWKS (RFC 7517, section 5) of all keys but the gone: only what Google accepts in an upload.

    Raises:
        KeysError: The directory, its `keys.json` or one of the keys cannot be used.
    """
    published = [record for record in list_keys(directory) if record.state is not KeyState.GONE]
    return {"keys": [_load(directory, record).public_jwk for record in published]}


def load_signing_key(directory: Path) -> PrivateKey:
    """Load the active key; loading is slow (RSA 50 ms), so keep it.

    Raises:
        KeysError: There is no active key, or it cannot be used.
    """
    for record in list_keys(directory):
        if record.state is KeyState.ACTIVE:
            return _load(directory, record)
    raise KeysError(f"{directory} holds no active key", "make one in an empty directory: refresher keys new")


def load_next_key(directory: Path, kid: str) -> PrivateKey:
    """Load a key that waits to become the active one.

    Raises:
        KeysError: It waits no more, or cannot be used.
    """
    for record in list_keys(directory):
        if record.kid == kid and record.state is KeyState.NEXT:
            return _load(directory, record)
    raise KeysError(f"{directory} holds no next key {kid}", "see what it holds: refresher keys list")


def _load(directory: Path, record: KeyRecord) -> PrivateKey:
    path = directory / f"{record.kid}.pem"
    try:
        with open_keys(directory) as descriptor:
            key = PrivateKey.from_pem(read_file(descriptor, path.name))
    except UnsupportedKeyError as error:
        raise KeysError(f"{path} cannot be used: {error}", "restore it from a backup, or make another key") from error
    except OSError as error:
        raise KeysError(
            f"{path} cannot be used: {error.strerror}", "restore it from a backup, with mode 0400 for the daemon's user"
        ) from error
    if key.kid != record.kid:
        raise KeysError(f"{path} holds another key, {key.kid}", "restore the key that its name says")
    return key
