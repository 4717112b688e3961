"""The kinds of text that the configuration is made of, held to what Google documents and `env` can carry.

Each is a type for pydantic with a check that refuses in our words and the JSON Schema of what a user writes. Values
that become something else than text are in `refresher.settings.values`; what spans several values is checked in
`refresher.config.references`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from refresher.limits import LONGEST_SUBJECT
from refresher.settings.parsing import Parsed, digits_or_text, refused, text_of
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable


RESERVED_CLAIMS = frozenset(["iss", "sub", "aud", "exp", "iat", "nbf", "jti"])
"""The claims of RFC 7519, section 4.1, which are the supplier's to set."""

RESERVED_PARAMETERS = frozenset(
    ["grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type"]
)
"""Parameters of a token request that the supplier sets itself (RFC 6749, sections 2.3.1 and 4.4; RFC 7523)."""

_PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
_ACCOUNT = r"[0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,31}"


def _text(pattern: str, expected: str, remedy: str) -> Parsed:
    return Parsed(_matching(pattern, expected, remedy, text_of), {"type": "string", "pattern": f"^(?:{pattern})$"})


def _text_or_digits(pattern: str, expected: str, remedy: str) -> Parsed:
    schema = {"anyOf": [{"type": "string", "pattern": f"^(?:{pattern})$"}, {"type": "integer", "minimum": 0}]}
    return Parsed(_matching(pattern, expected, remedy, digits_or_text), schema)


def _matching(pattern: str, expected: str, remedy: str, text_in: Callable[[object], str]) -> Callable[[object], str]:
    matches = re.compile(pattern).fullmatch

    def parse(value: object) -> str:
        text = text_in(value)
        if matches(text) is None:
            # a URL may carry a password before its @
            seen = "text with an @" if "://" in text and "@" in text else quote(text)
            raise refused(f"is {seen}, not {expected}", remedy)
        return text

    return parse


def _parse_subject(value: object) -> str:
    text = text_of(value)
    size = len(text.encode())
    if not text:
        raise refused("is empty", "give the sub claim that the pool maps to google.subject")
    if not text.isprintable():
        raise refused("holds control characters", "delete them")
    if size > LONGEST_SUBJECT:
        problem = f"is {size} bytes long, where Google takes {LONGEST_SUBJECT}"
        raise refused(problem, "shorten it: bytes of UTF-8 count, not letters")
    return text


def _parse_variable(value: object) -> str:
    # shown by no message: somebody may have written the secret itself
    if not isinstance(value, str) or re.fullmatch(_VARIABLE, value) is None:
        raise refused("is not the name of a variable", "name a variable; its value comes from the daemon's")
    return value


def _parse_claim_name(value: object) -> str:
    name = text_of(value)
    if name in RESERVED_CLAIMS:
        raise refused("is a claim that the supplier sets itself", "delete it here")
    if not name.isprintable() or not name:
        raise refused("is not the name of a claim", "use printable characters")
    return name


def _parse_place(value: object) -> str:
    text = text_of(value)
    if not text.startswith("/"):
        raise refused(f"is {quote(text)}, not an absolute path", "write the whole path, from / on")
    if not re.fullmatch(_PLACE, text):
        problem = f"is {quote(text)}, not a path of letters, digits and . _ / : @ -"
        raise refused(problem, "rename it: the readers of env share no quoting")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts or not parts:
        raise refused(f"is {quote(text)}, which is / itself or goes through ..", "write the plain path")
    return "/" + "/".join(parts)


def _parse_parameter(value: object) -> str:
    name = text_of(value)
    if name in RESERVED_PARAMETERS:
        raise refused("is a parameter that the supplier sets itself", "delete it here")
    if not re.fullmatch(_PARAMETER, name):
        raise refused(f"is {quote(name)}, not the name of a parameter", "use a-z, 0-9, - and _")
    return name


