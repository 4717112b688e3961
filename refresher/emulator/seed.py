"""The seed: a YAML or JSON document that describes the initial resources.

`configs/emulator-seed.yaml` shows every key, with comments.
"""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from refresher.emulator.account_emails import is_project_id
from refresher.emulator.crypto_keys import EC_P256, ENABLED, CryptoKey
from refresher.emulator.iam_admin.fields import check_id
from refresher.emulator.iam_admin.provider_rules import check_provider
from refresher.emulator.members import bind_member
from refresher.emulator.policies import Policy
from refresher.emulator.roles import BUCKETS, KEYS
from refresher.emulator.seed_fields import (
    ShapeError,
    check_keys,
    check_list,
    check_map,
    check_texts,
    grant,
    iterate_part,
    read_file,
    report_place,
    require_text,
)
from refresher.emulator.seed_identities import plant_identities
from refresher.emulator.state import Project, Provider, Role, State
from refresher.emulator.storage_state import Bucket
from refresher.errors import EmulatorError

_KNOWN = (
    "projects",
    "pools",
    "service_accounts",
    "project_policies",
    "roles",
    "groups",
    "users",
    "service_account_keys",
    "buckets",
    "crypto_keys",
    "metadata_account",
    "access_token_lives",
)
_KINDS: dict[str, type] = {
    "issuer": str,
    "jwks": dict,
    "allowed_audiences": list,
    "mapping": dict,
    "condition": str,
    "disabled": bool,
    "display_name": str,
    "description": str,
    "kind": str,
    "settings": dict,
}
"""The settings of a provider, in addition to `jwks_file`."""

