"""The kinds of text in the configuration, checked against what Google documents and `env` can carry.

Each is a type for pydantic with a check that refuses in our words, and the JSON Schema of what a user writes. Values
that become something other than text are in `refresher.settings.values`; what spans several values is checked by the
models and in `refresher.config.checks`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from refresher.limits import LONGEST_SUBJECT
from refresher.settings.fields import NodeField, refuse
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.settings.places import Value

RESERVED_CLAIMS = frozenset(["iss", "sub", "aud", "exp", "iat", "nbf", "jti"])
"""The claims of RFC 7519, section 4.1, which the supplier sets itself."""

RESERVED_PARAMETERS = frozenset(
    ["grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type"]
)
"""Parameters of a token request that the supplier sets itself (RFC 6749, sections 2.3.1 and 4.4; RFC 7523)."""

_PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
_ACCOUNT = r"(?:[0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,31})"


def text_field(pattern: str, expected: str, remedy: str, *, may_be_number: bool = False) -> NodeField:
    """Return the kind of text that matches a pattern as a whole."""
    schema: dict[str, object] = {"type": "string", "pattern": f"^(?:{pattern})$"}
    if may_be_number:
        schema = {"anyOf": [schema, {"type": "integer", "minimum": 0}]}
    matches: Callable[[str], object] | None = None

    def read(value: Value) -> str:
        nonlocal matches
        if matches is None:  # compiled when first used: a configuration uses few of the kinds
            matches = re.compile(pattern).fullmatch
        text = value.text
        if not matches(text):
            # a URL may carry a password before its @
            seen = "text with an @" if "://" in text and "@" in text else quote(text)
            raise refuse(f"is {seen}, not {expected}", remedy)
        return text

    return NodeField(read, schema)


def _read_subject(value: Value) -> str:
    size = len(value.text.encode())
    if not value.text:
        raise refuse("is empty", "write the claim sub that the pool maps to google.subject")
    if not value.text.isprintable():
        raise refuse("has control characters", "delete them")
    if size > LONGEST_SUBJECT:
        problem = f"is {size} bytes long, and Google takes at most {LONGEST_SUBJECT}"
        raise refuse(problem, "shorten it: Google counts bytes of UTF-8, not letters")
    return value.text


def _read_variable(value: Value) -> str:
    # no message shows it: a user may have written the secret itself
    if re.fullmatch(_VARIABLE, value.text) is None:
        raise refuse("is not the name of a variable", "write a name; the daemon's environment holds the value")
    return value.text


def _read_claim_name(value: Value) -> str:
    if value.text in RESERVED_CLAIMS:
        raise refuse("is a claim that the supplier sets itself", "delete it here")
    if not value.text.isprintable() or not value.text:
        raise refuse("is not the name of a claim", "use printable characters")
    return value.text


def _read_place(value: Value) -> str:
    text = value.text
    if not text.startswith("/"):
        raise refuse(f"is {quote(text)}, not an absolute path", "write the whole path, from / on")
    if not re.fullmatch(_PLACE, text):
        problem = f"is {quote(text)}, not a path of letters, digits and . _ / : @ -"
        raise refuse(problem, "rename it: the programs that read env quote in different ways")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts or not parts:
        raise refuse(f"is {quote(text)}, which is / itself or goes through ..", "write the plain path")
    return "/" + "/".join(parts)


def _read_parameter_name(value: Value) -> str:
    if value.text in RESERVED_PARAMETERS:
        raise refuse("is a parameter that the supplier sets itself", "delete it here")
    if not re.fullmatch(_PARAMETER, value.text):
        raise refuse(f"is {quote(value.text)}, not the name of a parameter", "use a-z, 0-9, - and _")
    return value.text


_PARAMETER = "[A-Za-z0-9_-]{1,64}"
_API_SERVER = (
    rf"(?:https://(?:{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])|http://(?:127\.0\.0\.1|localhost|\[::1\]))(?::{_PORT})?"
)
_TOKEN_URL = rf"(?:https://{_HOST}|http://(?:127\.0\.0\.1|localhost|\[::1\]))(?::{_PORT})?/[!-\"$-~]*"
NAME = "[a-z0-9](?:[-a-z0-9_.]{0,61}[a-z0-9])?"
_NUMBER = "[1-9][0-9]{0,18}"
_PROJECT = r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
_POOL = r"(?!gcp-)[a-z0-9-]{4,32}"
_AUDIENCE = r"[!-~]{1,256}"
_EMAIL = r"[a-z0-9](?:[-a-z0-9._]*[a-z0-9])?@[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\.[a-z]{2,}"
_EMAIL_REMEDY = "write the e-mail alone, in lower case: NAME@PROJECT.iam.gserviceaccount.com"
_KEY_VERSION = (
    rf"projects/(?:{_PROJECT}|{_NUMBER})/locations/[a-z0-9-]{{1,63}}/keyRings/[A-Za-z0-9_-]{{1,63}}"
    r"/cryptoKeys/[A-Za-z0-9_-]{1,63}/cryptoKeyVersions/[1-9][0-9]{0,9}"
)
_SCOPE = r"https://[!-~]+|openid|email|profile"
_ISSUER = rf"https://{_HOST}(?::{_PORT})?(?:/[!-\"$->A-~]*)?"
_ORIGIN = rf"https?://(?:{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::{_PORT})?"
_UNIVERSE = rf"{_LABEL}(?:\.{_LABEL})+"
_OWNER = rf"(?:{_ACCOUNT}(?::{_ACCOUNT})?|:{_ACCOUNT})"
_PLACE = r"/[A-Za-z0-9._/:@-]*"

NAME_REMEDY = "use a-z and 0-9, inside also - _ ., at most 63 characters"
is_name = re.compile(NAME).fullmatch
"""Match a text that may name a target, an identity, a supplier or a provider."""

Name = Annotated[str, text_field(NAME, "a name", NAME_REMEDY)]
ProjectNumber = Annotated[
    str,
    text_field(
        _NUMBER,
        "a project number",
        "write the number: gcloud projects describe ID --format='value(projectNumber)'",
        may_be_number=True,
    ),
]
ProjectId = Annotated[
    str, text_field(_PROJECT, "a project id", "write the id, such as my-project, not the number or the display name")
]
PoolId = Annotated[
    str,
    text_field(
        _POOL,
        "a valid id (4 to 32 of a-z, 0-9 and -; it must not start with gcp-)",
        "copy the id alone, which is the last part of the resource name",
    ),
]
Audience = Annotated[
    str, text_field(_AUDIENCE, "an audience of 1 to 256 visible characters", "copy it from the service that expects it")
]
ServiceAccountEmail = Annotated[str, text_field(_EMAIL, "a service account's e-mail", _EMAIL_REMEDY)]
ServiceAccount = Annotated[
    str, text_field(rf"{_EMAIL}|[0-9]{{10,30}}", "a service account's e-mail or unique id", _EMAIL_REMEDY)
]
Subject = Annotated[str, NodeField(_read_subject, {"type": "string", "minLength": 1, "maxLength": LONGEST_SUBJECT})]
Scope = Annotated[
    str, text_field(_SCOPE, "a scope", "write it in full: https://www.googleapis.com/auth/cloud-platform")
]
Issuer = Annotated[
    str,
    text_field(
        _ISSUER,
        "an https URL of a host, without query and fragment",
        "write https://HOST or https://HOST/PATH, exactly as the provider's issuer_uri",
    ),
]
Origin = Annotated[str, text_field(_ORIGIN, "an origin", "write SCHEME://HOST or SCHEME://HOST:PORT, without a path")]
UniverseDomain = Annotated[str, text_field(_UNIVERSE, "a domain", "write it such as googleapis.com, without a scheme")]
Owner = Annotated[
    str,
    text_field(
        _OWNER, "an owner", "write :GROUP, USER or USER:GROUP, names or numbers of the host", may_be_number=True
    ),
]
Place = Annotated[str, NodeField(_read_place, {"type": "string", "pattern": r"^/[A-Za-z0-9._/:@-]+$"})]
VariableName = Annotated[str, NodeField(_read_variable, {"type": "string", "pattern": f"^{_VARIABLE}$"})]
ParameterName = Annotated[str, NodeField(_read_parameter_name, {"type": "string", "pattern": f"^{_PARAMETER}$"})]
ClientText = Annotated[
    str, text_field(r"[ -~]{1,1024}", "printable text of 1 to 1024 characters", "copy it from the issuer")
]
ApiServer = Annotated[
    str, text_field(_API_SERVER, "an https origin", "write https://HOST or https://HOST:PORT, without a path")
]
TokenUrl = Annotated[
    str, text_field(_TOKEN_URL, "an https URL with a path", "copy token_endpoint of the issuer's discovery document")
]
KeyVersionName = Annotated[
    str,
    text_field(
        _KEY_VERSION,
        "the name of a key version in Cloud KMS",
        "write projects/ID/locations/PLACE/keyRings/RING/cryptoKeys/KEY/cryptoKeyVersions/NUMBER",
    ),
]
ClaimName = Annotated[str, NodeField(_read_claim_name, {"type": "string", "minLength": 1})]
