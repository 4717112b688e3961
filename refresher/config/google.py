"""Which Google is called: the universe, and origins other than its own, as keys of the configuration."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import Field

from refresher.settings import fields, values
from refresher.settings.model import Settings
from refresher.settings.places import Problem
from refresher.text import quote

_METADATA_HOSTS = frozenset(["metadata.google.internal", "169.254.169.254", "fd20:ce::254"])
_LOOPBACK = r"localhost|127(?:\.[0-9]{1,3}){3}|::1"


class EndpointSettings(Settings):
    """Origins of Google's services: SCHEME://HOST[:PORT], without a path."""

    sts: fields.Origin | None = Field(default=None, description="Security Token Service.")
    iam_credentials: fields.Origin | None = Field(default=None, description="IAM Service Account Credentials API.")
    cloud_kms: fields.Origin | None = Field(default=None, description="Cloud KMS API.")
    metadata: fields.Origin | None = Field(default=None, description="Metadata server.")


class GoogleSettings(Settings):
    """Google endpoints and universe: only for another universe, a regional STS, or the emulator."""

    universe_domain: fields.UniverseDomain = Field(default="googleapis.com", description="Default: googleapis.com.")
    endpoints: EndpointSettings = Field(
        default_factory=EndpointSettings.make_default, description="Origins other than the universe's own."
    )
    ca_file: values.AbsolutePath | None = Field(
        default=None,
        description="Further certificates to trust for those endpoints; relative to the file that names it.",
    )
    emulator: values.Flag = Field(
        default=False, description="Needed for any origin outside the universe domain; plain http only on loopback."
    )

    def check(self) -> Iterator[Problem]:
        """Check each origin: only an emulator is outside the universe, and plain http stays on the loopback."""
        for key, origin in self.endpoints:
            parts = urlsplit(origin or "")
            host = parts.hostname or ""
            if origin is None or (key == "metadata" and host in _METADATA_HOSTS):
                continue
            if not host.endswith("." + self.universe_domain.lower()) and not self.emulator:
                clause = f"is {quote(origin)}, which is not below {self.universe_domain}"
                yield self.problem(clause, "fix it, or add emulator: true below google:", "endpoints", key)
            # the metadata server alone speaks plain http by nature
            if parts.scheme == "http" and key != "metadata" and not re.fullmatch(_LOOPBACK, host):
                yield self.problem(f"is {quote(origin)}, plain http beyond the loopback", "use https", "endpoints", key)
