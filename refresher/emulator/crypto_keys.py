"""Signing keys of Cloud KMS in the emulated cloud: versions with their private halves, and the policy of the key.

`refresher.emulator.cloud_kms` answers the requests for them.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from refresher.emulator.policies import Policy

EC_P256 = "EC_SIGN_P256_SHA256"
RSA_2048 = "RSA_SIGN_PKCS1_2048_SHA256"
ENABLED = "ENABLED"
STATES = (ENABLED, "DISABLED", "DESTROY_SCHEDULED", "DESTROYED", "PENDING_GENERATION")


@dataclass(slots=True, kw_only=True)
class CryptoKeyVersion:
    """One version of a signing key.

    Attributes:
        state: One of `STATES`. Only a version in state `ENABLED` can be used.
        key: The PEM of its private half.
    """

    state: str = ENABLED
    key: str


@dataclass(slots=True, kw_only=True)
class CryptoKey:
    """A key of the purpose ASYMMETRIC_SIGN.

    Attributes:
        project: The id of its project.
        algorithm: The algorithm of all its versions: `EC_P256` or `RSA_2048`.
        versions: By number, as text.
        policy: The IAM policy of the key.
    """

    project: str
    algorithm: str = EC_P256
    versions: dict[str, CryptoKeyVersion] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def add_version(self, number: str = "1", *, state: str = ENABLED) -> CryptoKeyVersion:
        """Return the version of this number. Create it with a new key if it doesn't exist.

        Raises:
            ValueError: The algorithm or the state is unknown.
        """
        if state not in STATES or self.algorithm not in (EC_P256, RSA_2048):
            raise ValueError(state)
        found = self.versions.get(number)
        if found is None:
            found = self.versions[number] = CryptoKeyVersion(key=_generate_key(self.algorithm))
        found.state = state
        return found


def _generate_key(algorithm: str) -> str:
    key = (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == EC_P256
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
