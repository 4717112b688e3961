"""IAM policies: bindings of roles to members, with conditions and etags.

https://cloud.google.com/iam/docs/reference/rest/v1/Policy. What a policy grants is decided in
`refresher.emulator.permissions`, what may be written into one in `refresher.emulator.policy_changes`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

EMPTY_ETAG = "ACAB"


@dataclass(slots=True, kw_only=True)
class Binding:
    """One role, whom it is granted to, and when.

    Attributes:
        role: Its name.
        members: As IAM policies name them.
        condition: `title`, `description` and the CEL `expression`; None if it always holds.
    """

    role: str
    members: set[str] = field(default_factory=set)
    condition: dict[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class Policy:
    """The allow policy of one resource.

    Attributes:
        bindings: Who may do what.
        audit_configs: Which Data Access logs are written, as in the API; of projects only.
    """

    bindings: list[Binding] = field(default_factory=list)
    audit_configs: list[dict[str, Any]] = field(default_factory=list)

    def allow(self, role: str, member: str) -> None:
        """Grant a role to a member, always."""
        for binding in self.bindings:
            if binding.role == role and binding.condition is None:
                binding.members.add(member)
                return
        self.bindings.append(Binding(role=role, members={member}))

    @property
    def etag(self) -> str:
        """Tells whether two policies are the same."""
        if not self.bindings and not self.audit_configs:
            return EMPTY_ETAG
        content = json.dumps(self._content(), sort_keys=True).encode()
        return base64.b64encode(b"\x07" + hashlib.sha256(content).digest()[:7]).decode()

    def as_document(self) -> dict[str, Any]:
        """Give the policy as the API shows it."""
        document = self._content() | {"etag": self.etag}
        if self.bindings:
            document["version"] = 3 if any(binding.condition for binding in self.bindings) else 1
        return document

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = {}
        if self.bindings:
            content["bindings"] = [
                {"role": binding.role, "members": sorted(binding.members)}
                | ({"condition": binding.condition} if binding.condition else {})
                for binding in self.bindings
            ]
        if self.audit_configs:
            content["auditConfigs"] = self.audit_configs
        return content
