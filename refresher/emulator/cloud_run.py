"""run.googleapis.com: the IAM policies of services, in which `roles/run.invoker` is granted.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services. The emulator has no services: any name
in an existing project has a policy, and nothing can be invoked.
"""

from collections.abc import Mapping

from refresher.emulator import policy_changes
from refresher.emulator.authentication import authenticate_administrator, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.fields import find_project
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.permissions import Resource
from refresher.emulator.policies import Policy
from refresher.emulator.roles import RUN_SERVICES

SERVICE = "run.googleapis.com"


def get_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show the policy of a service."""
    name = _authorize(cloud, call, names, "run.services.getIamPolicy")
    return Reply(document=cloud.state.run_policies.get(name, Policy()).as_document())


def set_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the policy of a service."""
    name = _authorize(cloud, call, names, "run.services.setIamPolicy")
    policy = cloud.state.run_policies.setdefault(name, Policy())
    return policy_changes.replace_policy(cloud, policy, call.json(), permissions=RUN_SERVICES)


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], permission: str) -> str:
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    project, _ = find_project(cloud, names["project"])
    name = f"projects/{project}/locations/{names['location']}/services/{names['service']}"
    require_permission(
        cloud, caller, permission, Resource(name=name, service=SERVICE, kind=f"{SERVICE}/Service", project=project)
    )
    return name


_PATH = "/v2/projects/{project}/locations/{location}/services/{service}"

ROUTES = (
    Route("run.services.getIamPolicy", "GET", f"{_PATH}:getIamPolicy", get_policy),
    Route("run.services.setIamPolicy", "POST", f"{_PATH}:setIamPolicy", set_policy, changes=True),
)
