"""Kills an emulator many times at random moments while it writes, and checks the saved state each time.

Run it as a program: `killed_emulator.py DIRECTORY KILLS`. Each child is a fork that creates a service account and an
object, again and again, and reports the answered ones. It prints one line of JSON: how many requests were answered in
all, and how many kills came between a request's beginning and its answer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from refresher.emulator.http import Call
from refresher.emulator.persistence import open_cloud
from refresher.emulator.routes import answer

if TYPE_CHECKING:
    from refresher.emulator.cloud import Cloud
    from refresher.emulator.state import State

_LONGEST_SECONDS = 0.03
_ACCOUNTS = "/v1/projects/my-project/serviceAccounts"
_OBJECTS = "/upload/storage/v1/b/data/o"
_ADMINISTRATOR = {"authorization": "Bearer anything"}


def create(cloud: Cloud, number: int) -> None:
    """Create the account and the object of a number; fail unless both succeed."""
    body = json.dumps({"accountId": f"account-{number:06d}"}).encode()
    query = {"uploadType": "media", "name": f"{number:06d}"}
    for call in (
        Call(method="POST", path=_ACCOUNTS, headers=_ADMINISTRATOR, body=body),
        Call(method="POST", path=_OBJECTS, query=query, body=b"x" * 100),
    ):
        if answer(cloud, call).status != 200:
            raise RuntimeError(call.path)


def create_for_ever(directory: Path, first: int, answered: int) -> None:
    """Create accounts and objects one after the other, and report each answer."""
    with open_cloud(directory) as cloud:
        for number in range(first, sys.maxsize):
            create(cloud, number)
            os.write(answered, b"%06d" % number)


def kill_one(directory: Path, first: int) -> int:
    """Kill one child at a random moment; return the number that it was creating, whether that succeeded or not."""
    reading, answered = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        create_for_ever(directory, first, answered)
    os.close(answered)
    os.read(reading, 6)  # it has begun
    time.sleep(random.uniform(0, _LONGEST_SECONDS))  # noqa: S311 - not a secret
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = bytearray()
    while piece := os.read(reading, 65_536):
        said += piece
    os.close(reading)
    return int(said[-6:] or b"%06d" % first)


def check(state: State, last: int) -> bool:
    """Fail unless all answered changes are saved, and at most one more; return whether there is one more."""
    accounts = {int(email.partition("@")[0].removeprefix("account-")) for email in state.service_accounts}
    objects = {int(name) for name in state.buckets["data"].objects}
    if not set(range(last + 1)) <= accounts or not set(range(last + 1)) <= objects:
        raise RuntimeError("an answered change is missing")
    if max(accounts) > last + 1 or max(objects) > max(accounts):
        raise RuntimeError("there are changes that were never requested")
    return max(accounts) > last


def main(directory: Path, kills: int) -> None:
    """Kill this many children, and start each where the last one ended."""
    body = json.dumps({"name": "data"}).encode()
    bucket = Call(
        method="POST", path="/storage/v1/b", query={"project": "my-project"}, headers=_ADMINISTRATOR, body=body
    )
    with open_cloud(directory) as cloud:
        answer(cloud, bucket)
        cloud.state.buckets["data"].policy.allow("roles/storage.objectUser", "allUsers")
        create(cloud, 0)
        vault = cloud.vault.as_document()
    first, between = 1, 0
    for _ in range(kills):
        last = kill_one(directory, first)
        with open_cloud(directory) as found:
            between += check(found.state, last)
            if found.vault.as_document() != vault:
                raise RuntimeError("the secrets have changed")
            first = last + 2
            # repeat what the kill interrupted, as a client would
            name = f"account-{last + 1:06d}@my-project.iam.gserviceaccount.com"
            found.state.service_accounts.pop(name, None)
            create(found, last + 1)
    sys.stdout.write(json.dumps({"answered": first - 1, "between": between}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
