"""How a field reads what was written, and how it refuses a value in our words, with a remedy; and the kinds of text.

A problem goes on from the path of the key (`targets.alice.mode` *is …*); `refresher.settings.model` adds path and
place. Texts are checked against what Google documents and `env` can carry. Values that become something other than
text are in `refresher.settings.values`; what spans several values is checked by the models and in
`refresher.config.checks`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args

from pydantic_core import PydanticCustomError, core_schema

from refresher.settings.places import Empty, List, Map, Node, OwnMark, Scalar, Value, describe, suggest
from refresher.text import quote

UNREADABLE: Final = object()
"""Stands for a required value that was refused already; every field takes it for None."""

_REMEDIES = {
    "text": "write a single value, as text",
    "true or false": "write true or false, without quotes",
    "a single value": "write text, an integer or a boolean",
    "a list": "write it as [ONE, TWO], or [] for none",
    "a list of texts": "write it as [ONE, TWO]",
    "a map": "write KEY: VALUE lines below it, or {} for none",
}
"""What to do about a value of the wrong shape, by what belongs there."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeField:
    """Annotation of a model's field: one function reads or refuses what was written.

    pydantic's own PlainValidator works out a schema of the annotated type too, at every start of every command.

    Attributes:
        reader: Takes a node, returns the field's value or raises what `refuse` returns.
        schema: JSON Schema of what a user writes.
        shape: The type of nodes that the reader takes; others are refused.
        wanted: What belongs there, in words that `explain_shape` knows.
    """

    reader: Callable[[Any], Any]
    schema: Mapping[str, Any]
    shape: type[Value | List] = Value
    wanted: str = "text"

    def read(self, node: object) -> Any:  # noqa: ANN401 - of any type of field
        """Read a node; code that builds a model may pass text, or what the field holds."""
        if isinstance(node, self.shape):
            return self.reader(node)
        if node is UNREADABLE:
            return None
        if isinstance(node, Scalar | Map | List):
            raise refuse(*explain_shape(node, self.wanted))
        return self.reader(Value(node, OwnMark(""), OwnMark(""))) if isinstance(node, str) else node

    def __get_pydantic_core_schema__(self, *_: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, *_: object) -> dict[str, Any]:
        return dict(self.schema)


class Choice:
    """Annotation of a `Literal` of texts: one of its words."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        field = choice_field(get_args(source))
        return core_schema.no_info_wrap_validator_function(lambda node, _: field.read(node), handler(source))


def choice_field(words: Collection[str]) -> NodeField:
    """Return the kind of text that is one of a few words."""

    def read(value: Value) -> str:
        if value.text not in words:
            raise refuse(f"is {quote(value.text)}", suggest(value.text, words))
        return value.text

    return NodeField(read, {})


def refuse(problem: str, remedy: str) -> PydanticCustomError:
    """Return the error that a field raises: a clause that goes on from the path of the key, and an imperative one."""
    return PydanticCustomError("refused", "{problem}", {"problem": problem, "remedy": remedy})


def explain_shape(node: Node, wanted: str) -> tuple[str, str]:
    """Return problem and remedy for a node of the wrong shape, as `refuse` takes them."""
    if isinstance(node, Empty):
        return "is empty", _REMEDIES[wanted] if wanted in {"a list", "a map"} else "write a value, or delete the key"
    return f"is {describe(node)}, where {wanted} belongs", _REMEDIES[wanted]


_RESERVED_CLAIMS = {"iss", "sub", "aud", "exp", "iat", "nbf", "jti"}
"""The claims of RFC 7519, section 4.1, which the supplier sets itself."""

_RESERVED_PARAMETERS = {"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type"}
"""Parameters of a token request that the supplier sets itself (RFC 6749, sections 2.3.1 and 4.4; RFC 7523)."""

_LONGEST_CLAIM = 1024
"""Bytes of a subject; Google takes fewer of what a provider maps it to (`refresher.limits`)."""
_PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
_PARAMETER = "[A-Za-z0-9_-]{1,64}"


def text_field(pattern: str, expected: str, remedy: str, *, may_be_number: bool = False) -> NodeField:
    """Return the kind of text that matches a pattern as a whole."""
    schema: dict[str, object] = {"type": "string", "pattern": f"^(?:{pattern})$"}
    if may_be_number:
        schema = {"anyOf": [schema, {"type": "integer", "minimum": 0}]}

    def read(value: Value) -> str:
        text = value.text
        if not re.fullmatch(pattern, text):  # compiled when first used: a configuration uses few of the kinds
            # a URL may carry a password before its @
            seen = "text with an @" if "://" in text and "@" in text else quote(text)
            raise refuse(f"is {seen}, not {expected}", remedy)
        return text

    return NodeField(read, schema)


def _read_subject(value: Value) -> str:
    if not value.text:
        raise refuse("is empty", "write the claim sub that the pool maps to google.subject")
    if not value.text.isprintable():
        raise refuse("has control characters", "delete them")
    if (size := len(value.text.encode())) > _LONGEST_CLAIM:
        raise refuse(f"is {size} bytes long, and no more than {_LONGEST_CLAIM} are read", "shorten it")
    return value.text


def _read_variable(value: Value) -> str:
    # no message shows it: a user may have written the secret itself
    if re.fullmatch(_VARIABLE, value.text) is None:
        raise refuse("is not the name of a variable", "write a name; the daemon's environment holds the value")
    return value.text


def _read_claim_name(value: Value) -> str:
    if value.text in _RESERVED_CLAIMS:
        raise refuse("is a claim that the supplier sets itself", "delete it here")
    if not value.text.isprintable() or not value.text:
        raise refuse("is not the name of a claim", "use printable characters")
    return value.text


def _read_place(value: Value) -> str:
    text = value.text
    if not text.startswith("/"):
        raise refuse(f"is {quote(text)}, not an absolute path", "write the whole path, from / on")
    if not re.fullmatch("[A-Za-z0-9._/:@-]*", text):
        problem = f"is {quote(text)}, not a path of letters, digits and . _ / : @ -"
        raise refuse(problem, "rename it: the programs that read env quote in different ways")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts or not parts:
        raise refuse(f"is {quote(text)}, which is / itself or goes through ..", "write the plain path")
    return "/" + "/".join(parts)


OWN_NAMESPACE = "own"
"""Stands for the daemon's own network namespace, which all containers of a pod share."""


