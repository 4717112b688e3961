"""google-auth's own credentials against a running emulator, as they are loaded from files."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests
from google.auth import impersonated_credentials
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.oauth2 import credentials, service_account

from tests.connect_proxy import ConnectProxy
from tests.unit.emulator.conftest import ALICE, BOB, SCOPE
from tests.unit.emulator.token_calls import CAROL, CREATOR

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.testing import Scenario

pytestmark = pytest.mark.slow  # starts the emulator

# google-auth's classes are only half typed
Key: Any = service_account.Credentials
Identity: Any = service_account.IDTokenCredentials
User: Any = credentials.Credentials
Impersonated: Any = impersonated_credentials.Credentials


@pytest.fixture
def machine(google_emulator: Scenario) -> Scenario:
    """Return a running emulator where alice and carol may act as bob."""
    google_emulator.allow_member(BOB, f"serviceAccount:{ALICE}", CREATOR)
    google_emulator.allow_member(BOB, f"user:{CAROL}", CREATOR)
    return google_emulator


def impersonate(source: Any, google: Scenario) -> str:  # noqa: ANN401 - google-auth's credentials
    """Return who google-auth becomes when it impersonates bob."""
    url = f"{google.http}/v1/projects/-/serviceAccounts/{BOB}:generateAccessToken"
    acting = Impersonated(
        source_credentials=source, target_principal=BOB, target_scopes=[SCOPE], iam_endpoint_override=url
    )
    acting.refresh(Request())
    return str(google.whoami(acting.token)["service_account"])


def test_google_auth_uses_a_key(machine: Scenario, tmp_path: Path) -> None:
    """google-auth loads the file of a key as it is, refreshes, impersonates, and gets ID tokens."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps(machine.create_key(ALICE)))

    own = Key.from_service_account_file(str(path), scopes=[SCOPE])
    own.refresh(Request())
    identity = Identity.from_service_account_file(str(path), target_audience="https://api")
    identity.refresh(Request())

    assert machine.whoami(own.token)["service_account"] == ALICE
    assert impersonate(own, machine) == BOB
    assert jwt.decode(identity.token, options={"verify_signature": False})["aud"] == "https://api"


def test_google_auth_signs_its_own_tokens(machine: Scenario) -> None:
    """google-auth can do without the token endpoint, and so can the emulator."""
    own = Key.from_service_account_info(machine.create_key(ALICE), scopes=[SCOPE])
    own = own.with_always_use_jwt_access(always_use_jwt_access=True)
    own._create_self_signed_jwt(None)  # noqa: SLF001 - what google-auth's own transports call
    own.refresh(Request())

    assert machine.whoami(own.token)["service_account"] == ALICE
    assert machine.journal.entries("/token") == []


def test_google_auth_uses_a_refresh_token(machine: Scenario) -> None:
    """A user's credentials with the emulator's address refresh and impersonate."""
    document = machine.add_user(CAROL)
    document.pop("type")
    own = User(None, **document)
    own.refresh(Request())

    assert "user:carol@example.com" in machine.whoami(own.token)["members"]
    assert impersonate(own, machine) == BOB
    own = User(None, **{**document, "refresh_token": "1//x"})
    with pytest.raises(RefreshError, match="invalid_grant: Bad Request"):
        own.refresh(Request())


def test_google_auth_uses_a_users_file(machine: Scenario, tmp_path: Path) -> None:
    """google-auth asks oauth2.googleapis.com for a file as gcloud writes it; a proxy leads it to the secure origin."""
    path = tmp_path / "application_default_credentials.json"
    path.write_text(json.dumps(machine.add_user(CAROL)))
    proxy = ConnectProxy({"oauth2.googleapis.com": int(machine.https.rpartition(":")[2])})
    own = User.from_authorized_user_file(str(path), scopes=[SCOPE])
    session = requests.Session()
    session.trust_env = False
    session.proxies, session.verify = {"https": proxy.origin}, str(machine.ca_file)

    own.refresh(Request(session))
    proxy.close()

    assert proxy.asked == ["oauth2.googleapis.com"]
    assert impersonate(own, machine) == BOB


def test_google_auth_is_refused_as_at_google(machine: Scenario) -> None:
    """A deleted account, and a clock that is wrong, are refused with the texts that users find on the web."""
    document = machine.create_key(ALICE)
    own = Key.from_service_account_info(document, scopes=[SCOPE])
    machine.clock.advance(timedelta(hours=2))
    with pytest.raises(RefreshError, match="Token must be a short-lived token"):
        own.refresh(Request())
    machine.clock.advance(timedelta(hours=-2))
    machine.state.service_accounts[ALICE].deleted_at = 0.0

    with pytest.raises(RefreshError, match="invalid_grant: Invalid grant: account not found"):
        own.refresh(Request())
