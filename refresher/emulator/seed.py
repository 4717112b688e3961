"""The seed: a YAML or JSON document of what is to exist.

```yaml
projects:
  my-project: "123456789012"                   # number by id
  elsewhere: {number: "42", services: [sts.googleapis.com], perimeter: [sts.googleapis.com]}
pools:
  - pool: workers
    project_number: "123456789012"             # default: the first project's
    providers:
      refresher:
        issuer: https://workers.invalid
        jwks: {keys: […]}                      # or jwks_file: PATH; neither: discovered from the issuer
        allowed_audiences: []
        mapping: {google.subject: assertion.sub}   # the default
        condition: assertion.worker == 'w-17'
service_accounts:
  alice@my-project.iam.gserviceaccount.com:
    roles/iam.workloadIdentityUser: ["principal://iam.googleapis.com/projects/…/subject/user-1"]
project_policies:
  my-project: {roles/viewer: ["user:carol@example.com"]}
roles: {projects/my-project/roles/tokenOnly: [iam.serviceAccounts.getAccessToken]}
groups: {team@example.com: ["user:carol@example.com"]}
buckets:
  data: {roles/storage.objectViewer: ["serviceAccount:alice@my-project.iam.gserviceaccount.com"]}
crypto_keys:
  projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer:
    versions: {"1": ENABLED}
    bindings: {roles/cloudkms.signerVerifier: ["serviceAccount:worker@my-project.iam.gserviceaccount.com"]}
metadata_account: worker@my-project.iam.gserviceaccount.com
access_token_lives: {alice@my-project.iam.gserviceaccount.com: 300}   # seconds at most, shorter than Google's
```
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from refresher.emulator.crypto_keys import EC_P256, ENABLED, CryptoKey
from refresher.emulator.errors import Refusal
from refresher.emulator.iam_admin.fields import check_id
from refresher.emulator.iam_admin.provider_rules import check_condition, check_mapping
from refresher.emulator.state import Project, Provider, Role, State
from refresher.emulator.storage_state import Bucket
from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.policies import Policy

_KNOWN = (
    "projects",
    "pools",
    "service_accounts",
    "project_policies",
    "roles",
    "groups",
    "buckets",
    "crypto_keys",
    "metadata_account",
    "access_token_lives",
)
_KEY_NAME = re.compile("projects/(?P<project>[^/]+)/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


def read_seed(path: Path) -> dict[str, Any]:
    """Read a seed file.

    Raises:
        EmulatorError: It cannot be read, or is no YAML mapping.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EmulatorError(f"the seed {path} cannot be read: {error.strerror}", "name a file that exists") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EmulatorError(f"the seed {path} is no YAML", "see the example in docs/emulator.md") from error
    if not isinstance(document, dict):
        raise EmulatorError(f"the seed {path} is no mapping", "see the example in docs/emulator.md")
    return document


def plant(state: State, document: Mapping[str, Any], *, beside: Path = Path(), now: float | None = None) -> None:
    """Let exist what a seed says, beside what is there already; all of it or nothing.

    Args:
        state: Where.
        document: The seed.
        beside: Directory that `jwks_file` is relative to.
        now: Unix time at which buckets are made; default the machine's.

    Raises:
        EmulatorError: It says something that cannot be.
    """
    unknown = sorted(set(document) - set(_KNOWN))
    if unknown:
        raise EmulatorError(f"the seed has unknown keys: {', '.join(unknown)}", f"known are: {', '.join(_KNOWN)}")
    planned = State(
        projects={
            name: Project(number=project.number, services=set(project.services), perimeter=set(project.perimeter))
            for name, project in state.projects.items()
        }
    )
    try:
        _plant(planned, document, beside, time.time() if now is None else now)
    except Refusal as refusal:
        message = str(refusal.document["error"]["message"])
        raise EmulatorError(message, "mend the pool or provider in the seed") from refusal
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EmulatorError(
            f"the seed does not have the expected shape ({type(error).__name__})", "see the example in docs/emulator.md"
        ) from error
    _merge(state, planned)


def _plant(state: State, document: Mapping[str, Any], beside: Path, now: float) -> None:
    for project, settings in document.get("projects", {}).items():
        _describe(state.projects.setdefault(str(project), Project(number="")), settings)
    for entry in document.get("pools", []):
        number = str(entry.get("project_number") or next(iter(state.projects.values())).number)
        check_id(str(entry["pool"]), field="pool")
        pool = state.add_pool(str(entry["pool"]), project_number=number)
        for name, settings in entry.get("providers", {}).items():
            check_id(str(name), field="provider")
            pool.providers[str(name)] = _provider(dict(settings), beside)
    _plant_accounts(state, document)
    for project, bindings in document.get("project_policies", {}).items():
        _grant(state.projects[str(project)].policy, bindings)
    for name, permissions in document.get("roles", {}).items():
        state.roles[str(name)] = Role(permissions=_texts(permissions))
    for group, members in document.get("groups", {}).items():
        state.groups[str(group)] = set(_texts(members))
    for name, bindings in document.get("buckets", {}).items():
        bucket = state.buckets.setdefault(str(name), Bucket(project=next(iter(state.projects)), created=now))
        _grant(bucket.policy, bindings)
    _plant_crypto_keys(state, document.get("crypto_keys", {}))
    if (metadata_account := document.get("metadata_account")) is not None:
        state.add_service_account(str(metadata_account))
        state.metadata_account = str(metadata_account)


