"""Google resource names and endpoints as values: provider, universe, endpoints.

Names follow Google's documentation of workload identity federation
(https://docs.cloud.google.com/iam/docs/workload-identity-federation): a provider is addressed by project *number*, pool
and provider id; a principal by pool and subject, without the provider. Nothing here talks to Google.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from refresher.limits import LONGEST_SUBJECT

CLOUD_PLATFORM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
CREATOR_ROLE = "roles/iam.serviceAccountTokenCreator"
"""Allows a principal that is not federated to act as a service account, and to go on from there to another one."""
_MEMBER = re.compile(r"principal:[^'\s]+|serviceAccount:[^'\s@]+@[^'\s@]+")
VERIFY_REMEDY = "check that this address really is Google's API (proxy, DNS, google.endpoints)"
"""Where another server than Google's seems to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadIdentityProvider:
    """A workload identity pool provider; its pool's project is named by its number, digits, never by its id.

    `name` is its entry below `providers`, for remedies.
    """

    project_number: str
    pool: str
    provider: str
    name: str = field(default="NAME", compare=False)

    @property
    def resource_name(self) -> str:
        """The name without a host, `projects/…/providers/…`."""
        return f"{self._pool_name}/providers/{self.provider}"

    @property
    def sts_audience(self) -> str:
        """The `audience` that is sent to STS and written in the ADC document."""
        return f"//iam.googleapis.com/{self.resource_name}"

    @property
    def token_audience(self) -> str:
        """The `aud` that the provider accepts while it lists no allowed audiences of its own."""
        return f"https://iam.googleapis.com/{self.resource_name}"

    def principal(self, subject: str) -> str:
        """Return the IAM principal that one mapped subject of this pool becomes."""
        return f"principal://iam.googleapis.com/{self._pool_name}/subject/{subject}"

    @property
    def upload_command(self) -> str:
        """The command that replaces the provider's uploaded keys by those of `jwks.json`.

        gcloud takes no project number in --project, and the project's id is not known: so the whole name is written.
        """
        return (
            f"gcloud iam workload-identity-pools providers update-oidc {self.resource_name} --jwk-json-path=jwks.json"
        )

    @property
    def _pool_name(self) -> str:
        return f"projects/{self.project_number}/locations/global/workloadIdentityPools/{self.pool}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where Google's services are: origins (`scheme://host[:port]`) without a path."""

    universe_domain: str
    sts: str
    iam_credentials: str
    cloud_kms: str
    metadata: str

    @classmethod
    def of_universe(cls, universe_domain: str = "googleapis.com", **origins: str | None) -> Self:
        """Return the endpoints of a universe, each of which can be replaced by another origin."""
        usual = {
            "sts": f"https://sts.{universe_domain}",
            "iam_credentials": f"https://iamcredentials.{universe_domain}",
            "cloud_kms": f"https://cloudkms.{universe_domain}",
            "metadata": "http://metadata.google.internal",
        }
        replaced = {name: origin for name, origin in origins.items() if origin is not None}
        return cls(universe_domain=universe_domain, **usual | replaced)

    @property
    def token_url(self) -> str:
        """Where a subject token is exchanged (RFC 8693 token endpoint)."""
        return f"{self.sts}/v1/token"

    @property
    def token_info_url(self) -> str:
        """Where gcloud asks about a federated token when there is no service account."""
        return f"{self.sts}/v1/introspect"

    def api_origin(self, service: str) -> str:
        """Return the origin of another Google API; an emulator serves all of them where it serves IAM Credentials."""
        host = urlsplit(self.iam_credentials).hostname or ""
        return (
            f"https://{service}.{self.universe_domain}" if host.endswith(self.universe_domain) else self.iam_credentials
        )

    def impersonation_url(self, service_account: str, method: str = "generateAccessToken") -> str:
        """Return the IAM Credentials URL of a method on a service account, given by e-mail or unique id."""
        return f"{self.iam_credentials}/v1/projects/-/serviceAccounts/{service_account}:{method}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """The way from a subject token to a service account, as far as it is the same for all that is minted.

    Attributes:
        provider: The provider of the pool; None without a pool: then the worker's own credentials impersonate.
        subject: The claim `sub`, which the provider maps as it is, if it isn't too long; None where only the supplier
            knows it.
        subject_token_type: A URN of RFC 8693, section 3.
        service_account: The target principal, by e-mail or unique id; None for the federated principal itself.
        delegates: E-mails of the chain, caller side first.
        lifetime: The life of access tokens, which have the `scopes`; None leaves it to Google (an hour).
        credentials: The file that holds the worker's own credentials; None for the metadata server.
        quota_project: Id of the project that clients name as the one that pays, if they do.
        worker: The member that the worker's own credentials are, for remedies; None if that is unknown.
        token_path: A file that holds the subject token, for remedies; None if it is unknown.
        jwks_command: What prints the keys to upload to the provider, for remedies; None if that is unknown.
    """

    provider: WorkloadIdentityProvider | None
    subject: str | None
    subject_token_type: str
    service_account: str | None
    delegates: tuple[str, ...]
    scopes: tuple[str, ...]
    lifetime: timedelta | None
    credentials: Path | None = None
    quota_project: str | None = None
    worker: str | None = field(default=None, compare=False)
    token_path: str | None = field(default=None, compare=False)
    jwks_command: str | None = field(default=None, compare=False)

    @property
    def is_own(self) -> bool:
        """Whether the worker's own credentials impersonate, instead of a federated token."""
        return self.provider is None

    @property
    def facts(self) -> dict[str, str]:
        """What a remedy can name: the provider's entry and resource name, the caller, the token's file, the upload."""
        found = {"caller": self.principal}
        if self.provider is not None:
            found |= {"provider": self.provider.name, "resource": self.provider.resource_name}
            found["upload"] = self.provider.upload_command
        more = {"file": self.token_path, "jwks": self.jwks_command}
        return found | {name: text for name, text in more.items() if text is not None}

    @property
    def principal(self) -> str:
        """The principal that needs the roles, for messages."""
        if self.provider is None:
            return self.worker or own_principal(self.credentials)
        if self.subject is None or not is_mappable(self.subject):
            return "the federated principal"
        return self.provider.principal(self.subject)

    def for_subject(self, subject: str | None) -> Self:
        """Return the same way for a token's own subject, unless the configuration has one: remedies can name it."""
        return self if self.subject is not None or subject is None else replace(self, subject=subject)

    def describe_grant(self, role: str) -> str:
        """Return what grants a role on the service account to the principal: with the command, where both are known."""
        sentence = f"grant {self.principal} {role} on {self.service_account}"
        account = self.service_account or ""
        if not is_member(self.principal) or find_project(account) is None:
            return sentence
        return f"{sentence}: {compose_grant_command(account, role, self.principal)}"


