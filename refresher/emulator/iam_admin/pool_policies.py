"""The IAM policy of a pool itself: who may look after it. It says nothing about who may use what the pool federates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.emulator import policy_calls
from refresher.emulator.calls import Call, Reply, Route
from refresher.emulator.iam_admin.pools import POOL, authorize, find_pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.cloud import Cloud


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show the policy of a pool."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.getIamPolicy")
    return Reply(document=find_pool(cloud, number, names["pool"]).policy.as_document())


def set_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the policy of a pool."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.setIamPolicy")
    return policy_calls.replace(cloud, find_pool(cloud, number, names["pool"]).policy, call.json())


ROUTES = (
    Route("iam.workloadIdentityPools.getIamPolicy", "POST", f"{POOL}:getIamPolicy", get),
    Route("iam.workloadIdentityPools.setIamPolicy", "POST", f"{POOL}:setIamPolicy", set_, changes=True),
)