_PARAMETER = "[A-Za-z0-9_-]{1,64}"
_API_SERVER = (
    rf"(?:https://(?:{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])|http://(?:127\.0\.0\.1|localhost|\[::1\]))(?::{_PORT})?"
)
_TOKEN_URL = rf"(?:https://{_HOST}|http://(?:127\.0\.0\.1|localhost|\[::1\]))(?::{_PORT})?/[!-\"$-~]*"
_NAME = "[a-z0-9](?:[-a-z0-9_.]{0,61}[a-z0-9])?"
_NUMBER = "[1-9][0-9]{0,18}"
_PROJECT = r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
_POOL = r"(?!gcp-)[a-z0-9-]{4,32}"
_AUDIENCE = r"[!-~]{1,256}"
_EMAIL = r"[a-z0-9](?:[-a-z0-9._]*[a-z0-9])?@[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\.[a-z]{2,}"
_EMAIL_REMEDY = "give the e-mail alone, in lower case: NAME@PROJECT.iam.gserviceaccount.com"
_KEY_VERSION = (
    rf"projects/(?:{_PROJECT}|{_NUMBER})/locations/[a-z0-9-]{{1,63}}/keyRings/[A-Za-z0-9_-]{{1,63}}"
    r"/cryptoKeys/[A-Za-z0-9_-]{1,63}/cryptoKeyVersions/[1-9][0-9]{0,9}"
)
_SCOPE = r"https://[!-~]+|openid|email|profile"
_ISSUER = rf"https://{_HOST}(?::{_PORT})?(?:/[!-\"$->A-~]*)?"
_ORIGIN = rf"https?://(?:{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::{_PORT})?"
_UNIVERSE = rf"{_LABEL}(?:\.{_LABEL})+"
_OWNER = rf"(?:{_ACCOUNT})(?::(?:{_ACCOUNT}))?"
_PLACE = r"/[A-Za-z0-9._/:@-]*"

is_name = re.compile(_NAME).fullmatch
"""Match a text that may name a target, an identity, a supplier or a provider."""

Name = Annotated[str, _text(_NAME, "a name", "use a-z and 0-9, inside also - _ ., at most 63 characters")]
ProjectNumber = Annotated[
    str,
    _text_or_digits(
        _NUMBER,
        "a project number",
        "give the number, never the id: gcloud projects describe ID --format='value(projectNumber)'",
    ),
]
ProjectId = Annotated[
    str, _text(_PROJECT, "a project id", "give the id, such as my-project, not its number or its display name")
]
PoolId = Annotated[
    str,
    _text(
        _POOL,
        "an id of 4 to 32 characters a-z 0-9 - that does not begin with gcp-",
        "copy the id alone, which is the last part of the resource name",
    ),
]
Audience = Annotated[
    str, _text(_AUDIENCE, "an audience of 1 to 256 visible characters", "copy it from where it is allowed")
]
ServiceAccountEmail = Annotated[str, _text(_EMAIL, "a service account's e-mail", _EMAIL_REMEDY)]
ServiceAccount = Annotated[
    str, _text(rf"{_EMAIL}|[0-9]{{10,30}}", "a service account's e-mail or unique id", _EMAIL_REMEDY)
]
Subject = Annotated[str, Parsed(_parse_subject, {"type": "string", "minLength": 1, "maxLength": LONGEST_SUBJECT})]
Scope = Annotated[str, _text(_SCOPE, "a scope", "write it in full: https://www.googleapis.com/auth/cloud-platform")]
Issuer = Annotated[
    str,
    _text(
        _ISSUER,
        "an https URL of a host, without query and fragment",
        "write https://HOST or https://HOST/PATH, exactly as the provider's issuer_uri",
    ),
]
Origin = Annotated[str, _text(_ORIGIN, "an origin", "write SCHEME://HOST or SCHEME://HOST:PORT, without a path")]
UniverseDomain = Annotated[str, _text(_UNIVERSE, "a domain", "write it such as googleapis.com, without a scheme")]
Owner = Annotated[str, _text_or_digits(_OWNER, "an owner", "write USER or USER:GROUP, names or numbers of the host")]
Place = Annotated[str, Parsed(_parse_place, {"type": "string", "pattern": r"^/[A-Za-z0-9._/:@-]+$"})]
VariableName = Annotated[str, Parsed(_parse_variable, {"type": "string", "pattern": f"^{_VARIABLE}$"})]
ParameterName = Annotated[str, Parsed(_parse_parameter, {"type": "string", "pattern": f"^{_PARAMETER}$"})]
ClientText = Annotated[
    str, _text(r"[ -~]{1,1024}", "printable text of 1 to 1024 characters", "copy it from the issuer")
]
ApiServer = Annotated[
    str, _text(_API_SERVER, "an https origin", "write https://HOST or https://HOST:PORT, without a path")
]
TokenUrl = Annotated[
    str, _text(_TOKEN_URL, "an https URL with a path", "copy token_endpoint of the issuer's discovery document")
]
KeyVersionName = Annotated[
    str,
    _text(
        _KEY_VERSION,
        "the name of a key version in Cloud KMS",
        "write projects/ID/locations/PLACE/keyRings/RING/cryptoKeys/KEY/cryptoKeyVersions/NUMBER",
    ),
]
ClaimName = Annotated[str, Parsed(_parse_claim_name, {"type": "string", "minLength": 1})]
