"""Kills an emulator at random moments while it writes, many times, and looks at what is left each time.

Run as a program: `killed_emulator.py DIRECTORY KILLS`. Each child is a fork that makes a service account and an object,
over and over, and says which were answered. Prints one line of JSON: how much was answered in all, and how often a
kill came between a request's beginning and its answer.
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


def make(cloud: Cloud, number: int) -> None:
    """Make the account and the object of a number; fail unless both are granted."""
    body = json.dumps({"accountId": f"account-{number:06d}"}).encode()
    query = {"uploadType": "media", "name": f"{number:06d}"}
    for call in (
        Call(method="POST", path=_ACCOUNTS, headers=_ADMINISTRATOR, body=body),
        Call(method="POST", path=_OBJECTS, query=query, body=b"x" * 100),
    ):
        if answer(cloud, call).status != 200:
            raise RuntimeError(call.path)


def make_for_ever(directory: Path, first: int, answered: int) -> None:
    """Make one after the other and say each when it was answered."""
    cloud = open_cloud(directory)
    for number in range(first, sys.maxsize):
        make(cloud, number)
        os.write(answered, b"%06d" % number)


def kill_one(directory: Path, first: int) -> int:
    """Kill one child at a random moment; give the number that it began with its last answer, or did not."""
    reading, answered = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        make_for_ever(directory, first, answered)
    os.close(answered)
    os.read(reading, 6)  # it has begun
    time.sleep(random.uniform(0, _LONGEST_SECONDS))  # noqa: S311 - any moment will do
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = bytearray()
    while piece := os.read(reading, 65_536):
        said += piece
    os.close(reading)
    return int(said[-6:] or b"%06d" % first)


def check(state: State, last: int) -> bool:
    """Fail unless all that was answered is there, and at most the request in flight beyond; tell whether that is."""
    accounts = {int(email.partition("@")[0].removeprefix("account-")) for email in state.service_accounts}
    objects = {int(name) for name in state.buckets["data"].objects}
    if not set(range(last + 1)) <= accounts or not set(range(last + 1)) <= objects:
        raise RuntimeError("what was answered is not there")
    if max(accounts) > last + 1 or max(objects) > max(accounts):
        raise RuntimeError("more is there than was asked for")
    return max(accounts) > last


def main(directory: Path, kills: int) -> None:
    """Kill as often as told, and start the next child where the last one ended."""
    cloud = open_cloud(directory)
    body = json.dumps({"name": "data"}).encode()
    answer(
        cloud,
        Call(method="POST", path="/storage/v1/b", query={"project": "my-project"}, headers=_ADMINISTRATOR, body=body),
    )
    cloud.state.buckets["data"].policy.allow("roles/storage.objectUser", "allUsers")
    make(cloud, 0)
    vault, first, between = cloud.vault.as_document(), 1, 0
    for _ in range(kills):
        last = kill_one(directory, first)
        found = open_cloud(directory)
        between += check(found.state, last)
        if found.vault.as_document() != vault:
            raise RuntimeError("its secrets are others")
        first = last + 2
        # what the kill left half done is done again, as a client would
        name = f"account-{last + 1:06d}@my-project.iam.gserviceaccount.com"
        found.state.service_accounts.pop(name, None)
        make(found, last + 1)
    sys.stdout.write(json.dumps({"answered": first - 1, "between": between}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
