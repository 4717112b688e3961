"""Subject tokens of an OpenID provider, obtained as a client of it: the `client_credentials` supplier (RFC 6749, 4.4).

The client proves itself by a secret (section 2.3.1) or by a JWT signed with its own key (RFC 7523, section 2.2). The
access token that it gets must be a JWT: an opaque one means nothing to Google's STS. The token endpoint is configured,
or read from the issuer's discovery document (OpenID Connect Discovery 1.0, section 4) and kept.
"""

import base64
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field

from refresher.errors import SupplyError
from refresher.files import VOLUME_REMEDY, explain_failure, is_volume, read_regular
from refresher.settings.fields import Choice, ClientText, Issuer, ParameterName, TokenUrl, VariableName
from refresher.settings.places import Problem
from refresher.settings.values import AbsolutePath
from refresher.suppliers.interface import FetchingSettings, Supplier, SupplierContext, Workshop, read_token
from refresher.tokens import SubjectToken, compose_jwt

_LARGEST_SECRET = 64 * 1024
_ASSERTION_SECONDS = 60
_Authentication = Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ClientCredentialsSettings(FetchingSettings):
    """JWT access tokens of an OpenID provider, obtained as a client of it (RFC 6749, section 4.4)."""

    kind: Annotated[Literal["client_credentials"], Choice()] = Field(
        description="Issued by an OpenID provider to a client."
    )
    issuer: Issuer = Field(
        description="The `iss` that its tokens carry; its discovery document contains the token endpoint."
    )
    token_url: TokenUrl | None = Field(
        default=None, description="The token endpoint. Default: discovered at the issuer, of the same origin."
    )
    client_id: ClientText = Field(description="The client, as the issuer knows it.")
    authentication: Annotated[_Authentication, Choice()] = Field(
        default="client_secret_basic",
        description="How the client proves who it is: by a secret, or by a key of its own (RFC 7523).",
    )
    secret_file: AbsolutePath | None = Field(
        default=None, description="File of the secret, or of the private key in PEM; other users may not read it."
    )
    secret_variable: VariableName | None = Field(
        default=None, description="Instead of a file: the daemon's variable that holds it."
    )
    key_id: ClientText | None = Field(
        default=None, description="`kid` of the client's key. Default: its RFC 7638 thumbprint."
    )
    parameters: Mapping[ParameterName, ClientText] = Field(
        default={}, description="Further parameters of the request, such as scope, audience or resource."
    )

    def check(self) -> Iterator[Problem]:
        given = self.node.keys() & {"secret_file", "secret_variable"}
        if len(given) != 1:
            remedy = "delete one of them" if given else "add one of them"
            yield self.problem("needs one of secret_file and secret_variable", remedy)

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...]:
        """Return the client: its token is the token of every identity."""
        return (self.kind, self.issuer, self.client_id)

    def build(self, workshop: Workshop) -> Supplier:
        return ClientCredentialsSupplier(self, workshop)


