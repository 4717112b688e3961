"""What the operator has configured: the truth that the product is compared with, and the files it is written to."""

import os
from dataclasses import dataclass, field

from tests.simulation.kernel import KERNEL
from tests.simulation.modules import SimulatedPath

CONFIGURATION = "/etc/refresher/refresher.yaml"
DROP_INS = "/etc/refresher/targets.d"
KEYS = "/var/lib/refresher/keys"
ROOT = "/run/refresher"
SIGNER_HOSTS = ("iamcredentials.googleapis.com", "metadata.google.internal")
STS_HOST = "sts.googleapis.com"
ACCOUNT = "{}@my-project.iam.gserviceaccount.com"


@dataclass
class IdentityModel:
    """One identity; the version changes whom its tokens speak for."""

    name: str
    supplier: str
    version: int = 1

    @property
    def subject(self) -> str:
        """Its claim `sub`, which shows the name."""
        return f"{self.name}.{self.version}"


@dataclass
class TargetModel:
    """One target, in the main file or in a drop-in."""

    name: str
    identity: str
    is_drop_in: bool = False
    has_access_token: bool = False

    @property
    def body(self) -> str:
        """Its body as YAML."""
        artifacts = ", artifacts: {access_token: true}" if self.has_access_token else ""
        return f"{{identity: {self.identity}{artifacts}}}"


@dataclass
class Site:
    """The whole configuration."""

    life: int
    has_canary: bool = False
    identities: dict[str, IdentityModel] = field(default_factory=dict)
    targets: dict[str, TargetModel] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that suppliers ask."""
        return SIGNER_HOSTS

    def list_scopes(self, name: str) -> tuple[str, ...]:
        """Return what troubles of a target's can be noted by: its name, and the hosts that its supplier asks."""
        target = self.targets.get(name)
        if target is None:
            return (name,)
        supplier = self.identities[target.identity].supplier
        return (name, *(SIGNER_HOSTS if supplier == "signed" else (f"supplier {supplier}",)))

    def get_subject(self, name: str) -> str:
        """Return the subject that a target's token is to have."""
        return self.identities[self.targets[name].identity].subject

    def render(self) -> str:
        """Return the main file."""
        identities = ", ".join(
            f"{each.name}: {{supplier: {each.supplier}, subject: {each.subject}, "
            f"service_account: {ACCOUNT.format(each.name)}}}"
            for each in self.identities.values()
        )
        targets = ", ".join(f"{each.name}: {each.body}" for each in self.targets.values() if not each.is_drop_in)
        return f"""\
version: 1
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
suppliers:
  own: {{kind: self_issued, issuer: https://workers.example.com, keys: {KEYS}, lifetime: {self.life}s}}
  signed: {{kind: sign_jwt, issuer: https://signer.example.com, service_account: {ACCOUNT.format("signer")},
           lifetime: {self.life}s}}
directory_root: {ROOT}
targets_directory: {DROP_INS}
listen: none
{"" if self.has_canary else "canary: off"}
identities: {{{identities}}}
targets: {{{targets}}}
"""

    def write(self) -> None:
        """Write the main file as an editor does: whole, and synchronised."""
        write_file(CONFIGURATION, self.render())


def write_file(path: str, text: str) -> None:
    """Replace a file by another one, and synchronise it."""
    around = SimulatedPath(path).parent
    around.mkdir(mode=0o755, parents=True, exist_ok=True)
    fresh = f"{path}.new"
    descriptor = KERNEL.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    KERNEL.write(descriptor, text.encode())
    KERNEL.fsync(descriptor)
    KERNEL.close(descriptor)
    KERNEL.rename(fresh, path)
    synchronise(str(around))


def synchronise(directory: str) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = KERNEL.open(directory, os.O_RDONLY)
    KERNEL.fsync(descriptor)
    KERNEL.close(descriptor)
