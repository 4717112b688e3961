"""The identities of a seed: service accounts with their keys, users with their refresh tokens, and groups."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refresher.emulator.account_emails import is_email, read_project
from refresher.emulator.credentials import USER_SCOPES, AccountKey, UserCredential, read_key
from refresher.emulator.roles import ACCOUNTS
from refresher.emulator.scopes import is_scope
from refresher.emulator.seed_fields import (
    ShapeError,
    check_keys,
    check_map,
    check_seconds,
    check_texts,
    grant,
    iterate_part,
    read_file,
    report_place,
    require_text,
)
from refresher.emulator.state import ServiceAccount, State


def plant_identities(state: State, document: Mapping[str, Any], directory: Path, now: float) -> None:
    """Create the service accounts, users and groups of a seed.

    Args:
        state: Changed in place.
        document: The seed.
        directory: Names of files are relative to it.
        now: Creation time of keys, in Unix seconds.

    Raises:
        EmulatorError: The seed contains a mistake.
    """
    for email, bindings in iterate_part(document, "service_accounts"):
        with report_place("service_accounts", email):
            grant(state, _add_account(state, email).policy, bindings, ACCOUNTS)
    for email, seconds in iterate_part(document, "access_token_lives"):
        with report_place("access_token_lives", email):
            _add_account(state, email).longest_life = check_seconds(seconds)
    for email, files in iterate_part(document, "service_account_keys"):
        with report_place("service_account_keys", email):
            keys = [_account_key(directory / file, email, now) for file in check_texts(files)]
            _add_account(state, email).keys.update(keys)
    for email, settings in iterate_part(document, "users"):
        with report_place("users", email):
            state.users[email] = _user(check_map(settings))
    for group, members in iterate_part(document, "groups"):
        with report_place("groups", group):
            state.groups[group] = set(check_texts(members))
    if (metadata_account := document.get("metadata_account")) is not None:
        with report_place("metadata_account"):
            state.metadata_account = _add_account(state, str(metadata_account)).email


def _add_account(state: State, email: str) -> ServiceAccount:
    if not is_email(email):
        raise ShapeError(f"{email} is not the e-mail of a service account; its id has 6 to 30 characters a-z 0-9 -")
    project = read_project(email)
    if state.find_project(project) is None:
        raise ShapeError(f"the project {project} does not exist; add it to projects")
    return state.add_service_account(email)


def _account_key(path: Path, email: str, now: float) -> tuple[str, AccountKey]:
    """Read the key in a file as Google writes it, or in PEM; only its public half is stored."""
    content = read_file(path, "service_account_keys")
    try:
        document = json.loads(content) if content.lstrip().startswith("{") else {"private_key": content}
        key_id, key = read_key(str(document["private_key"]), now)
    except (ValueError, KeyError, RecursionError):
        raise ShapeError(f"{path} is neither the file of a service account's key nor PEM") from None
    if document.get("client_email", email) != email:
        raise ShapeError(f"{path} is the key of {document['client_email']}")
    return str(document.get("private_key_id") or key_id), key


def _user(settings: dict[str, Any]) -> UserCredential:
    check_keys(settings, "client_id", "client_secret", "refresh_token", "scopes", "revoked")
    scopes = check_texts(settings.get("scopes", list(USER_SCOPES)))
    if not all(map(is_scope, scopes)) or not isinstance(settings.get("revoked", False), bool):
        raise ShapeError("scopes must have Google's form, and revoked must be true or false")
    return UserCredential(
        **{name: require_text(settings, name) for name in ("client_id", "client_secret", "refresh_token")},
        scopes=scopes,
        revoked=settings.get("revoked", False),
    )
