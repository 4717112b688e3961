"""Signing keys of Cloud KMS as the emulated cloud holds them: versions with their private halves, and who may use them.

What they answer is decided in `refresher.emulator.cloud_kms`.
"""

from __future__ import annotations

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
        state: `ENABLED`, or another of `STATES`, in which it answers nothing.
        key: The PEM of its private half.
    """

    state: str = ENABLED
    key: str


@dataclass(slots=True, kw_only=True)
class CryptoKey:
    """A key of the purpose ASYMMETRIC_SIGN.

    Attributes:
        project: Id of its project.
        algorithm: Of all its versions: `EC_P256` or `RSA_2048`.
        versions: By number, as text.
        policy: Who may use it.
    """

    project: str
    algorithm: str = EC_P256
    versions: dict[str, CryptoKeyVersion] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def add_version(self, number: str = "1", *, state: str = ENABLED) -> CryptoKeyVersion:
        """Make a version with a new key, or give the one that is there.

        Raises:
            ValueError: There is no such algorithm or state.
        """
        if state not in STATES or self.algorithm not in (EC_P256, RSA_2048):
            raise ValueError(state)
        found = self.versions.get(number)
        if found is None:
            found = self.versions[number] = CryptoKeyVersion(key=_new_key(self.algorithm))
        found.state = state
        return found


def _new_key(algorithm: str) -> str:
    key = (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == EC_P256
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
