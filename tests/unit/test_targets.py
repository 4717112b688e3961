from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.app.targets import targets_of
from refresher.config.loading import load
from refresher.tokens import ExpectedClaims

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
version: 1
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
suppliers: {{worker: {supplier}}}
identities: {{alice: {{service_account: alice@p-1.iam.gserviceaccount.com, subject: user-1{more}}}}}
directory_root: {root}
targets: {{alice: {{}}}}
"""
NAME = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
AUDIENCES = frozenset({NAME, f"https:{NAME}"})
SOURCE = ", source_service_account: source@p-1.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("supplier", "more", "expected"),
    [
        (
            "{kind: self_issued, issuer: https://w.invalid, keys: absent, lifetime: 30m}",
            "",
            ExpectedClaims(
                issuer="https://w.invalid",
                subject="user-1",
                audiences=AUDIENCES,
                key_ids=None,
                maximum_lifetime=timedelta(minutes=30),
            ),
        ),
        (
            "{kind: google_id_token, via: generate_id_token}",
            SOURCE,
            ExpectedClaims(issuer="https://accounts.google.com", subject="user-1", audiences=AUDIENCES),
        ),
        ("{kind: google_access_token, accept_unsupported: true}", "", ExpectedClaims(is_jwt=False)),
        ("{kind: file, path: token}", "", ExpectedClaims(subject="user-1", audiences=AUDIENCES)),
        (
            "{kind: file, path: token, issuer: https://i.invalid}",
            "",
            ExpectedClaims(issuer="https://i.invalid", subject="user-1", audiences=AUDIENCES),
        ),
    ],
    ids=["self_issued", "google_id_token", "google_access_token", "file", "file-issuer"],
)
def test_tokens_are_held_to_what_is_configured(
    tmp_path: Path, supplier: str, more: str, expected: ExpectedClaims
) -> None:
    """Of each kind of supplier a target expects the claims that the configuration fixes, and no others."""
    path = tmp_path / "refresher.yaml"
    path.write_text(TEXT.format(supplier=supplier, more=more, root=tmp_path / "run"))
    path.chmod(0o600)

    assert targets_of(load(path))["alice"].expected == expected