def _read_namespace(value: Value) -> str:
    return value.text if value.text == OWN_NAMESPACE else _read_place(value)


def _read_parameter_name(value: Value) -> str:
    if value.text in _RESERVED_PARAMETERS:
        raise refuse("is a parameter that the supplier sets itself", "delete it here")
    if not re.fullmatch(_PARAMETER, value.text):
        raise refuse(f"is {quote(value.text)}, not the name of a parameter", "use a-z, 0-9, - and _")
    return value.text


NAME = "[a-z0-9](?:[-a-z0-9_.]{0,61}[a-z0-9])?"
NAME_REMEDY = "use a-z and 0-9, inside also - _ ., at most 63 characters"
is_name = re.compile(NAME).fullmatch
"""Match a text that may name a target, an identity, a supplier or a provider."""

Name = Annotated[str, text_field(NAME, "a name", NAME_REMEDY)]

_NUMBER = "[1-9][0-9]{0,18}"
_NUMBER_REMEDY = "write the number: gcloud projects describe ID --format='value(projectNumber)'"
ProjectNumber = Annotated[str, text_field(_NUMBER, "a project number", _NUMBER_REMEDY, may_be_number=True)]

_PROJECT = r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
_PROJECT_REMEDY = "write the id, such as my-project, not the number or the display name"
QUOTA_PROJECT = (
    "Id of the project that pays quota. Clients name it as the principal and as the service account: grant both "
    "roles/serviceusage.serviceUsageConsumer there; without a pool, the service account alone."
)
"""What the key `quota_project` means."""
ProjectId = Annotated[str, text_field(_PROJECT, "a project id", _PROJECT_REMEDY)]

_POOL = "a valid id (4 to 32 of a-z, 0-9 and -; it must not start with gcp-)"
_POOL_REMEDY = "copy the id alone, which is the last part of the resource name"
PoolId = Annotated[str, text_field(r"(?!gcp-)[a-z0-9-]{4,32}", _POOL, _POOL_REMEDY)]

_AUDIENCE = "an audience of 1 to 256 visible characters"
Audience = Annotated[str, text_field(r"[!-~]{1,256}", _AUDIENCE, "copy it from the service that expects it")]

_EMAIL = r"[a-z0-9](?:[-a-z0-9._]*[a-z0-9])?@[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\.[a-z]{2,}"
_ACCOUNT = "a service account's e-mail"
_ACCOUNT_REMEDY = "write the e-mail alone, in lower case: NAME@PROJECT.iam.gserviceaccount.com"
ServiceAccountEmail = Annotated[str, text_field(_EMAIL, _ACCOUNT, _ACCOUNT_REMEDY)]
ServiceAccount = Annotated[str, text_field(rf"{_EMAIL}|[0-9]{{10,30}}", f"{_ACCOUNT} or unique id", _ACCOUNT_REMEDY)]

