"""The kinds of text that the configuration is made of, held to what Google documents and `env` can carry.

Each is a type for pydantic with a check that refuses in our words and the JSON Schema of what a user writes. Values
that become something else than text are in `refresher.config.values`; what spans several values is checked in
`refresher.config.references`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from refresher.config.problems import shown
from refresher.config.refusing import digits_or_text, refused

LONGEST_SUBJECT = 127
"""Bytes of `google.subject` (Google: workload identity federation, quotas)."""

RESERVED_CLAIMS = frozenset(["iss", "sub", "aud", "exp", "iat", "nbf", "jti"])
"""The claims of RFC 7519, section 4.1, which are the supplier's to set."""

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_ACCOUNT = r"[0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,31}"


def _check(pattern: str, expected: str, remedy: str) -> AfterValidator:
    matches = re.compile(pattern).fullmatch

    def check(text: str) -> str:
        if matches(text) is None:
            # a URL may carry a password before its @
            seen = "text with an @" if "://" in text and "@" in text else shown(text)
            raise refused(f"is {seen}, not {expected}", remedy)
        return text

    return AfterValidator(check)


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern})$"})


def _check_subject(text: str) -> str:
    size = len(text.encode())
    if not text:
        raise refused("is empty", "give the sub claim that the pool maps to google.subject")
    if not text.isprintable():
        raise refused("holds control characters", "delete them")
    if size > LONGEST_SUBJECT:
        problem = f"is {size} bytes long, where Google takes {LONGEST_SUBJECT}"
        raise refused(problem, "shorten it: bytes of UTF-8 count, not letters")
    return text


def _check_claim_name(name: str) -> str:
    if name in RESERVED_CLAIMS:
        raise refused("is a claim that the supplier sets itself", "delete it here")
    if not name.isprintable() or not name:
        raise refused("is not the name of a claim", "use printable characters")
    return name


def _check_place(text: str) -> str:
    if not re.fullmatch(_PLACE, text):
        problem = f"is {shown(text)}, not an absolute path of letters, digits and . _ / : @ -"
        raise refused(problem, "rename it: the readers of env share no quoting")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts or not parts:
        raise refused(f"is {shown(text)}, which is the root or goes through ..", "write the plain path")
    return "/" + "/".join(parts)


_NAME = "[a-z0-9](?:[-a-z0-9_.]{0,61}[a-z0-9])?"
is_name = re.compile(_NAME).fullmatch
"""Match a text that may name a target, an identity, a supplier or a provider."""

Name = Annotated[
    str, _check(_NAME, "a name", "use a-z and 0-9, inside also - _ ., at most 63 characters"), _schema(_NAME)
]

_NUMBER = "[1-9][0-9]{0,18}"
ProjectNumber = Annotated[
    str,
    BeforeValidator(digits_or_text),
    _check(
        _NUMBER,
        "a project number",
        "give the number, never the id: gcloud projects describe ID --format='value(projectNumber)'",
    ),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_NUMBER}$"}, {"type": "integer", "minimum": 1}]}),
]

_PROJECT = r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
ProjectId = Annotated[
    str,
    _check(_PROJECT, "a project id", "give the id, such as my-project, not its number or its name"),
    _schema(_PROJECT),
]

_POOL = r"(?!gcp-)[a-z0-9-]{4,32}"
PoolId = Annotated[
    str,
    _check(
        _POOL,
        "an id of 4 to 32 characters a-z 0-9 - that does not begin with gcp-",
        "give the last part of its name alone",
    ),
    _schema(_POOL),
]

_AUDIENCE = r"[!-~]{1,256}"
Audience = Annotated[
    str,
    _check(_AUDIENCE, "an audience of 1 to 256 visible characters", "copy it from where it is allowed"),
    _schema(_AUDIENCE),
]

_EMAIL = r"[a-z0-9](?:[-a-z0-9._]*[a-z0-9])?@[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\.[a-z]{2,}"
_EMAIL_REMEDY = "give the e-mail alone, in lower case: NAME@PROJECT.iam.gserviceaccount.com"
ServiceAccountEmail = Annotated[str, _check(_EMAIL, "a service account's e-mail", _EMAIL_REMEDY), _schema(_EMAIL)]
ServiceAccount = Annotated[
    str,
    _check(rf"{_EMAIL}|[0-9]{{10,30}}", "a service account's e-mail or unique id", _EMAIL_REMEDY),
    _schema(rf"{_EMAIL}|[0-9]{{10,30}}"),
]

Subject = Annotated[
    str,
    AfterValidator(_check_subject),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_SUBJECT}),
]

_SCOPE = r"https://[!-~]+|openid|email|profile"
Scope = Annotated[
    str, _check(_SCOPE, "a scope", "write it in full: https://www.googleapis.com/auth/cloud-platform"), _schema(_SCOPE)
]

_ISSUER = rf"https://{_HOST}(?::[0-9]{{1,5}})?(?:/[!-\"$->A-~]*)?"
Issuer = Annotated[
    str,
    _check(
        _ISSUER,
        "an https URL of a host, without query and fragment",
        "write https://HOST or https://HOST/PATH, exactly as the provider's issuer_uri",
    ),
    _schema(_ISSUER),
]

_ORIGIN = rf"https?://(?:{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?"
Origin = Annotated[
    str, _check(_ORIGIN, "an origin", "write SCHEME://HOST or SCHEME://HOST:PORT, without a path"), _schema(_ORIGIN)
]

_UNIVERSE = rf"{_LABEL}(?:\.{_LABEL})+"
UniverseDomain = Annotated[
    str, _check(_UNIVERSE, "a domain", "write it such as googleapis.com, without a scheme"), _schema(_UNIVERSE)
]

_OWNER = rf"(?:{_ACCOUNT})(?::(?:{_ACCOUNT}))?"
Owner = Annotated[
    str,
    BeforeValidator(digits_or_text),
    _check(_OWNER, "an owner", "write USER or USER:GROUP, names or numbers of the host"),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_OWNER}$"}, {"type": "integer", "minimum": 0}]}),
]

_PLACE = r"/[A-Za-z0-9._/:@-]+"
Place = Annotated[str, AfterValidator(_check_place), _schema(_PLACE)]

ClaimName = Annotated[str, AfterValidator(_check_claim_name)]
