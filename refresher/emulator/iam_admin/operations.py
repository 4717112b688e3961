"""Long-running operations. Here they end at once: the first answer has only their name, and the next one shows the end.

Their names are sealed and not stored, so that no storage grows with their number.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from refresher.emulator.authentication import authenticate_administrator
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.http import ENCODED_SLASH, Call, Reply, Route

PREFIX = "op"
_VERSION = re.compile(r"/v\d/")


def start_operation(cloud: Cloud, parent: str) -> dict[str, Any]:
    """Return the first answer for a new operation on a resource: its name only."""
    nonce = secrets.token_hex(6)
    where = f"{parent}/operations" if parent else "operations"
    return {"name": f"{where}/{PREFIX}{nonce}{cloud.vault.seal(nonce)}"}


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show that an operation is done."""
    authenticate_administrator(cloud, call, service="iam.googleapis.com")
    sealed = names["operation"].removeprefix(PREFIX)
    if cloud.vault.seal(sealed[:12]) != sealed[12:]:
        raise api_refusal("not_found")
    name = _VERSION.split(call.path.replace(ENCODED_SLASH, "%2F"), maxsplit=1)[-1]
    return Reply(document={"name": name, "done": True, "response": {}})


ROUTES = (
    Route("operations.get", "GET", "/v1/operations/{operation}", get),
    Route("operations.get", "GET", "/v1/{parent**}/operations/{operation}", get),
    Route("operations.get", "GET", "/v2/{parent**}/operations/{operation}", get),
)
