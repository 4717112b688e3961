"""The form of OAuth scopes. Which scopes exist is not known here.

https://developers.google.com/identity/protocols/oauth2/scopes.
"""

import re

_SCOPE = re.compile(r"openid|email|profile|https://(?:[a-z][a-z-]*\.)+?(?:google|googleapis)\.com/[\w.:/-]*", re.ASCII)


def is_scope(value: object) -> bool:
    """Return whether a value has the form of a scope: one of OpenID Connect, or an address at Google."""
    return isinstance(value, str) and _SCOPE.fullmatch(value) is not None


def split_scopes(text: str) -> list[str]:
    """Return the scopes of a text; only spaces separate them (RFC 6749, section 3.3)."""
    return [scope for scope in text.split(" ") if scope]
