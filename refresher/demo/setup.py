"""What the demo needs: a cloud with two service accounts, a signing key, and a configuration with two targets.

Only the short lifetime of the tokens is special to the demo. The daemon is the real one.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user of the demo.

    Attributes:
        name: The name of the target and of the identity.
        subject: The claim `sub` of the subject tokens.
        service_account: The e-mail of the service account.
    """

    name: str
    subject: str
    service_account: str


USERS = tuple(
    User(name=name, subject=subject, service_account=f"task-{name}@{DEFAULT_PROJECT}.iam.gserviceaccount.com")
    for name, subject in (("alice", "user-1042"), ("bob", "user-2077"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The files of the demo and its emulator.

    Attributes:
        directory: Contains all files.
        configuration: The configuration file.
        google: The running emulator.
    """

    directory: Path
    configuration: Path
    google: Scenario

    def credentials_directory(self, user: User) -> Path:
        """Return the directory that a user's container would mount."""
        return self.directory / "run" / user.name


def set_up(directory: Path, google: Scenario, now: datetime) -> Installation:
    """Create the key, make the cloud trust it, bind each subject to one account, and write the configuration.

    Raises:
        KeysError: The directory contains keys of an earlier demo that cannot be used.
    """
    keys = directory / "keys"
    if not (keys / "keys.json").exists():
        create(keys, algorithm="ES256", now=now)
    provider = google.add_provider(issuer=ISSUER, jwks=read_jwks(keys))
    for user in USERS:
        google.allow(user.service_account, subject=user.subject)
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
        "identities": {user.name: {"service_account": user.service_account, "subject": user.subject} for user in USERS},
        "directory_root": str(directory / "run"),
        "targets": {user.name: {} for user in USERS},
        "listen": "none",
        "google": {"emulator": True, "endpoints": {"sts": google.http, "iam_credentials": google.http}},
    }
    configuration = directory / "refresher.yaml"
    configuration.write_text(json.dumps(document, indent=2), encoding="utf-8")
    configuration.chmod(0o600)
    return Installation(directory=directory, configuration=configuration, google=google)
