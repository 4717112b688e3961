from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.app.targets import build_targets
from refresher.config.loader import load
from refresher.tokens import ExpectedClaims

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.engine.plan import Target

TEXT = """
version: 1
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
suppliers: {{worker: {supplier}}}
identities: {{{identity}: {{service_account: alice@p-1.iam.gserviceaccount.com{more}}}}}
directory_root: {root}
targets: {{task: {{identity: {identity}}}}}
"""
NAME = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
AUDIENCES = frozenset({NAME, f"https:{NAME}"})
SUBJECT = ", subject: user-1"
SOURCE = ", source_service_account: source@p-1.iam.gserviceaccount.com"


def target_of(place: Path, supplier: str, more: str, identity: str = "alice") -> Target:
    """Return the only target of a configuration with this supplier and this identity."""
    path = place / "refresher.yaml"
    path.write_text(TEXT.format(supplier=supplier, more=more, identity=identity, root=place / "run"))
    path.chmod(0o600)
    return build_targets(load(path))["task"]


@pytest.mark.parametrize(
    ("supplier", "more", "expected"),
    [
        (
            "{kind: self_issued, issuer: https://w.invalid, keys: absent, lifetime: 30m, claims: {worker: w}}",
            SUBJECT,
            ExpectedClaims(
                issuer="https://w.invalid",
                subject="user-1",
                audiences=AUDIENCES,
                key_ids=None,
                maximum_lifetime=timedelta(minutes=30),
                constants={"worker": "w"},
            ),
        ),
        (
            "{kind: google_id_token, via: generate_id_token}",
            SUBJECT + SOURCE,
            ExpectedClaims(issuer="https://accounts.google.com", subject="user-1", audiences=AUDIENCES),
        ),
        ("{kind: google_access_token, accept_unsupported: true}", SUBJECT, ExpectedClaims(is_jwt=False)),
        ("{kind: file, path: token}", SUBJECT, ExpectedClaims(subject="user-1", audiences=AUDIENCES)),
        (
            "{kind: file, path: token, issuer: https://i.invalid}",
            SUBJECT,
            ExpectedClaims(issuer="https://i.invalid", subject="user-1", audiences=AUDIENCES),
        ),
    ],
    ids=["self_issued", "google_id_token", "google_access_token", "file", "file-issuer"],
)
def test_tokens_are_compared_with_the_configuration(
    tmp_path: Path, supplier: str, more: str, expected: ExpectedClaims
) -> None:
    """For each kind of supplier a target expects the claims that the configuration fixes, and no others."""
    assert target_of(tmp_path, supplier, more).expected == expected


def test_large_fleet_keeps_what_its_targets_have_in_common_once(tmp_path: Path) -> None:
    """Neither the bytes of static artifacts nor equal owners are kept for each target: they would be megabytes."""
    supplier = "{kind: self_issued, issuer: https://w.invalid, keys: absent, lifetime: 30m}"
    target_of(tmp_path, supplier, SUBJECT)
    path = tmp_path / "refresher.yaml"
    path.write_text(path.read_text().replace("{task: {", "{other: {identity: alice}, task: {"))
    other, task = build_targets(load(path)).values()

    assert other.static["env"] == task.static["env"].replace(b"/task/", b"/other/")
    assert task.static["env"] is not task.static["env"]
    for one, another in (
        (task.directory.ownership, other.directory.ownership),
        (task.directory.artifacts, other.directory.artifacts),
        (task.impersonation.scopes, other.impersonation.scopes),
    ):
        assert one is another


def test_record_says_whose_a_directory_is_where_no_subject_is_known(tmp_path: Path) -> None:
    """The fingerprint depends on the source and on the identity, but not on the source's time limit."""
    command = "{kind: command, argv: [/bin/mint], timeout: 5s}"
    record = target_of(tmp_path, command, "").record

    assert target_of(tmp_path, command.replace("5s", "9s"), "").record == record
    assert target_of(tmp_path, command.replace("mint", "print"), "").record != record
    assert target_of(tmp_path, command, "", "bob").record != record
    assert target_of(tmp_path, command, SUBJECT).record != record


def test_record_does_not_change_with_what_is_minted(tmp_path: Path) -> None:
    """Issuer, keys, lifetime and provider do not change the record: a typo in them withdraws nothing."""
    supplier = "{kind: self_issued, issuer: https://w.invalid, keys: absent, lifetime: 30m}"
    record = target_of(tmp_path, supplier, SUBJECT).record

    assert target_of(tmp_path, supplier.replace("30m", "40m"), SUBJECT).record == record
    assert target_of(tmp_path, supplier.replace("w.invalid", "x.invalid"), SUBJECT).record == record
    assert target_of(tmp_path, supplier, SUBJECT.replace("1", "2")).record != record
