"""Acting on Google as a container would: plain google-auth with nothing but a credentials directory."""

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

    from refresher.demo.scene import Scene

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What Google said to somebody who may not.

    Attributes:
        status: The HTTP status.
        text: Google's words.
    """

    status: int
    text: str


def act_as(scene: Scene, directory: Path) -> str:
    """Exchange and impersonate with a credentials directory; give the service account that Google takes it for.

    Raises:
        ExchangeError: Google refused.
    """
    try:
        token = _access_token(json.loads((directory / "credentials.json").read_bytes()))
    except GoogleAuthError as error:
        raise ExchangeError(f"{directory} was refused: {refusal_in(error).text}", "report this as a bug") from error
    return str(scene.google.whoami(token)["service_account"])


def steal(thief: Path, victim: Path) -> Refusal | None:
    """Take the thief's token to the victim's service account; give how Google refused, None if it did not."""
    document = json.loads((victim / "credentials.json").read_bytes())
    document["credential_source"]["file"] = str(thief / "token")
    try:
        _access_token(document)
    except GoogleAuthError as error:
        return refusal_in(error)
    return None


def refusal_in(error: GoogleAuthError) -> Refusal:
    """Take Google's own words out of what google-auth raised: the body of the answer is one of its arguments."""
    for argument in error.args:
        try:
            found = json.loads(argument)["error"]
            return Refusal(status=int(found["code"]), text=str(found["message"]))
        except (ValueError, TypeError, KeyError):
            continue
    return Refusal(status=400, text=str(error.args[0]) if error.args else type(error).__name__)


def _access_token(document: dict[str, object]) -> str:
    credentials = identity_pool.Credentials.from_info(document, scopes=SCOPES)  # type: ignore[no-untyped-call]  # google-auth types it half
    with Session() as session:
        session.trust_env = False  # no proxy leads to this machine
        credentials.refresh(Request(session))
    return str(credentials.token)