Subject = Annotated[str, NodeField(_read_subject, {"type": "string", "minLength": 1, "maxLength": _LONGEST_CLAIM})]

_SCOPE_REMEDY = (
    "write it in full: https://www.googleapis.com/auth/cloud-platform; an audience belongs below artifacts.id_tokens"
)
Scope = Annotated[str, text_field(r"https://[!-~]+|openid|email|profile", "a scope", _SCOPE_REMEDY)]

_ISSUER = "an https URL of a host, without query and fragment"
_ISSUER_REMEDY = "write https://HOST or https://HOST/PATH, exactly as the provider's issuer_uri"
Issuer = Annotated[str, text_field(rf"https://{_HOST}(?::{_PORT})?(?:/[!-\"$->A-~]*)?", _ISSUER, _ISSUER_REMEDY)]

_ORIGIN = rf"https?://(?:{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::{_PORT})?"
Origin = Annotated[str, text_field(_ORIGIN, "an origin", "write SCHEME://HOST or SCHEME://HOST:PORT, without a path")]

_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})+"
UniverseDomain = Annotated[str, text_field(_DOMAIN, "a domain", "write it such as googleapis.com, without a scheme")]

_ID = r"(?:[0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,31})"
_OWNER_REMEDY = "write :GROUP, USER or USER:GROUP, names or numbers of the host"
Owner = Annotated[str, text_field(rf"(?:{_ID}(?::{_ID})?|:{_ID})", "an owner", _OWNER_REMEDY, may_be_number=True)]
_GROUP_REMEDY = "write the name or the number of a group of the host"
Group = Annotated[str, text_field(_ID, "a group", _GROUP_REMEDY, may_be_number=True)]

Place = Annotated[str, NodeField(_read_place, {"type": "string", "pattern": r"^/[A-Za-z0-9._/:@-]+$"})]
_NAMESPACE = {"type": "string", "pattern": rf"^(?:{OWN_NAMESPACE}|/[A-Za-z0-9._/:@-]+)$"}
Namespace = Annotated[str, NodeField(_read_namespace, _NAMESPACE)]
"""Absolute path of a network namespace, or `own` for the daemon's."""

ClaimName = Annotated[str, NodeField(_read_claim_name, {"type": "string", "minLength": 1})]
VariableName = Annotated[str, NodeField(_read_variable, {"type": "string", "pattern": f"^{_VARIABLE}$"})]
ParameterName = Annotated[str, NodeField(_read_parameter_name, {"type": "string", "pattern": f"^{_PARAMETER}$"})]

_CLIENT_TEXT = "printable text of 1 to 1024 characters"
ClientText = Annotated[str, text_field(r"[ -~]{1,1024}", _CLIENT_TEXT, "copy it from the issuer")]

_LOOPBACK = r"http://(?:127\.0\.0\.1|localhost|\[::1\])"
_SERVER = rf"(?:https://(?:{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])|{_LOOPBACK})(?::{_PORT})?"
_SERVER_REMEDY = "write https://HOST or https://HOST:PORT, without a path"
ApiServer = Annotated[str, text_field(_SERVER, "an https origin", _SERVER_REMEDY)]

_TOKEN_URL = rf"(?:https://{_HOST}|{_LOOPBACK})(?::{_PORT})?/[!-\"$-~]*"
_TOKEN_URL_REMEDY = "copy token_endpoint of the issuer's discovery document"  # noqa: S105 - a sentence
TokenUrl = Annotated[str, text_field(_TOKEN_URL, "an https URL with a path", _TOKEN_URL_REMEDY)]

_KEY_VERSION = (
    rf"projects/(?:{_PROJECT}|{_NUMBER})/locations/[a-z0-9-]{{1,63}}/keyRings/[A-Za-z0-9_-]{{1,63}}"
    r"/cryptoKeys/[A-Za-z0-9_-]{1,63}/cryptoKeyVersions/[1-9][0-9]{0,9}"
)
_KEY_VERSION_REMEDY = "write projects/ID/locations/PLACE/keyRings/RING/cryptoKeys/KEY/cryptoKeyVersions/NUMBER"
KeyVersionName = Annotated[str, text_field(_KEY_VERSION, "the name of a key version in Cloud KMS", _KEY_VERSION_REMEDY)]
