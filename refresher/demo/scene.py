"""The scene: a cloud with two service accounts, a signing key, and a configuration for two targets.

Nothing here is special to the demo but the short life of its tokens; the daemon is the real one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from refresher.durations import format_duration
from refresher.emulator.state import DEFAULT_NUMBER, DEFAULT_PROJECT
from refresher.keys.directory import create, read_jwks

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from refresher.emulator.testing import Scenario

LIFETIME = timedelta(seconds=9)
ISSUER = "https://workers.invalid"
USERS = {"alice": "user-1042", "bob": "user-2077"}
"""Subject by name; each name is that of a target, an identity and a service account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where everything of the demo lies.

    Attributes:
        directory: Holds all of it.
        configuration: The configuration file.
        google: The running emulator.
    """

    directory: Path
    configuration: Path
    google: Scenario

    def credentials_directory(self, name: str) -> Path:
        """Give the directory that a user's container would mount."""
        return self.directory / "run" / name


def account_of(name: str) -> str:
    """Give the e-mail of a user's service account."""
    return f"{name}@{DEFAULT_PROJECT}.iam.gserviceaccount.com"


def set_up(directory: Path, google: Scenario, now: datetime) -> Scene:
    """Make the key, let the cloud trust it, bind each subject to one account, and write the configuration.

    Raises:
        KeysError: The directory holds keys of an earlier demo that cannot be used.
    """
    keys = directory / "keys"
    if not (keys / "keys.json").exists():
        create(keys, algorithm="ES256", now=now)
    provider = google.add_provider(issuer=ISSUER, jwks=read_jwks(keys))
    for name, subject in USERS.items():
        google.allow(account_of(name), subject=subject)
    document = {
        "version": 1,
        "providers": {"main": {"project_number": DEFAULT_NUMBER, "pool": provider.pool, "provider": provider.provider}},
        "project": DEFAULT_PROJECT,
        "suppliers": {
            "worker": {
                "kind": "self_issued",
                "issuer": ISSUER,
                "keys": str(keys),
                "lifetime": format_duration(LIFETIME),
            }
        },
        "identities": {
            name: {"service_account": account_of(name), "subject": subject} for name, subject in USERS.items()
        },
        "directory_root": str(directory / "run"),
        "targets": {name: {} for name in USERS},
        "listen": "none",
        "google": {"emulator": True, "endpoints": {"sts": google.http, "iam_credentials": google.http}},
    }
    configuration = directory / "refresher.yaml"
    configuration.write_text(json.dumps(document, indent=2), encoding="utf-8")
    configuration.chmod(0o600)
    return Scene(directory=directory, configuration=configuration, google=google)
