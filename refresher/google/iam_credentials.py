"""iamcredentials.googleapis.com: access tokens and ID tokens of a service account, and its signature.

https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts. Called directly:
google-auth's own classes ignore the transport they are given and open a new connection for each token.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from refresher.catalogue.entries import find_remedy, recognise
from refresher.errors import RefresherError, SupplyError
from refresher.google.call import Call, Transport, is_retryable
from refresher.resources import Endpoints, Impersonation
from refresher.tokens import AccessToken

FEDERATED_ROLE = "roles/iam.workloadIdentityUser"
CREATOR_ROLE = "roles/iam.serviceAccountTokenCreator"
ID_TOKEN_ROLE = "roles/iam.serviceAccountOpenIdTokenCreator"  # noqa: S105 - the name of a role
"""The roles that allow a principal to act as a service account, if it is federated and otherwise; the first covers both
kinds of tokens, but not going on to a further account (`iam.serviceAccounts.implicitDelegation`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IamCredentials:
    """The API, asked as one caller.

    Each method raises an error of the class `error`: Google refused, and the remedy names the role that is missing; or
    it did not answer, or not as it should. A service account is named by e-mail or unique id, `delegates` are the
    e-mails of the chain from the caller to the account.

    Attributes:
        transport: Makes the calls.
        endpoints: Where the API is.
        access_token: The caller's.
        error: The class of failures.
        caller: Names the caller in problems; empty for the worker itself.
        explain: Returns the remedy of a refusal from its status and Google's words; None looks it up in
            `refresher.catalogue`.
    """

    transport: Transport
    endpoints: Endpoints
    access_token: str = field(repr=False)
    error: type[RefresherError] = SupplyError
    caller: str = ""
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
            document=body,
            explain=self.explain or partial(find_remedy, service_account=service_account),
        )


def _name_delegates(delegates: Sequence[str]) -> dict[str, list[str]]:
    return {"delegates": [f"projects/-/serviceAccounts/{email}" for email in delegates]} if delegates else {}


def explain_refusal(way: Impersonation, role: str, status: int, text: str) -> str:
    """Return the remedy of a refusal: which role the principal lacks, or each link of a chain of delegates."""
    entry = recognise(status, text)
    if entry is None or not entry.is_missing_role or is_retryable(status):
        return find_remedy(status, text, service_account=str(way.service_account))
    if not way.delegates:
        return way.describe_grant(role if way.is_own else FEDERATED_ROLE)
    accounts = (*way.delegates, str(way.service_account))
    links = zip((way.principal, *way.delegates), accounts, strict=True)
    return (
        f"grant each of the chain {CREATOR_ROLE} on the next (Google does not show which one lacks it): "
        + ", then ".join(f"{member} on {account}" for member, account in links)
    )
