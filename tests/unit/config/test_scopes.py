"""Scopes that Google could grant, and what a user may have meant by any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.config.conftest import Workspace

RIGHT = "subject: user-1042"


@pytest.mark.parametrize(
    "scope",
    [
        "https://svc-abc123-ew.a.run.app",
        "https://europe-west1-my-project.cloudfunctions.net/task",
        "https://example.com/auth/cloud-platform",
        "https://google.com.evil.example/auth",
        "https://notgoogle.com/auth",
        "123456-abc.apps.googleusercontent.com",
        "cloud-platform",
        "devstorage.read_write",
        "http://www.googleapis.com/auth/cloud-platform",
    ],
)
def test_what_is_not_a_scope_is_refused_and_id_tokens_are_named(workspace: Workspace, scope: str) -> None:
    """The URL of a service, an IAP client id and a short name are refused; the remedy names the two ways out."""
    workspace.write(workspace.valid.replace(RIGHT, f"{RIGHT}, scopes: ['{scope}']"))

    (problem,) = workspace.problems()

    assert f'identities.alice.scopes[0] is "{scope}", not a scope of Google' in problem
    assert "https://www.googleapis.com/auth/cloud-platform" in problem
    assert "id_tokens" in problem


@pytest.mark.parametrize(
    "scope",
    [
        "https://www.googleapis.com/auth/devstorage.read_only",
        "https://www.googleapis.com/auth/userinfo.email",
        "https://mail.google.com/",
        "https://www.google.com/calendar/feeds",
        "openid",
        "email",
        "profile",
    ],
)
def test_scopes_of_google_are_accepted(workspace: Workspace, scope: str) -> None:
    """Scopes of every host of Google's, and those of OpenID Connect, are accepted."""
    workspace.write(workspace.valid.replace(RIGHT, f"{RIGHT}, scopes: ['{scope}']"))

    assert workspace.load().configuration.identities["alice"].scopes == (scope,)
