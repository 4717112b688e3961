"""cloudresourcemanager.googleapis.com: the one call that client libraries make at start, number to project id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.emulator.calls import Call, Reply
from refresher.emulator.errors import api_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.cloud import Cloud


def project(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Describe a project by its id or number."""
    if cloud.vault.recognise(call.bearer_token() or "", cloud.now()) is None:
        raise api_refusal("I10")
    for found, number in cloud.state.projects.items():
        if names["project"] in (found, number):
            return Reply(
                document={"projectId": found, "projectNumber": number, "name": found, "lifecycleState": "ACTIVE"}
            )
    raise api_refusal("not_found")


ROUTES = (("GET", r"/v1/projects/(?P<project>[^/:]+)", project),)
