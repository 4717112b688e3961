"""A healthy chain on the emulator, and the ways to break it, for the tests of `refresher doctor`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from refresher.cli.command import select_targets
from refresher.doctor.chain import NAMES
from refresher.doctor.report import Report, Request, check_up
from refresher.emulator.state import Provider
from refresher.emulator.testing import Scenario
from refresher.keys.directory import load_signing_key
from refresher.keys.jose import PrivateKey, SigningKey
from refresher.tokens import compose_jwt
from tests.program import ISSUER, Worker, account_of, secret_in

ALICE, MACHINE, KMS_KEY = (
    account_of("alice"),
    account_of("machine"),
    "projects/my-project/locations/global/keyRings/w/cryptoKeys/k",
)
AUDIENCE = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
POOL = "projects/123456789012/locations/global/workloadIdentityPools/workers"
STS, IMPERSONATE = "sts.token", "iamcredentials.generateAccessToken"


@dataclass
class Site:
    """A worker with a healthy chain of alice, the emulator, and the configuration to be written."""

    worker: Worker
    google: Scenario
    document: dict[str, Any]

    @property
    def provider(self) -> Provider:
        """The settings of the provider."""
        return self.google.state.pools[POOL].providers["refresher"]

    @property
    def directory(self) -> Path:
        """The credentials directory of alice."""
        return self.worker.directory("alice")

    def supply_by_file(self, text: str) -> None:
        """Make a file the supplier's source."""
        path = self.worker.place / "source-token"
        path.write_text(text)
        path.chmod(0o600)
        self.document["suppliers"] = {"worker": {"kind": "file", "path": str(path)}}

    def sign(self, **claims: Any) -> str:  # noqa: ANN401 - any claim
        """Return a token with a new key that the provider knows from now on, with these claims."""
        key = PrivateKey.generate("ES256")
        self.provider.jwks = {"keys": [key.public_jwk]}
        return self.compose(key, **claims)

    def compose(self, key: SigningKey, **claims: Any) -> str:  # noqa: ANN401 - any claim
        """Compose a token of alice with these claims instead of the usual ones; None leaves one out."""
        now = int(datetime.now(UTC).timestamp())
        usual = {"iss": ISSUER, "sub": "user-alice", "aud": AUDIENCE, "iat": now, "exp": now + 3600, **claims}
        known = {name: value for name, value in usual.items() if value is not None}
        return compose_jwt({"alg": "ES256", "kid": key.kid}, known, key.sign)

    def use_machine_account(self) -> None:
        """Add an account of the worker's own, by the metadata server."""
        self.google.add_service_account(MACHINE)
        self.google.state.metadata_account = MACHINE


def configure(site: Site, **more: Any) -> None:  # noqa: ANN401 - any key
    """Set keys of the configuration."""
    site.document |= more


def provider(site: Site, **more: Any) -> None:  # noqa: ANN401 - any key
    """Change the provider in the configuration."""
    site.document["providers"]["main"] |= more


def supplier(site: Site, **more: Any) -> None:  # noqa: ANN401 - any key
    """Replace the supplier."""
    site.document["suppliers"] = {"worker": more}


def identity(site: Site, **more: Any) -> None:  # noqa: ANN401 - any key
    """Change the identity of alice."""
    site.document["identities"]["alice"] |= more


def change(site: Site, **more: Any) -> None:  # noqa: ANN401 - any attribute
    """Change the provider in the emulator."""
    for name, value in more.items():
        setattr(site.provider, name, value)


def fault(operation: str, **what: Any) -> Callable[[Site], object]:  # noqa: ANN401 - any fault
    """Return what makes the next answers of an operation fail."""
    return lambda site: site.google.faults.add(operation, times=20, **what)


def break_yaml(site: Site) -> None:
    """Write a configuration of wrong types."""
    site.document = {"version": [1, "{"]}


def authority(site: Site) -> None:
    """Trust certificates of a file that does not exist."""
    site.document["google"]["ca_file"] = "/nowhere/ca.pem"


def drop_in(site: Site) -> None:
    """Add a drop-in of an unknown identity."""
    site.worker.drop_in("bob", identity="nobody")
    site.document["targets_directory"] = str(site.worker.drop_ins)


def kms(site: Site) -> None:
    """Sign with a key in Cloud KMS."""
    site.use_machine_account()
    key = site.google.add_crypto_key(KMS_KEY, signers=(f"serviceAccount:{MACHINE}",))
    version = {"signer": {"kms": f"{KMS_KEY}/cryptoKeyVersions/1"}}
    supplier(site, kind="self_issued", issuer=ISSUER, **version)
    assert key.versions


def kms_without_role(site: Site) -> None:
    """Sign with a key that the worker may not use."""
    kms(site)
    site.google.state.crypto_keys[KMS_KEY].policy.bindings.clear()