class ClientCredentialsSupplier:
    """Asks the token endpoint for each token; safe to use from several threads."""

    def __init__(self, settings: ClientCredentialsSettings, workshop: Workshop) -> None:
        self._settings = settings
        self._workshop = workshop
        self._transport = workshop.transport()
        self._token_url = settings.token_url

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Ask for a token; a `SupplyError` also shows that the secret can't be read, or that the token is not a JWT."""
        from refresher.google.call import Call

        settings = self._settings
        secret = self._read_secret()  # at each supply, since it may be replaced
        token_url = self._token_url or self._discover()
        headers, form, proof = self._authenticate(token_url, secret, now)
        call = Call(
            asked=f"the token of client {settings.client_id} of the issuer {settings.issuer}",
            url=token_url,
            headers=headers,
            form={"grant_type": "client_credentials", **settings.parameters, **form},
            secrets=(secret, proof),
            service="other",
            explain=lambda _status, _text: "check client_id, its secret, authentication and parameters at the issuer",
            verify="check token_url: and that this address really is the issuer (proxy, DNS)",
        )
        token = call.read_text(call.fetch_document(self._transport), "access_token")
        self._token_url = token_url
        problem = f"the access token of {settings.issuer} is not a JWT that Google could read"
        remedy = "make the issuer issue JWT access tokens to this client (often by an audience, below parameters:)"
        return read_token(token, problem, remedy, retryable=False)

    def _discover(self) -> str:
        """Return the token endpoint of the issuer's discovery document."""
        from refresher.google.openid import discover, is_secure

        issuer = self._settings.issuer
        found = discover(self._transport, issuer).get("token_endpoint")
        # the secret goes where the configuration points, not where a document points
        if not isinstance(found, str) or not is_secure(found) or urlsplit(found)[:2] != urlsplit(issuer)[:2]:
            problem = f"the discovery document of {issuer} has no https `token_endpoint` of the same origin"
            raise SupplyError(problem, "correct issuer:, or set token_url: to what the issuer confirms", retryable=True)
        return found

    def _authenticate(self, token_url: str, secret: str, now: datetime) -> tuple[dict[str, str], dict[str, str], str]:
        """Return headers and parameters that prove the client, and the secret part of them."""
        client_id = self._settings.client_id
        match self._settings.authentication:
            case "client_secret_basic":
                # RFC 6749, section 2.3.1: both are form-encoded first
                pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
                proof = base64.b64encode(pair.encode()).decode()
                return {"Authorization": f"Basic {proof}"}, {}, proof
            case "client_secret_post":
                return {}, {"client_id": client_id, "client_secret": secret}, ""
            case _:
                proof = self._sign_assertion(token_url, secret, now)
                form = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": proof}
                return {}, {"client_id": client_id, **form}, proof

    def _sign_assertion(self, token_url: str, pem: str, now: datetime) -> str:
        """Return the client's own JWT (RFC 7523, section 3)."""
        from refresher.keys.jose import PrivateKey, UnsupportedKeyError

        client_id = self._settings.client_id
        try:
            key = PrivateKey.from_pem(pem.encode())
        except UnsupportedKeyError as error:
            problem = f"the key of client {client_id} cannot be used: {error}"
            raise SupplyError(problem, "use EC P-256 or RSA in PKCS#8") from error
        issued_at = int(now.timestamp())
        header = {"alg": key.algorithm, "kid": self._settings.key_id or key.kid, "typ": "JWT"}
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": token_url,
            "iat": issued_at,
            "exp": issued_at + _ASSERTION_SECONDS,
            "jti": self._workshop.random(),
        }
        return compose_jwt(header, claims, key.sign)

    def _read_secret(self) -> str:
        if self._settings.secret_file is not None:
            return read_secret_file(self._settings.secret_file)
        secret = self._workshop.environment.get(self._settings.secret_variable or "")
        if not secret:
            # not shown: it may be the secret itself, written in the wrong place
            problem = "the daemon lacks the variable in secret_variable"
            raise SupplyError(problem, "set it to the client's secret where the daemon is started")
        return secret


def read_secret_file(path: Path) -> str:
    """Return the secret in a file; it is a `SupplyError` if that can't be read, or others can read or write it."""

    def check(status: os.stat_result) -> None:
        if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            remedy = VOLUME_REMEDY if is_volume(path) else f"chmod 0400 {path}"
            raise SupplyError(f"the secret file {path} can be read or written by others", remedy)

    try:
        text = read_regular(path, most=_LARGEST_SECRET, check=check)[0].decode().strip()
    except (OSError, ValueError) as error:
        problem = f"the secret file {path} {explain_failure(error)}"
        raise SupplyError(problem, "write the secret to a file of its own, for the daemon's user alone") from None
    if not text:
        raise SupplyError(f"the secret file {path} holds no text", "write the secret there, and nothing else")
    return text