def is_member(text: str) -> bool:
    """Return whether a text can stand in a command as the member of a binding, and is not only a description."""
    return _MEMBER.fullmatch(text) is not None


def find_project(service_account: str) -> str | None:
    """Return the id of the project that a service account's e-mail names; None if it names none."""
    found = re.fullmatch(r"[^@]+@([a-z0-9-]+)(?:\.([a-z0-9.-]+))?\.iam\.gserviceaccount\.com", service_account)
    if found is None:
        return None
    return f"{found[2]}:{found[1]}" if found[2] else found[1]


def compose_grant_command(service_account: str, role: str, member: str) -> str:
    """Return the command that grants a member a role on a service account; a shell may expand `$NAME` in the member."""
    project = find_project(service_account)
    quoted = f'"{member}"' if "$" in member else f"'{member}'"
    return (
        f"gcloud iam service-accounts add-iam-policy-binding {service_account}"
        f"{f' --project={project}' if project else ''} --role={role} --member={quoted}"
    )


def is_mappable(subject: str) -> bool:
    """Return whether Google takes a subject as it is; the provider must map a longer one to a part of it."""
    return len(subject.encode()) <= LONGEST_SUBJECT


def own_principal(credentials: Path | None) -> str:
    """Return the principal of the worker's own credentials, for messages: of a file, or of the metadata server."""
    return "the machine's service account" if credentials is None else f"the principal of {credentials}"


def account_keys_url(service_account: str) -> str:
    """Return the URL at which Google publishes the keys of a service account, as a JWKS; it rotates them."""
    return f"https://www.googleapis.com/service_accounts/v1/metadata/jwk/{service_account}"
