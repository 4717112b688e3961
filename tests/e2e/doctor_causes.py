"""Broken chains for `refresher doctor`: what breaks a healthy one, and the link and remedy that doctor must show."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tests.e2e.doctor_site import (
    ALICE,
    IMPERSONATE,
    POOL,
    STS,
    Site,
    age,
    authority,
    break_yaml,
    change,
    change_identity,
    configure,
    delegate,
    disable_service,
    drop_in,
    fault,
    generate,
    identity,
    impersonation_quota,
    kms_absent,
    kms_disabled,
    kms_without_role,
    metadata,
    provider,
    publish,
    publish_token_of_bob,
    quota,
    refresh_keys,
    remove_binding,
    replace_directory,
    replace_token_by_directory,
    sign_jwt,
    silence,
    supplier,
    wrong_key,
)
from tests.program import ISSUER, account_of


class Cause(NamedTuple):
    """What breaks the chain, and what doctor must show.

    Attributes:
        link: The first link that fails.
        remedy: A part of its remedy.
        status: The exit status.
    """

    break_chain: Callable[[Site], object]
    link: str
    remedy: str
    status: int


NOW = datetime.now(UTC)

CAUSES: dict[str, Cause] = {
    # configuration
    "broken-yaml": Cause(break_yaml, "configuration", "write a single value", 2),
    "unknown-key": Cause(lambda s: configure(s, directoryroot="/x"), "configuration", "directory_root", 2),
    "broken-drop-in": Cause(drop_in, "configuration", "correct the name", 2),
    "ca-file-absent": Cause(authority, "configuration", "google.ca_file", 2),
    # supplier
    "keys-absent": Cause(
        lambda s: (s.worker.place / "keys").rename(s.worker.place / "gone"), "supplier", "keys new", 3
    ),
    "keys-open": Cause(lambda s: (s.worker.place / "keys").chmod(0o755), "supplier", "chmod 0700", 3),
    "keys-damaged": Cause(
        lambda s: (s.worker.place / "keys" / "keys.json").write_text("{"), "supplier", "restore it from a backup", 3
    ),
    "source-absent": Cause(
        lambda s: supplier(s, kind="file", path="/nowhere/token"), "supplier", "make the file readable", 3
    ),
    "source-opaque": Cause(lambda s: s.supply_by_file("not a token"), "supplier", "write a JWT there", 3),
    "source-without-iat": Cause(lambda s: age(s, iat=None), "supplier", "write a JWT there", 3),
    "program-fails": Cause(lambda s: supplier(s, kind="command", argv=["/bin/false"]), "supplier", "by hand", 3),
    "program-absent": Cause(lambda s: supplier(s, kind="command", argv=["/nowhere/x"]), "supplier", "correct argv", 3),
    "metadata-silent": Cause(metadata, "supplier", "attach a service account", 3),
    "generate-refused": Cause(generate, "supplier", "roles/iam.serviceAccountOpenIdTokenCreator", 3),
    "sign-refused": Cause(sign_jwt, "supplier", "roles/iam.serviceAccountTokenCreator", 3),
    "kms-role": Cause(kms_without_role, "supplier", "roles/cloudkms.signerVerifier", 3),
    "kms-disabled": Cause(kms_disabled, "supplier", "gcloud kms keys versions enable", 3),
    "kms-absent": Cause(kms_absent, "supplier", "letter by letter", 3),
    # subject token
    "token-expired": Cause(
        lambda s: age(s, exp=int(NOW.timestamp()) - 120, iat=int(NOW.timestamp()) - 3720), "supplier", "renews", 3
    ),
    "token-future": Cause(lambda s: age(s, iat=int(NOW.timestamp()) + 1800), "subject token", "NTP", 5),
    "token-too-long": Cause(lambda s: age(s, exp=int(NOW.timestamp()) + 30 * 3600), "subject token", "24 hours", 0),
    "clock-behind": Cause(
        lambda s: s.google.clock.advance(timedelta(hours=1)), "subject token", "timedatectl set-ntp true", 5
    ),
    "clock-ahead": Cause(
        lambda s: s.google.clock.advance(timedelta(hours=-1)), "subject token", "timedatectl set-ntp true", 5
    ),
    "issuer-slash": Cause(lambda s: change(s, issuer=f"{ISSUER}/"), "subject token", "trailing slash", 5),
    "E7": Cause(fault(STS, refusal="E7"), "subject token", "NTP", 5),
    "E8": Cause(fault(STS, refusal="E8"), "subject token", "`iat`", 5),
    "E9": Cause(fault(STS, refusal="E9"), "subject token", "the JWT and nothing else", 5),
    # key
    "key-not-uploaded": Cause(refresh_keys, "key", "refresher keys jwks", 5),
    "key-wrong": Cause(wrong_key, "key", "refresher keys jwks", 5),
    "keys-withdrawn": Cause(lambda s: change(s, jwks={"keys": []}), "key", "upload the current keys", 5),
    "discovery-unreachable": Cause(lambda s: change(s, jwks=None), "key", "reachable from the internet", 5),
    "E19": Cause(fault(STS, refusal="E19"), "key", "discovery document", 5),
    # audience
    "audience-of-provider": Cause(
        lambda s: change(s, allowed_audiences=["https://other"]), "audience", "providers.main.audience", 5
    ),
    "audience-configured": Cause(
        lambda s: provider(s, audience="https://mine"), "audience", "providers.main.audience", 5
    ),
    # attribute condition
    "condition": Cause(
        lambda s: change(s, condition="assertion.sub == 'user-bob'"), "attribute condition", "/run/alice/token", 5
    ),
    "mapping-absent": Cause(
        lambda s: change(s, mapping={"google.subject": "assertion.worker"}), "attribute condition", "assertion.sub", 5
    ),
    "mapping-number": Cause(
        lambda s: change(s, mapping={"google.subject": "assertion.sub", "attribute.age": "assertion.iat"}),
        "attribute condition",
        "string(",
        5,
    ),
    "subject-long": Cause(
        lambda s: change(s, mapping={"google.subject": "assertion.aud + assertion.aud"}),
        "attribute condition",
        "extract()",
        5,
    ),
    # exchange
    "project-number": Cause(lambda s: provider(s, project_number="999999999999"), "exchange", "`providers.main`", 5),
    "pool-absent": Cause(lambda s: provider(s, pool="absent"), "exchange", "`providers.main`", 5),
    "pool-disabled": Cause(lambda s: setattr(s.google.state.pools[POOL], "disabled", True), "exchange", "enabled", 5),
    "pool-deleted": Cause(lambda s: setattr(s.google.state.pools[POOL], "deleted_at", 1.0), "exchange", "enabled", 5),
    "provider-absent": Cause(lambda s: provider(s, provider="absent"), "exchange", "`providers.main`", 5),
    "provider-disabled": Cause(lambda s: change(s, disabled=True), "exchange", "enabled", 5),
    "provider-deleted": Cause(lambda s: change(s, deleted_at=1.0), "exchange", "enabled", 5),
    "provider-of-aws": Cause(
        lambda s: change(s, kind="aws", settings={"accountId": "1"}),
        "exchange",
        "documentation of workload identity",
        5,
    ),
    "E1": Cause(fault(STS, refusal="E1"), "exchange", "cloud-platform", 5),
    "E2": Cause(fault(STS, refusal="E2"), "exchange", "project number", 5),
    "E16": Cause(fault(STS, refusal="E16"), "exchange", "OIDC provider", 5),
    "exchange-quota": Cause(quota, "exchange", "higher quota", 5),
    "exchange-500": Cause(fault(STS, refusal="E15"), "exchange", "wait", 5),
    "exchange-503": Cause(fault(STS, status=503), "exchange", "wait", 5),
    "exchange-perimeter": Cause(
        lambda s: s.google.state.projects["my-project"].perimeter.add("sts.googleapis.com"), "exchange", "ingress", 5
    ),
    "exchange-api-disabled": Cause(
        lambda s: disable_service(s, "sts.googleapis.com"), "exchange", "gcloud services enable sts.googleapis.com", 5
    ),
    "exchange-page": Cause(
        fault(STS, status=403, body="<!doctype html><title>Sign in to the network</title>"), "exchange", "proxy", 5
    ),
    "exchange-truncated": Cause(fault(STS, truncate=True), "exchange", "firewall", 5),
    "exchange-dropped": Cause(fault(STS, drop=True), "exchange", "reach", 5),
    "exchange-without-expiry": Cause(fault(STS, without=("expires_in",)), "exchange", "really is Google's", 5),
    "exchange-unreachable": Cause(lambda s: silence(s, "sts"), "exchange", "firewall", 5),
    # impersonation
    "binding-absent": Cause(remove_binding, "impersonation", "add-iam-policy-binding", 5),
    "delegate-refused": Cause(delegate, "impersonation", "each of the chain", 5),
    "account-absent": Cause(
        lambda s: identity(s, service_account=account_of("absent")),
        "impersonation",
        "roles/iam.workloadIdentityUser",
        5,
    ),
    "account-disabled": Cause(
        lambda s: setattr(s.google.state.service_accounts[ALICE], "disabled", True), "impersonation", "disabled", 5
    ),
    "account-deleted": Cause(
        lambda s: setattr(s.google.state.service_accounts[ALICE], "deleted_at", 1.0), "impersonation", "deleted", 5
    ),
    "lifetime": Cause(lambda s: identity(s, lifetime="2h"), "impersonation", "lifetime to 1h", 5),
    "scope-unknown": Cause(fault(IMPERSONATE, refusal="I6"), "impersonation", "scopes", 5),
    "I2": Cause(fault(IMPERSONATE, refusal="I2"), "impersonation", "roles/iam.workloadIdentityUser", 5),
    "I3": Cause(fault(IMPERSONATE, refusal="I3"), "impersonation", "cloud-platform", 5),
    "I5": Cause(fault(IMPERSONATE, refusal="I5"), "impersonation", "e-mail of a service account", 5),
    "I7": Cause(fault(IMPERSONATE, refusal="I7"), "impersonation", "55m", 5),
    "I8": Cause(fault(IMPERSONATE, refusal="I8"), "impersonation", "1h", 5),
    "I10": Cause(fault(IMPERSONATE, refusal="I10"), "impersonation", "enabled", 5),
    "I11": Cause(fault(IMPERSONATE, refusal="I11"), "impersonation", "service_account:", 5),
    "quota-project-without-role": Cause(
        lambda s: identity(s, quota_project="other-project"),
        "impersonation",
        "gcloud projects add-iam-policy-binding other-project",
        5,
    ),
    "quota-project": Cause(fault(IMPERSONATE, refusal="I12"), "impersonation", "serviceUsageConsumer", 5),
    "impersonation-api-disabled": Cause(
        lambda s: disable_service(s, "iamcredentials.googleapis.com"),
        "impersonation",
        "gcloud services enable iamcredentials.googleapis.com",
        5,
    ),
    "impersonation-perimeter": Cause(
        lambda s: s.google.state.projects["my-project"].perimeter.add("iamcredentials.googleapis.com"),
        "impersonation",
        "ingress",
        5,
    ),
    "impersonation-quota": Cause(impersonation_quota, "impersonation", "higher quota", 5),
    "impersonation-503": Cause(fault(IMPERSONATE, status=503), "impersonation", "wait", 5),
    "impersonation-unreachable": Cause(lambda s: silence(s, "iam_credentials"), "impersonation", "firewall", 5),
    # files
    "never-published": Cause(lambda s: shutil.rmtree(s.directory), "file", "refresher once", 6),
    "token-removed": Cause(lambda s: (s.directory / "token").unlink(), "file", "refresher once", 6),
    "token-emptied": Cause(lambda s: publish(s, "token", "systemctl reload refresher"), "file", "", 4),
    "token-garbage": Cause(lambda s: publish(s, "token", "xx"), "file", "systemctl start refresher", 4),
    "token-is-a-directory": Cause(replace_token_by_directory, "file", "alice/token; then start the daemon", 4),
    "token-of-another": Cause(publish_token_of_bob, "file", "systemctl start refresher", 4),
    "directory-is-a-link": Cause(replace_directory, "file", "the daemon creates it again", 4),
    "document-edited": Cause(lambda s: publish(s, "credentials.json", "{}"), "file", "systemctl start refresher", 4),
    "identity-changed": Cause(change_identity, "file", "refresher once", 4),
}
