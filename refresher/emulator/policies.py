"""IAM policies: bindings of roles to members, with conditions and etags.

https://cloud.google.com/iam/docs/reference/rest/v1/Policy. `refresher.emulator.permissions` decides what a policy
grants, `refresher.emulator.policy_changes` what it may contain.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

EMPTY_ETAG = "ACAB"
_ONE_ALPHABET = str.maketrans("-_", "+/")


def is_same_etag(given: str, known: str) -> bool:
    """Return whether two etags are the same bytes.

    They are base64, and JSON of protocol buffers may have either alphabet, with or without padding: gcloud sends back
    the one that is safe in URLs (https://protobuf.dev/programming-guides/json/).
    """
    return given.translate(_ONE_ALPHABET).rstrip("=") == known.translate(_ONE_ALPHABET).rstrip("=")


@dataclass(slots=True, kw_only=True)
class Binding:
    """One role, its members, and a condition.

    Attributes:
        role: The name of the role.
        members: In the form of IAM policies.
        condition: `title`, `description` and the CEL `expression`; None if the binding always applies.
    """

    role: str
    members: set[str] = field(default_factory=set)
    condition: dict[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class Policy:
    """The allow policy of one resource.

    Attributes:
        bindings: Which members have which roles.
        audit_configs: Which Data Access logs are written, as in the API; for projects only.
    """

    bindings: list[Binding] = field(default_factory=list)
    audit_configs: list[dict[str, Any]] = field(default_factory=list)

    def allow(self, role: str, member: str) -> None:
        """Grant a role to a member, without a condition."""
        for binding in self.bindings:
            if binding.role == role and binding.condition is None:
                binding.members.add(member)
                return
        self.bindings.append(Binding(role=role, members={member}))

    @property
    def etag(self) -> str:
        """A hash of the content: equal policies have equal etags."""
        if not self.bindings and not self.audit_configs:
            return EMPTY_ETAG
        content = json.dumps(self._content(), sort_keys=True).encode()
        return base64.b64encode(b"\x07" + hashlib.sha256(content).digest()[:7]).decode()

    def as_document(self) -> dict[str, Any]:
        """Return the policy as the API shows it."""
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
