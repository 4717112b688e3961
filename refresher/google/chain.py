"""The whole chain from a subject token to what a service account may have: exchange at STS, then impersonate.

The second step is asked of iamcredentials.googleapis.com
(https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts), directly: google-auth's
own classes ignore the transport they are given and open a new connection for each token. Which targets share an
exchange is decided in `refresher.engine.minter`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from refresher.catalogue.entries import find_exchange_remedy, find_remedy, recognise
from refresher.errors import ExchangeError, ImpersonationError, RefresherError, SupplyError
from refresher.google.call import Call, Transport, is_retryable
from refresher.resources import (
    CLOUD_PLATFORM_SCOPE,
    CREATOR_ROLE,
    Endpoints,
    Impersonation,
    WorkloadIdentityProvider,
    compose_grant_command,
    is_member,
)
from refresher.tokens import ACCESS_TOKEN_TYPE, AccessToken

_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
FEDERATED_ROLE = "roles/iam.workloadIdentityUser"
_ID_TOKEN_ROLE = "roles/iam.serviceAccountOpenIdTokenCreator"  # noqa: S105 - the name of a role
"""The roles that allow a principal to act as a service account, if it is federated and otherwise; the first covers both
kinds of tokens, but not going on to a further account (`iam.serviceAccounts.implicitDelegation`)."""

QUOTA_PROJECT = "I12"
"""The entry of the catalogue for a quota project that a caller may not use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IamCredentials:
    """The API, asked as one caller.

    Each method raises an error of the class `error`: Google refused, and the remedy names the role that is missing; or
    it did not answer, or not as it should. A service account is named by e-mail or unique id, `delegates` are the
    e-mails of the chain from the caller to the account.

    Attributes:
        access_token: The caller's.
        caller: Names the caller in problems; empty for the worker itself.
        quota_project: Id of the project that is to pay, which the caller must be allowed to use; None names none.
        explain: As in a `Call`.
    """

    transport: Transport
    endpoints: Endpoints
    access_token: str = field(repr=False)
    error: type[RefresherError] = SupplyError
    caller: str = ""
    quota_project: str | None = None
    explain: Callable[[int, str], str] | None = None

    def generate_access_token(
        self, service_account: str, *, scopes: Sequence[str], lifetime: timedelta | None, delegates: Sequence[str]
    ) -> AccessToken:
        """Return an access token of a service account, with at least one scope.

        It lives for at most an hour, or twelve by organization policy; without a `lifetime` for an hour.
        """
        body: dict[str, Any] = {"scope": list(scopes), **_name_delegates(delegates)}
        if lifetime is not None:
            body["lifetime"] = f"{int(lifetime.total_seconds())}s"
        call = self._prepare("generateAccessToken", service_account, body)
        answer = call.fetch_document(self.transport)
        try:
            expires_at = datetime.fromisoformat(str(answer.get("expireTime"))).astimezone(UTC)
        except (ValueError, OverflowError):
            raise call.reject("has no `expireTime`") from None
        return AccessToken(value=call.read_text(answer, "accessToken"), expires_at=expires_at)

    def generate_id_token(
        self, service_account: str, audience: str, *, include_email: bool = False, delegates: Sequence[str] = ()
    ) -> str:
        """Return an ID token of a service account, a JWT that lives an hour, with the account's e-mail if wanted."""
        body = {"audience": audience, "includeEmail": include_email, **_name_delegates(delegates)}
        call = self._prepare("generateIdToken", service_account, body)
        return call.read_text(call.fetch_document(self.transport), "token")

    def sign_jwt(self, service_account: str, claims: Mapping[str, Any]) -> str:
        """Return a JWT of these claims, signed by Google with a key of the service account (RS256).

        Google adds nothing and accepts no `exp` more than 12 hours ahead.
        """
        call = self._prepare("signJwt", service_account, {"payload": json.dumps(dict(claims))})
        return call.read_text(call.fetch_document(self.transport), "signedJwt")

    def _prepare(self, method: str, service_account: str, body: Mapping[str, Any]) -> Call:
        return Call(
            asked=f"{method} of {service_account}" + (f" (asked as {self.caller})" if self.caller else ""),
            url=self.endpoints.impersonation_url(service_account, method),
            error=self.error,
            bearer=self.access_token,
            headers={} if self.quota_project is None else {"x-goog-user-project": self.quota_project},
            document=body,
            explain=self.explain
            or partial(find_remedy, service_account=service_account, caller=self.caller or "the worker's own account"),
        )