_KEY_NAME = re.compile("projects/(?P<project>[^/]+)/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


def read_seed(path: Path) -> dict[str, Any]:
    """Read a seed file.

    Raises:
        EmulatorError: It cannot be read, or is not a YAML mapping.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EmulatorError(f"the seed {path} cannot be read: {error.strerror}", "choose a file that exists") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EmulatorError(f"the seed {path} is not YAML", "see the example in docs/emulator.md") from error
    if not isinstance(document, dict):
        raise EmulatorError(f"the seed {path} is not a mapping", "see the example in docs/emulator.md")
    return document


def apply_seed(
    state: State, document: Mapping[str, Any], *, directory: Path = Path(), now: float | None = None
) -> None:
    """Create the resources of a seed in addition to the present ones. With any mistake in it, change nothing.

    Args:
        state: Changed in place.
        document: The seed.
        directory: The files of keys are relative to it.
        now: Creation time of buckets, in Unix seconds; default the machine's time.

    Raises:
        EmulatorError: The seed contains a mistake.
    """
    unknown = sorted(set(document) - set(_KNOWN))
    if unknown:
        raise EmulatorError(f"the seed has unknown keys: {', '.join(unknown)}", f"use one of: {', '.join(_KNOWN)}")
    planned = State(
        projects={
            name: Project(number=project.number, services=set(project.services), perimeter=set(project.perimeter))
            for name, project in state.projects.items()
        },
        roles=dict(state.roles),
    )
    with report_place("document"):
        _create(planned, document, directory, time.time() if now is None else now)
    _merge(state, planned)


def _create(state: State, document: Mapping[str, Any], directory: Path, now: float) -> None:
    for project, settings in iterate_part(document, "projects"):
        with report_place("projects", project):
            _describe(state, project, settings)
    for name, permissions in iterate_part(document, "roles"):
        with report_place("roles", name):
            state.roles[name] = Role(permissions=check_texts(permissions))
    with report_place("pools"):
        pools = check_list(document.get("pools"))
    for number, entry in enumerate(pools):
        with report_place(f"pools[{number}]"):
            _create_pool(state, check_keys(check_map(entry), "pool", "project_number", "providers"), number, directory)
    plant_identities(state, document, directory, now)
    for project, bindings in iterate_part(document, "project_policies"):
        with report_place("project_policies", project):
            if project not in state.projects:
                raise ShapeError("the project does not exist")
            grant(state, state.projects[project].policy, bindings)
    for name, bindings in iterate_part(document, "buckets"):
        with report_place("buckets", name):
            bucket = state.buckets.setdefault(name, Bucket(project=next(iter(state.projects)), created=now))
            grant(state, bucket.policy, bindings, BUCKETS)
    for name, settings in iterate_part(document, "crypto_keys"):
        with report_place("crypto_keys", name):
            state.crypto_keys[name] = _read_crypto_key(state, name, check_map(settings))


def _create_pool(state: State, entry: dict[str, Any], number: int, directory: Path) -> None:
    project = str(entry.get("project_number") or next(iter(state.projects.values())).number)
    name = require_text(entry, "pool")
    check_id(name, field="pool")
    pool = state.add_pool(name, project_number=project)
    for provider, settings in check_map(entry.get("providers")).items():
        with report_place(f"pools[{number}]", "providers", provider):
            check_id(provider, field="provider")
            pool.providers[provider] = _read_provider(check_map(settings), directory)


def _describe(state: State, name: str, settings: object) -> None:
    """Set what a seed describes of a project: its number, or its number, services and perimeter."""
    if not is_project_id(name):
        raise ShapeError("an id has 6 to 30 characters a-z 0-9 -, and may begin with a domain or partition and a colon")
    said = settings if isinstance(settings, dict) else {"number": settings}
    check_keys(said, "number", "services", "perimeter")
    number = require_text(said, "number")
    other = state.find_project(number)
    if not number.isdecimal() or (other is not None and other[0] != name):
        raise ShapeError("a number of its own is needed, in digits")
    project = state.projects.setdefault(name, Project(number=number))
    project.number = number
    project.services = set(check_texts(said.get("services", sorted(project.services))))
    project.perimeter = set(check_texts(said.get("perimeter", sorted(project.perimeter))))


def _read_provider(settings: dict[str, Any], directory: Path) -> Provider:
    """Create a provider according to the rules of the API. Its issuer may have plain HTTP, as issuers in tests have."""
    file = settings.pop("jwks_file", None)
    if file is not None:
        settings["jwks"] = _read_key_set(directory / str(file))
    check_keys(settings, *_KINDS)
    for name, kind in _KINDS.items():
        if name in settings and not isinstance(settings[name], kind):
            raise ShapeError(f"{name} has an invalid value")
    check_texts(settings.get("allowed_audiences", []))
    provider = Provider(**settings)
    check_provider(provider, plain_http=True)
    return provider


def _read_key_set(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(read_file(path, "jwks_file"))
    except (ValueError, RecursionError):
        raise ShapeError(f"{path} is not JSON") from None


def _read_crypto_key(state: State, name: str, settings: dict[str, Any]) -> CryptoKey:
    """Create a signing key of Cloud KMS. By default it has one version, which is enabled."""
    found = _KEY_NAME.fullmatch(name)
    if found is None or found["project"] not in state.projects:
        raise ShapeError("the name must be projects/…/locations/…/keyRings/…/cryptoKeys/…, in an existing project")
    check_keys(settings, "algorithm", "versions", "bindings")
    key = CryptoKey(project=found["project"], algorithm=str(settings.get("algorithm", EC_P256)))
    try:
        for number, condition in check_map(settings.get("versions", {"1": ENABLED})).items():
            key.add_version(number, state=condition)
    except (ValueError, KeyError):
        raise ShapeError("the algorithm or the state of a version is unknown") from None
    grant(state, key.policy, settings.get("bindings"), KEYS)
    return key


def _merge(state: State, planned: State) -> None:
    for name, project in planned.projects.items():
        known = state.projects.setdefault(name, project)
        known.number = project.number
        known.services, known.perimeter = project.services, project.perimeter
        _add(state, known.policy, project.policy)
    for name, pool in planned.pools.items():
        state.pools.setdefault(name, pool).providers.update(pool.providers)
    for email, account in planned.service_accounts.items():
        known_account = state.service_accounts.setdefault(email, account)
        known_account.keys.update(account.keys)
        known_account.longest_life = account.longest_life or known_account.longest_life
        _add(state, known_account.policy, account.policy)
    for name, bucket in planned.buckets.items():
        _add(state, state.buckets.setdefault(name, bucket).policy, bucket.policy)
    for name, key in planned.crypto_keys.items():
        kept = state.crypto_keys.setdefault(name, key)
        _add(state, kept.policy, key.policy)
        for number, version in key.versions.items():
            kept.versions.setdefault(number, version).state = version.state
    state.roles.update(planned.roles)
    state.users.update(planned.users)
    state.groups.update(
        {group: {bind_member(state, name) for name in names} for group, names in planned.groups.items()}
    )
    state.metadata_account = planned.metadata_account or state.metadata_account


def _add(state: State, policy: Policy, more: Policy) -> None:
    for binding in tuple(more.bindings):
        for member in tuple(binding.members):
            policy.allow(binding.role, bind_member(state, member))