def _plant_accounts(state: State, document: Mapping[str, Any]) -> None:
    for email, bindings in document.get("service_accounts", {}).items():
        _grant(state.add_service_account(str(email)).policy, bindings)
    for email, seconds in document.get("access_token_lives", {}).items():
        state.add_service_account(str(email)).longest_life = _life(seconds)


def _plant_crypto_keys(state: State, keys: Mapping[str, Any]) -> None:
    for name, settings in keys.items():
        state.crypto_keys[str(name)] = _crypto_key(state, str(name), dict(settings or {}))


def _grant(policy: Policy, bindings: Mapping[str, Any] | None) -> None:
    for role, members in (bindings or {}).items():
        for member in _texts(members):
            policy.allow(str(role), member)


def _life(seconds: object) -> float:
    """Give a positive number of seconds.

    Raises:
        ValueError: It is none.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError
    return float(seconds)


def _texts(value: object) -> list[str]:
    """Give a list of texts.

    Raises:
        TypeError: It is none; a text alone would be taken letter by letter.
    """
    if not isinstance(value, list) or not all(isinstance(member, str) for member in value):
        raise TypeError
    return value


def _describe(project: Project, settings: object) -> None:
    """Change of a project what is said of it: its number, or that with services and perimeter."""
    said = dict(settings) if isinstance(settings, dict) else {"number": settings}
    project.number = str(said.pop("number"))
    project.services = set(_texts(said.pop("services", sorted(project.services))))
    project.perimeter = set(_texts(said.pop("perimeter", sorted(project.perimeter))))
    if said:
        raise ValueError


def _provider(settings: dict[str, Any], beside: Path) -> Provider:
    file = settings.pop("jwks_file", None)
    if file is not None:
        try:
            settings["jwks"] = json.loads((beside / file).read_bytes())
        except OSError as error:
            raise EmulatorError(f"{beside / file} cannot be read: {error.strerror}", "mend jwks_file") from error
    provider = Provider(**settings)
    kinds = {
        "issuer": str,
        "condition": str,
        "display_name": str,
        "description": str,
        "mapping": dict,
        "disabled": bool,
    }
    if not all(isinstance(getattr(provider, name), kind) for name, kind in kinds.items()):
        raise TypeError
    if provider.jwks is not None and not isinstance(provider.jwks, dict):
        raise TypeError
    _texts(provider.allowed_audiences)
    check_mapping(provider.mapping)
    check_condition(provider.condition, provider.issuer)
    return provider


def _crypto_key(state: State, name: str, settings: dict[str, Any]) -> CryptoKey:
    """Make a signing key of Cloud KMS; one version of it is enabled unless others are named."""
    found = _KEY_NAME.fullmatch(name)
    if found is None or found["project"] not in state.projects:
        raise ValueError
    key = CryptoKey(project=found["project"], algorithm=str(settings.pop("algorithm", EC_P256)))
    for number, condition in settings.pop("versions", {"1": ENABLED}).items():
        key.add_version(str(number), state=condition)
    _grant(key.policy, settings.pop("bindings", None))
    if settings:
        raise ValueError
    return key


def _merge(state: State, planned: State) -> None:
    for name, project in planned.projects.items():
        known = state.projects.setdefault(name, project)
        known.number = project.number
        known.services, known.perimeter = project.services, project.perimeter
        _add(known.policy, project.policy)
    for name, pool in planned.pools.items():
        state.pools.setdefault(name, pool).providers.update(pool.providers)
    for email, account in planned.service_accounts.items():
        known_account = state.service_accounts.setdefault(email, account)
        known_account.longest_life = account.longest_life or known_account.longest_life
        _add(known_account.policy, account.policy)
    for name, bucket in planned.buckets.items():
        _add(state.buckets.setdefault(name, bucket).policy, bucket.policy)
    for name, key in planned.crypto_keys.items():
        kept = state.crypto_keys.setdefault(name, key)
        _add(kept.policy, key.policy)
        for number, version in key.versions.items():
            kept.versions.setdefault(number, version).state = version.state
    state.roles.update(planned.roles)
    state.groups.update(planned.groups)
    state.metadata_account = planned.metadata_account or state.metadata_account


def _add(policy: Policy, more: Policy) -> None:
    for binding in tuple(more.bindings):
        for member in tuple(binding.members):
            policy.allow(binding.role, member)
