"""The state on disk: one JSON document, replaced whole, so that a restart on the same directory forgets nothing.

Good for what people and tests put into an emulator by hand; every change writes everything.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.state import Pool, Provider, ServiceAccount, State
from refresher.emulator.tokens import TokenVault
from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from pathlib import Path

STATE = "state.json"


def open_cloud(directory: Path) -> Cloud:
    """Give the cloud that a directory holds, a new one if it holds none; changes are kept there.

    Raises:
        EmulatorError: The directory cannot be used.
    """
    path = directory / STATE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        cloud = _from_document(json.loads(path.read_bytes())) if path.exists() else Cloud()
        cloud.save = lambda: _save(cloud, path)
        cloud.save()
    except OSError as error:
        raise EmulatorError(
            f"the emulator's directory {directory} cannot be used: {error.strerror}", "choose one you may write to"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EmulatorError(f"{path} is damaged", "remove it to begin with an empty cloud") from error
    return cloud


def _save(cloud: Cloud, path: Path) -> None:
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(_as_document(cloud), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _as_document(cloud: Cloud) -> dict[str, Any]:
    state = cloud.state
    return {
        "vault": cloud.vault.as_document(),
        "projects": state.projects,
        "metadata_account": state.metadata_account,
        "allows_long_lifetimes": state.allows_long_lifetimes,
        "pools": [
            {
                "project_number": number,
                "pool": pool_id,
                "disabled": pool.disabled,
                "providers": {
                    provider_id: {
                        "issuer": provider.issuer,
                        "jwks": provider.jwks,
                        "allowed_audiences": provider.allowed_audiences,
                        "disabled": provider.disabled,
                    }
                    for provider_id, provider in pool.providers.items()
                },
            }
            for (number, pool_id), pool in state.pools.items()
        ],
        "service_accounts": [
            {
                "email": account.email,
                "unique_id": account.unique_id,
                "project": account.project,
                "disabled": account.disabled,
                "bindings": {role: sorted(members) for role, members in account.bindings.items()},
            }
            for account in state.service_accounts.values()
        ],
    }


def _from_document(document: dict[str, Any]) -> Cloud:
    pools = {}
    for entry in document["pools"]:
        providers = {name: Provider(**provider) for name, provider in entry["providers"].items()}
        pool = Pool(project_number=entry["project_number"], providers=providers, disabled=entry["disabled"])
        pools[entry["project_number"], entry["pool"]] = pool
    accounts = {}
    for entry in document["service_accounts"]:
        bindings = {role: set(members) for role, members in entry["bindings"].items()}
        accounts[entry["email"]] = ServiceAccount(**{**entry, "bindings": bindings})
    state = State(
        projects=dict(document["projects"]),
        pools=pools,
        service_accounts=accounts,
        metadata_account=document["metadata_account"],
        allows_long_lifetimes=document["allows_long_lifetimes"],
    )
    return Cloud(state=state, vault=TokenVault.from_document(document["vault"]))
