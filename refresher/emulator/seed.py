"""The seed: a YAML or JSON document of what is to exist.

```yaml
projects: {my-project: "123456789012"}         # number by id
pools:
  - pool: workers
    project_number: "123456789012"             # default: the first project's
    providers:
      refresher:
        issuer: https://workers.invalid
        jwks: {keys: […]}                      # or jwks_file: PATH; neither: discovered from the issuer
        allowed_audiences: []
service_accounts:
  alice@my-project.iam.gserviceaccount.com:
    roles/iam.workloadIdentityUser: ["principal://iam.googleapis.com/projects/…/subject/user-1"]
metadata_account: worker@my-project.iam.gserviceaccount.com
```
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from refresher.emulator.state import Provider, State
from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KNOWN = ("projects", "pools", "service_accounts", "metadata_account")


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


def plant(state: State, document: Mapping[str, Any], *, beside: Path = Path()) -> None:
    """Let exist what a seed says, beside what is there already; all of it or nothing.

    Args:
        state: Where.
        document: The seed.
        beside: Directory that `jwks_file` is relative to.

    Raises:
        EmulatorError: It says something that cannot be.
    """
    unknown = sorted(set(document) - set(_KNOWN))
    if unknown:
        raise EmulatorError(f"the seed has unknown keys: {', '.join(unknown)}", f"known are: {', '.join(_KNOWN)}")
    planned = State(projects=dict(state.projects))
    try:
        _plant(planned, document, beside)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EmulatorError(
            f"the seed does not have the expected shape ({type(error).__name__})", "see the example in docs/emulator.md"
        ) from error
    _merge(state, planned)


def _plant(state: State, document: Mapping[str, Any], beside: Path) -> None:
    for project, number in document.get("projects", {}).items():
        state.add_project(str(project), str(number))
    for entry in document.get("pools", []):
        number = str(entry.get("project_number") or next(iter(state.projects.values())))
        pool = state.add_pool(str(entry["pool"]), project_number=number)
        for name, settings in entry.get("providers", {}).items():
            pool.providers[str(name)] = _provider(dict(settings), beside)
    for email, bindings in document.get("service_accounts", {}).items():
        account = state.add_service_account(str(email))
        for role, members in (bindings or {}).items():
            account.bindings.setdefault(str(role), set()).update(str(member) for member in members)
    if (metadata_account := document.get("metadata_account")) is not None:
        state.add_service_account(str(metadata_account))
        state.metadata_account = str(metadata_account)


def _provider(settings: dict[str, Any], beside: Path) -> Provider:
    file = settings.pop("jwks_file", None)
    if file is not None:
        try:
            settings["jwks"] = json.loads((beside / file).read_bytes())
        except OSError as error:
            raise EmulatorError(f"{beside / file} cannot be read: {error.strerror}", "mend jwks_file") from error
    return Provider(**settings)


def _merge(state: State, planned: State) -> None:
    state.projects.update(planned.projects)
    for (number, name), pool in planned.pools.items():
        state.add_pool(name, project_number=number).providers.update(pool.providers)
    for email, account in planned.service_accounts.items():
        bindings = state.add_service_account(email).bindings
        for role, members in account.bindings.items():
            bindings.setdefault(role, set()).update(members)
    state.metadata_account = planned.metadata_account or state.metadata_account
