"""The demo's two users: what is set up for them, and what the programs in their containers do.

A container's program calls Google with plain google-auth and a credentials directory, nothing else. Only the short
lifetime of the tokens is special to the demo; the daemon is the real one.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from google.auth import identity_pool
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from requests import Session

from refresher.durations import format_duration
from refresher.emulator.state import DEFAULT_NUMBER, DEFAULT_PROJECT
from refresher.emulator.testing import Scenario
from refresher.errors import ExchangeError
from refresher.keys.directory import create, read_jwks
from refresher.resources import CLOUD_PLATFORM_SCOPE

LIFETIME = timedelta(seconds=9)
_ISSUER = "https://workers.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user; the target and the identity have the user's name.

    Attributes:
        name: The name.
        subject: The claim `sub` of the subject tokens.
        service_account: The e-mail of the service account.
    """

    name: str
    subject: str
    service_account: str


USERS = tuple(
    User(name=name, subject=subject, service_account=f"task-{name}@{DEFAULT_PROJECT}.iam.gserviceaccount.com")
    for name, subject in (("alice", "user-1042"), ("bob", "user-2077"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer of Google: the HTTP status and Google's error text."""

    status: int
    text: str


def set_up(directory: Path, google: Scenario, now: datetime) -> Path:
    """Create the key, make the cloud trust it, bind each subject to one account, and write the configuration.

    Returns:
        The configuration file; the credentials directories will be in `run`, next to it.

    Raises:
        KeysError: The directory contains keys of an earlier demo that can't be used.
    """
    keys = directory / "keys"
    if not (keys / "keys.json").exists():
        create(keys, algorithm="ES256", now=now)
    provider = google.add_provider(issuer=_ISSUER, jwks=read_jwks(keys))
    for user in USERS:
        google.allow(user.service_account, subject=user.subject)
    supplier = {"kind": "self_issued", "issuer": _ISSUER, "keys": str(keys), "lifetime": format_duration(LIFETIME)}
    document = {
        "version": 1,
        "providers": {"main": {"project_number": DEFAULT_NUMBER, "pool": provider.pool, "provider": provider.provider}},
        "project": DEFAULT_PROJECT,
        "suppliers": {"worker": supplier},
        "identities": {user.name: {"service_account": user.service_account, "subject": user.subject} for user in USERS},
        "directory_root": str(directory / "run"),
        "targets": {user.name: {} for user in USERS},
        "listen": "none",
        "google": {"emulator": True, "endpoints": {"sts": google.http, "iam_credentials": google.http}},
    }
    configuration = directory / "refresher.yaml"
    configuration.write_text(json.dumps(document, indent=2), encoding="utf-8")
    configuration.chmod(0o600)
    return configuration


def act_as(directory: Path, google: Scenario) -> str:
    """Exchange and impersonate with a credentials directory; return the service account that Google recognises.

    Raises:
        ExchangeError: Google refused.
    """
    try:
        token = _fetch_access_token(json.loads((directory / "credentials.json").read_bytes()))
    except GoogleAuthError as error:
        raise ExchangeError(f"{directory} was refused: {_read_refusal(error).text}", "report this as a bug") from error
    return str(google.whoami(token)["service_account"])


def try_theft(thief: Path, victim: Path) -> Refusal | None:
    """Use the thief's token for the victim's service account; return Google's refusal, None if it worked."""
    document = json.loads((victim / "credentials.json").read_bytes())
    document["credential_source"]["file"] = str(thief / "token")
    try:
        _fetch_access_token(document)
    except GoogleAuthError as error:
        return _read_refusal(error)
    return None


def _fetch_access_token(document: dict[str, object]) -> str:
    credentials = identity_pool.Credentials.from_info(document, scopes=(CLOUD_PLATFORM_SCOPE,))  # type: ignore[no-untyped-call]  # google-auth types it half
    with Session() as session:
        session.trust_env = False  # a proxy can't reach this machine
        credentials.refresh(Request(session))
    return str(credentials.token)


def _read_refusal(error: GoogleAuthError) -> Refusal:
    """Read Google's answer from an error of google-auth: one of its arguments is the body."""
    for argument in error.args:
        try:
            found = json.loads(argument)["error"]
            return Refusal(status=int(found["code"]), text=str(found["message"]))
        except (ValueError, TypeError, KeyError):
            continue
    return Refusal(status=400, text=str(error.args[0]) if error.args else type(error).__name__)
