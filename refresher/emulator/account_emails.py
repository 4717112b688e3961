"""E-mails of service accounts, which contain their project.

https://cloud.google.com/iam/docs/service-account-types. A project id with a domain or partition, `example.com:legacy`,
is reversed in an e-mail: `NAME@legacy.example.com.iam.gserviceaccount.com`.
"""

import re

_USER_MANAGED = re.compile(r"[^@]+@(?P<host>[^@]+)\.iam\.gserviceaccount\.com")
_APP_ENGINE = re.compile(r"(?P<host>[^@]+)@appspot\.gserviceaccount\.com")
_COMPUTE_ENGINE = re.compile(r"(?P<number>\d+)-compute@developer\.gserviceaccount\.com")

_PROJECT_ID = re.compile(r"([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_ACCOUNT_ID = re.compile(r"[a-z][-a-z0-9]{4,28}[a-z0-9]")


def is_project_id(text: str) -> bool:
    """Return whether a text has the form of a project's id."""
    return _PROJECT_ID.fullmatch(text) is not None


def is_account_id(text: str) -> bool:
    """Return whether a text can be the id of a service account that a user creates."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def is_email(text: str) -> bool:
    """Return whether a text can be the e-mail of a service account: of one that a user creates, or a default one."""
    account_id, _, _ = text.partition("@")
    if _COMPUTE_ENGINE.fullmatch(text) is not None:
        return True
    return is_project_id(read_project(text)) and (_APP_ENGINE.fullmatch(text) is not None or is_account_id(account_id))


def compose_email(account_id: str, project: str) -> str:
    """Return the e-mail of a service account that a user creates in the project of this id."""
    scope, _, name = project.rpartition(":")
    host = f"{name}.{scope}" if scope else name
    return f"{account_id}@{host}.iam.gserviceaccount.com"


def read_project(email: str) -> str:
    """Return the id of the project in an e-mail, or its number in that of Compute Engine's default account.

    The text is empty if the e-mail is not that of a service account.
    """
    default = _COMPUTE_ENGINE.fullmatch(email)
    if default is not None:
        return default["number"]
    found = _USER_MANAGED.fullmatch(email) or _APP_ENGINE.fullmatch(email)
    return read_host(found["host"]) if found is not None else ""


def read_host(host: str) -> str:
    """Return the project id of its reversed form, `legacy.example.com`; an id without a domain is its own."""
    name, _, scope = host.partition(".")
    return f"{scope}:{name}" if scope else name
