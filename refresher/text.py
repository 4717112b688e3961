"""Text from outside on its way to a person: on one line, without control characters, of bounded length, no secret."""

import json
import re

_LONGEST_QUOTED = 64
_LONGEST_REDACTED = 500
_SHORTEST_BLANKED = 7
"""A shorter secret is part of ordinary words, and blanking it there would show it."""

_SECRETS = r"""(?ax)
    eyJ[\w-]*(\.[\w-]*)*            # a JWT, whole or cut off
    | ya29\.[\w.-]+                 # Google's access tokens
    | 1//[\w-]+                     # Google's refresh tokens
    | (?=[\w+/=-]*\d)[\w+/=-]{64,}  # anything else that is long, without a break, and holds a digit
    """
_NETTED = r"""(?aisx)
    (?P<name>                       # a parameter or a field of a token call, a header
        (?:\b(?:client_|)(?:assertion|secret)|_token|\bpassword|\bprivate_key)["']?\s*[=:]\s*["']?
        | \bBearer[ ]
    )
    (?!-----)[^\s"'&,;}]{8,}
    | eyJ[\w-]{8,}(?:\.[\w-]*)*     # a JWT, whole or cut off
    | \bya29\.[\w.-]+               # Google's access tokens
    | \b1//[\w-]{10,}               # Google's refresh tokens
    | -----BEGIN[ ][A-Z0-9 ]*PRIVATE[ ]KEY.*?(?:-----END[ ][A-Z0-9 ]*-----|\Z)
    """
"""Both are compiled when they are needed, which the probes seldom do."""


def escape(text: str, *, longest: int = 256) -> str:
    """Return a text with every unprintable character escaped as Python does; of a longer one the first characters.

    The result can be encoded, whatever undecodable bytes or lone surrogates were in the text.
    """
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:longest])
    return shown if len(text) <= longest else f"{shown}…"


def quote(value: str) -> str:
    """Return a value in double quotes for a message; only the length of one that is long or looks like a secret."""
    if len(value) <= _LONGEST_QUOTED and value.isprintable() and "eyJ" not in value and "-----" not in value:
        return f'"{value}"'
    return f"a text of {len(value)} characters"


def blank_secrets(text: str) -> str:
    """Return a text without tokens, private keys and secrets that are named as such; all else stays as it is."""
    return re.sub(_NETTED, lambda found: f"{found['name'] or ''}…", text)


def redact(text: str, *secrets: str) -> str:
    """Return a server's text on one printable line of at most 500 characters, without what is or looks like a secret.

    The server may quote the secrets that it was sent: as they are, of a URL, of a form, or of JSON.
    """
    from urllib import parse  # noqa: PLC0415 - the exec probe shows texts too, and never a server's

    for secret in filter(None, secrets):
        for form in (secret, parse.quote(secret, safe=""), parse.quote_plus(secret), json.dumps(secret)[1:-1]):
            if len(secret) < _SHORTEST_BLANKED and form in text:
                return "(withheld, since the secret is in it)"
            text = text.replace(form, "…")
    return escape(" ".join(re.sub(_SECRETS, "…", text).split()), longest=_LONGEST_REDACTED)[:_LONGEST_REDACTED]
