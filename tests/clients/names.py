"""The names of the resources in the cloud that the clients call; by default those of the emulator."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tests.program import ISSUER, PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "REFRESHER_CLIENTS_"
"""The prefix of the variables; the rest of a variable is an attribute's name in capitals."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of the resources.

    Attributes:
        project: The id of the project.
        project_number: Its number.
        pool: The workload identity pool.
        provider: Its provider.
        issuer: The issuer that the provider trusts.
        accounts: A client's service account, with `{}` for the client's name; by default of that project.
        buckets: A client's bucket, with `{}` for the client's name.
    """

    project: str = PROJECT
    project_number: str = "123456789012"
    pool: str = "workers"
    provider: str = "refresher"
    issuer: str = ISSUER
    accounts: str = ""
    buckets: str = "{}-data"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Names:
        """Return the names that the environment sets, and the default of the others."""
        values = {field.name: environment.get(f"{PREFIX}{field.name.upper()}") for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if value})

    def account(self, name: str) -> str:
        """Return the e-mail of a client's service account."""
        return (self.accounts or f"client-{{}}@{self.project}.iam.gserviceaccount.com").replace("{}", name)

    def bucket(self, name: str) -> str:
        """Return the bucket that only one client's account may use."""
        return self.buckets.replace("{}", name)

    def content_in(self, bucket: str) -> str:
        """Return the content of the object in a client's bucket."""
        before, _, after = self.buckets.partition("{}")
        return build_content(bucket.removeprefix(before).removesuffix(after))

    def principal(self, subject: str) -> str:
        """Return the IAM member of a subject that acts directly."""
        pool = f"projects/{self.project_number}/locations/global/workloadIdentityPools/{self.pool}"
        return f"principal://iam.googleapis.com/{pool}/subject/{subject}"


def build_content(name: str) -> str:
    """Return the content of the object in the bucket of a client."""
    return f"hello {name}"
