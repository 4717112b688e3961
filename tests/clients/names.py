"""What things are called in the cloud that the clients meet: as in our emulator, if the environment says nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tests.program import ISSUER, PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "REFRESHER_CLIENTS_"
"""Of the variables, which have the names of the attributes in capitals."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of what exists there.

    Attributes:
        project: Id of the project.
        project_number: Its number.
        pool: The workload identity pool.
        provider: Its provider.
        issuer: Whom that provider trusts.
        accounts: A client's service account, with `{}` where the client's name belongs; by default of that project.
        buckets: A client's bucket, likewise.
    """

    project: str = PROJECT
    project_number: str = "123456789012"
    pool: str = "workers"
    provider: str = "refresher"
    issuer: str = ISSUER
    accounts: str = ""
    buckets: str = "{}-data"

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Names:
        """Give the names that the environment says."""
        said = {field.name: environment.get(f"{PREFIX}{field.name.upper()}") for field in fields(cls)}
        return cls(**{name: value for name, value in said.items() if value})

    def account(self, name: str) -> str:
        """Give the e-mail of a client's service account."""
        return (self.accounts or f"{{}}@{self.project}.iam.gserviceaccount.com").replace("{}", name)

    def bucket(self, name: str) -> str:
        """Give the bucket that one client's account may use and no other."""
        return self.buckets.replace("{}", name)

    def content_in(self, bucket: str) -> str:
        """Give what the object in a client's bucket holds."""
        before, _, after = self.buckets.partition("{}")
        return content_of(bucket.removeprefix(before).removesuffix(after))

    def principal(self, subject: str) -> str:
        """Give the member that a subject is when it acts directly."""
        pool = f"projects/{self.project_number}/locations/global/workloadIdentityPools/{self.pool}"
        return f"principal://iam.googleapis.com/{pool}/subject/{subject}"


def content_of(name: str) -> str:
    """Give what the object in the bucket of a client holds."""
    return f"hello {name}"
