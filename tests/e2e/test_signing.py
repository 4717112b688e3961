"""Signing by a program that only has a credentials directory (docs/signing.md), and the consequences of the grant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.signatures import check_blob, claims_of, printed, programs
from tests.signing_site import ALICE, SigningSite, signing_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@pytest.fixture
def site(tmp_path: Path, google_emulator: Scenario) -> Iterator[SigningSite]:
    """Return a container and its Google."""
    with signing_site(tmp_path, google_emulator) as made:
        yield made


def test_python_signs_with_google_auth(site: SigningSite, foreign_python: Path) -> None:
    """The guide's program signs a JWT and bytes as its account, and the keys that Google publishes verify them."""
    site.allow_signing()

    done = site.run(str(foreign_python), "-c", programs("python")[0])

    assert done.returncode == 0, done.stderr[-2000:]
    told = printed(done.stdout)
    assert claims_of(site.google, ALICE, told["jwt"])["sub"] == ALICE
    check_blob(site.google, ALICE, told["blob"], b"anything")


def test_without_the_grant_nothing_is_signed(site: SigningSite, foreign_python: Path) -> None:
    """Without the grant the same program fails at the first signature."""
    done = site.run(str(foreign_python), "-c", programs("python")[0])

    assert done.returncode != 0
    assert "403" in done.stderr
    refused = [entry for entry in site.google.journal.entries() if entry.operation == "iamcredentials.signJwt"]
    assert [entry.status for entry in refused] == [403]


def renewed(site: SigningSite, token: str) -> str | None:
    """Request another access token with an access token of the account; None if that is refused."""
    request = Request(  # noqa: S310 - of loopback
        f"{site.google.http}/v1/projects/-/serviceAccounts/{ALICE}:generateAccessToken",
        data=json.dumps({"scope": [SCOPE]}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - of loopback
            found: str = json.load(answer)["accessToken"]
    except HTTPError as error:
        error.close()
        return None
    return found


def test_stolen_token_renews_itself_with_the_grant_alone(site: SigningSite) -> None:
    """The guide's warning: only with the grant can a stolen access token be used for longer than its hour."""
    stolen = site.google.access_token(f"serviceAccount:{ALICE}")

    without = renewed(site, stolen)
    site.allow_signing()
    renewed_once = renewed(site, stolen)
    assert renewed_once is not None
    renewed_twice = renewed(site, renewed_once)

    assert without is None
    assert renewed_twice is not None
    assert site.google.whoami(renewed_twice)["service_account"] == ALICE