def kms_disabled(site: Site) -> None:
    """Sign with a disabled key version."""
    kms(site)
    site.google.state.crypto_keys[KMS_KEY].versions["1"].state = "DISABLED"


def kms_absent(site: Site) -> None:
    """Sign with a key version that does not exist."""
    kms(site)
    absent = {"signer": {"kms": f"{KMS_KEY}/cryptoKeyVersions/7"}}
    supplier(site, kind="self_issued", issuer=ISSUER, **absent)


def generate(site: Site) -> None:
    """Supply ID tokens of an account that the worker may not ask for."""
    site.use_machine_account()
    site.google.add_service_account(account_of("source"))
    supplier(site, kind="google_id_token", via="generate_id_token")
    identity = {"service_account": ALICE, "source_service_account": account_of("source")}
    site.document["identities"]["alice"] = identity


def sign_jwt(site: Site) -> None:
    """Supply tokens signed by an account that the worker may not use."""
    site.use_machine_account()
    site.google.add_service_account(account_of("signer"))
    supplier(site, kind="sign_jwt", issuer=ISSUER, service_account=account_of("signer"))


def metadata(site: Site) -> None:
    """Supply ID tokens of a machine without an account."""
    site.document["identities"]["alice"] = {"service_account": ALICE}
    supplier(site, kind="google_id_token")


def refresh_keys(site: Site) -> None:
    """Replace the keys of the provider."""
    site.provider.jwks = {"keys": [PrivateKey.generate("ES256").public_jwk]}


def wrong_key(site: Site) -> None:
    """Upload another key with the id of the present one."""
    assert site.provider.jwks is not None
    kid = site.provider.jwks["keys"][0]["kid"]
    site.provider.jwks = {"keys": [PrivateKey.generate("ES256").public_jwk | {"kid": kid}]}


def remove_binding(site: Site) -> None:
    """Remove every binding of alice's account."""
    site.google.state.service_accounts[ALICE].policy.bindings.clear()


def delegate(site: Site) -> None:
    """Go through an account that may do nothing."""
    site.google.add_service_account(account_of("middle"))
    identity(site, delegates=[account_of("middle")])


def disable_service(site: Site, service: str) -> None:
    """Disable an API of the project."""
    site.google.state.projects["my-project"].services.discard(service)


def quota(site: Site) -> None:
    """Use up the quota of exchanges."""
    site.google.quotas.enabled = True
    site.google.quotas.limits["sts.googleapis.com/requests"] = 0


def impersonation_quota(site: Site) -> None:
    """Use up the quota of IAM Credentials."""
    site.google.quotas.enabled = True
    for name in site.google.quotas.limits:
        if name.startswith("iamcredentials"):
            site.google.quotas.limits[name] = 0


def age(site: Site, **claims: Any) -> None:  # noqa: ANN401 - any claim
    """Supply a token with these claims by a file."""
    site.supply_by_file(site.sign(**claims))


def replace_directory(site: Site) -> None:
    """Put a link in the place of the credentials directory."""
    site.directory.rename(site.directory.with_name("elsewhere"))
    site.directory.symlink_to("elsewhere")


def publish(site: Site, name: str, content: str) -> None:
    """Overwrite a published file."""
    path = site.directory / name
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_text(content)
    path.chmod(mode)


def publish_token_of_bob(site: Site) -> None:
    """Publish the token of another subject."""
    publish(site, "token", site.compose(load_signing_key(site.worker.place / "keys"), sub="user-bob"))


def replace_token_by_directory(site: Site) -> None:
    """Put a directory in the place of the token."""
    token = site.directory / "token"
    token.unlink()
    token.mkdir()


def change_identity(site: Site) -> None:
    """Make the identity another subject and account."""
    site.google.allow(account_of("bob"), subject="user-bob")
    identity(site, service_account=account_of("bob"), subject="user-bob")


def silence(site: Site, service: str) -> None:
    """Move a service to an address at which nothing answers."""
    site.document["google"]["endpoints"][service] = "http://127.0.0.1:9"


def check(site: Site, *names: str, is_offline: bool = False) -> Report:
    """Write the configuration, check everything, and return the report; it must not contain a secret."""
    site.worker.write(site.document)
    report = check_up(
        Request(
            path=site.worker.configuration,
            names=names,
            is_offline=is_offline,
            select=select_targets,
            report=lambda *_: None,
        )
    )
    assert secret_in(json.dumps(report.to_json())) is None
    return report


def list_findings(report: Report) -> list[Any]:
    """Return all findings in the order of the chain."""
    found = [*report.worker, *(each for findings in report.targets.values() for each in findings)]
    return sorted(found, key=lambda finding: NAMES.index(finding.link))


def find(report: Report, link: str) -> Any:  # noqa: ANN401 - a finding
    """Return the only finding about a link."""
    (found,) = [finding for finding in list_findings(report) if finding.link == link]
    return found