def _name_delegates(delegates: Sequence[str]) -> dict[str, list[str]]:
    return {"delegates": [f"projects/-/serviceAccounts/{email}" for email in delegates]} if delegates else {}


def explain_refusal(way: Impersonation, role: str, status: int, text: str) -> str:
    """Return the remedy of a refusal: which role the principal lacks, or each link of a chain of delegates.

    Every member that lacks a role has its own command, where it is known. Without a pool only the service account names
    the quota project.
    """
    entry = recognise(status, text)
    if entry is not None and entry.name == QUOTA_PROJECT and way.is_own and way.service_account is not None:
        return find_remedy(status, text, caller=f"serviceAccount:{way.service_account}")
    if entry is None or not entry.is_missing_role or is_retryable(status):
        named = {"caller": way.principal} | ({} if way.provider is None else {"provider": way.provider.name})
        if way.service_account is not None:
            named |= {"service_account": way.service_account, "quota_account": way.service_account}
        return find_remedy(status, text, **named)
    if not way.delegates:
        return way.describe_grant(role if way.is_own else FEDERATED_ROLE)
    accounts = (*way.delegates, str(way.service_account))
    members = (way.principal, *(f"serviceAccount:{email}" for email in way.delegates))
    links = list(zip(members, accounts, strict=True))
    commands = [compose_grant_command(account, CREATOR_ROLE, each) for each, account in links if is_member(each)]
    return (
        f"grant each of the chain {CREATOR_ROLE} on the next (Google does not show which one lacks it): "
        + ", then ".join(f"{member} on {account}" for member, account in links)
        + "".join(f"; {command}" for command in commands)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleChain:
    """Makes the calls of a chain; safe to use from several threads.

    Attributes:
        transport: Returns what makes them; asked at the first one.
        own: Returns an access token of the worker's own, of a credentials file or (None) of the metadata server.
        names_quota_project: Whether the quota project is named as clients name it, who need a role there.
        worker: Returns the member that the worker's own credentials are, of a file or (None) of the metadata server,
            for remedies; None if that is unknown.
    """

    transport: Callable[[], Transport]
    endpoints: Endpoints
    own: Callable[[Path | None, datetime], AccessToken]
    names_quota_project: bool = False
    worker: Callable[[Path | None], str | None] | None = None

    def exchange(self, way: Impersonation, subject_token: str, now: datetime) -> AccessToken:
        """Return what the service account is asked with.

        That is a federated token for the subject token, with the scopes that the federated principal itself needs; or,
        for an identity that impersonates as the worker, an access token of the worker's own, and STS is not asked.
        It is an `ExchangeError` if STS refused or did not answer, a `SupplyError` if the worker has no token.
        """
        if way.provider is None:
            return self.own(way.credentials, now)
        return exchange(
            self.transport(),
            self.endpoints,
            provider=way.provider,
            subject_token=subject_token,
            subject_token_type=way.subject_token_type,
            scopes=way.scopes if way.service_account is None else (CLOUD_PLATFORM_SCOPE,),
            now=now,
            facts=way.facts,
        )

    def access_token(self, way: Impersonation, federated: AccessToken) -> AccessToken:
        """Return an access token of the service account (without one, the federated token itself).

        It is an `ImpersonationError` if IAM Credentials refused or did not answer.
        """
        if way.service_account is None:
            return federated
        return self._open(way, federated, CREATOR_ROLE).generate_access_token(
            way.service_account, scopes=way.scopes, lifetime=way.lifetime, delegates=way.delegates
        )

    def id_token(self, way: Impersonation, audience: str, federated: AccessToken, *, include_email: bool) -> str:
        """Return an ID token of the service account, a JWT; without an account it is an `ImpersonationError` too."""
        if way.service_account is None:
            raise ImpersonationError(
                "an ID token needs a service account, and the identity has none", "add service_account: to the identity"
            )
        return self._open(way, federated, _ID_TOKEN_ROLE).generate_id_token(
            way.service_account, audience, include_email=include_email, delegates=way.delegates
        )

    def use_quota_project(self, way: Impersonation, granted: AccessToken) -> None:
        """Check whether who calls Google's APIs with a token may name the quota project; the token is of `way`.

        STS does not look at that project, and an account names it in the client's own calls alone. So a call is sent
        that needs no other role. It is an `ImpersonationError` if the answer is no, with the
        entry `QUOTA_PROJECT` of the catalogue, or if it is not known, with another one.
        """
        if way.quota_project is None:
            return
        service, resource, permission = (
            "cloudresourcemanager",
            f"projects/{way.quota_project}",
            "serviceusage.services.use",
        )
        if way.service_account is not None:
            service, resource = "iam", f"projects/-/serviceAccounts/{way.service_account}"
            permission = "iam.serviceAccounts.get"
        call = Call(
            asked=f"testIamPermissions with quota project {way.quota_project} "
            f"(asked as {way.service_account or way.principal})",
            url=f"{self.endpoints.api_origin(service)}/v1/{resource}:testIamPermissions",
            error=ImpersonationError,
            bearer=granted.value,
            headers={"x-goog-user-project": way.quota_project},
            document={"permissions": [permission]},
            explain=partial(explain_refusal, way, FEDERATED_ROLE),
        )
        call.fetch(self.transport())

    def prove_quota_project(self, way: Impersonation, granted: AccessToken) -> None:
        """Raise an `ImpersonationError` if the quota project is refused; what is not known counts as fine."""
        try:
            self.use_quota_project(way, granted)
        except ImpersonationError as error:
            if error.entry == QUOTA_PROJECT:
                raise

    def _open(self, way: Impersonation, federated: AccessToken, role: str) -> IamCredentials:
        return IamCredentials(
            transport=self.transport(),
            endpoints=self.endpoints,
            access_token=federated.value,
            error=ImpersonationError,
            caller=way.principal,
            quota_project=way.quota_project if self.names_quota_project and not way.is_own else None,
            explain=partial(self._explain, way, role),
        )

    def _explain(self, way: Impersonation, role: str, status: int, text: str) -> str:
        """Return the remedy of a refusal; the worker's own account is looked up only now, since it costs a call."""
        if way.is_own and self.worker is not None:
            way = replace(way, worker=self.worker(way.credentials))
        return explain_refusal(way, role, status, text)


def exchange(
    transport: Transport,
    endpoints: Endpoints,
    *,
    provider: WorkloadIdentityProvider,
    subject_token: str,
    subject_token_type: str,
    scopes: Sequence[str],
    now: datetime,
    facts: Mapping[str, str] | None = None,
) -> AccessToken:
    """Exchange a subject token for a federated access token (RFC 8693, section 2).

    https://docs.cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token. For what the product itself needs of an
    exchange; the proof that a client's own way works is in `refresher.google.google_auth`.

    The token's type is a URN of RFC 8693, section 3; the federated token needs at least one scope; the answer's
    `expires_in` counts from `now`, the wall clock's time, UTC; `facts` are those of `find_remedy`. It is an
    `ExchangeError` if STS refused, and the remedy names what to fix; or if it did not answer, or not as it should.
    """
    known = {
        "provider": provider.name,
        "resource": provider.resource_name,
        "upload": provider.upload_command,
        "now": now.isoformat(),
        **(facts or {}),
    }
    call = Call(
        asked=f"the exchange with {endpoints.sts} at {provider.resource_name}",
        url=endpoints.token_url,
        error=ExchangeError,
        form={
            "grant_type": _GRANT_TYPE,
            "audience": provider.sts_audience,
            "scope": " ".join(scopes),
            "requested_token_type": ACCESS_TOKEN_TYPE,
            "subject_token": subject_token,
            "subject_token_type": subject_token_type,
        },
        secrets=(subject_token,),
        sent_at=now,
        explain=lambda status, text: find_exchange_remedy(subject_token_type, status, text, **known),
    )
    return call.read_access_token(call.fetch_document(transport), now)
