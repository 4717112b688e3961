"""What is the emulator's own, below `/emulator/`: who a token is, the journal, the seed. Google has none of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from refresher.emulator.calls import Call, Reply
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.seed import plant
from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.cloud import Cloud

NOTICE = "This is the emulator of wif-refresher. It is not Google, and it is not secure.\n"


def notice(_cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Say what this is."""
    return Reply(text=NOTICE)


def whoami(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Tell whom the token of the Authorization header speaks for."""
    bearer = cloud.vault.recognise(call.bearer_token() or "", cloud.now())
    if bearer is None:
        raise api_refusal("I10")
    is_federated = bearer.kind == "federated"
    return Reply(
        document={
            "kind": bearer.kind,
            "service_account": None if is_federated else bearer.name,
            "principal": bearer.name if is_federated else None,
            "scopes": list(bearer.scopes),
            "expires_at": f"{datetime.fromtimestamp(bearer.expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
    )


def journal(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Give the last requests; `?path=TEXT` narrows them."""
    return Reply(document=[entry.as_document() for entry in cloud.journal.entries(call.query.get("path", ""))])


def clear_journal(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Forget the requests so far."""
    cloud.journal.clear()
    return Reply(document={})


def seed(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Let exist what a seed document says."""
    try:
        plant(cloud.state, call.json())
    except EmulatorError as error:
        raise Refusal(400, {"error": str(error)}, "seed") from error
    cloud.save()
    return Reply(document={})


ROUTES = (
    ("GET", r"/(emulator/?)?", notice),
    ("GET", r"/emulator/whoami", whoami),
    ("GET", r"/emulator/journal", journal),
    ("DELETE", r"/emulator/journal", clear_journal),
    ("POST", r"/emulator/seed", seed),
)
