"""A program in a container: it calls Google with plain google-auth and a credentials directory, nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.auth import identity_pool
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from requests import Session

from refresher.errors import ExchangeError

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.testing import Scenario

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer of Google.

    Attributes:
        status: The HTTP status.
        text: Google's error text.
    """

    status: int
    text: str


def act_as(directory: Path, google: Scenario) -> str:
    """Exchange and impersonate with a credentials directory; return the service account that Google recognises.

    Raises:
        ExchangeError: Google refused.
    """
    try:
        token = _fetch_access_token(json.loads((directory / "credentials.json").read_bytes()))
    except GoogleAuthError as error:
        raise ExchangeError(f"{directory} was refused: {read_refusal(error).text}", "report this as a bug") from error
    return str(google.whoami(token)["service_account"])


def try_theft(thief: Path, victim: Path) -> Refusal | None:
    """Use the thief's token for the victim's service account; return Google's refusal, None if it worked."""
    document = json.loads((victim / "credentials.json").read_bytes())
    document["credential_source"]["file"] = str(thief / "token")
    try:
        _fetch_access_token(document)
    except GoogleAuthError as error:
        return read_refusal(error)
    return None


def read_refusal(error: GoogleAuthError) -> Refusal:
    """Read Google's answer from an error of google-auth: one of its arguments is the body."""
    for argument in error.args:
        try:
            found = json.loads(argument)["error"]
            return Refusal(status=int(found["code"]), text=str(found["message"]))
        except (ValueError, TypeError, KeyError):
            continue
    return Refusal(status=400, text=str(error.args[0]) if error.args else type(error).__name__)


def _fetch_access_token(document: dict[str, object]) -> str:
    credentials = identity_pool.Credentials.from_info(document, scopes=SCOPES)  # type: ignore[no-untyped-call]  # google-auth types it half
    with Session() as session:
        session.trust_env = False  # a proxy cannot reach this machine
        credentials.refresh(Request(session))
    return str(credentials.token)
