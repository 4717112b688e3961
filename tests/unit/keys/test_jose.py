from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import jwt
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, RSAKey

from refresher.keys.directory import create, load_signing_key, read_jwks
from refresher.keys.jose import PrivateKey
from refresher.suppliers.interface import SupplierContext
from refresher.suppliers.self_issued import SelfIssuedSettings, SelfIssuedSupplier
from tests.tokens import AUDIENCE, ISSUER, NOW

if TYPE_CHECKING:
    from pathlib import Path

ALGORITHMS = pytest.mark.parametrize("algorithm", ["ES256", "RS256"])


def minted(key: PrivateKey) -> str:
    """Return a token signed with a key."""
    fields = {"kind": "self_issued", "issuer": ISSUER, "keys": "/keys", "claims": {"worker": "w-17"}}
    supplier = SelfIssuedSupplier(SelfIssuedSettings.model_validate(fields), lambda _now: key, lambda: "unique")
    return supplier.supply(SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE), NOW).value


@ALGORITHMS
def test_two_libraries_verify_every_token(tmp_path: Path, algorithm: str) -> None:
    """Our tokens are verified by PyJWT and by joserfc, with nothing but the JWKS that we publish."""
    create(tmp_path / "keys", algorithm=algorithm, now=NOW)
    token = minted(load_signing_key(tmp_path / "keys"))
    document = json.loads(json.dumps(read_jwks(tmp_path / "keys")))

    public = jwt.PyJWKSet.from_dict(document)[jwt.get_unverified_header(token)["kid"]]
    by_pyjwt = jwt.decode(
        token, public, algorithms=[algorithm], audience=AUDIENCE, options={"verify_exp": False, "verify_iat": False}
    )
    by_joserfc = jws.deserialize_compact(token, KeySet.import_key_set(document), algorithms=[algorithm])

    assert by_pyjwt == json.loads(by_joserfc.payload)
    assert (by_pyjwt["sub"], by_pyjwt["worker"], by_pyjwt["jti"]) == ("user-1", "w-17", "unique")


@ALGORITHMS
def test_key_id_is_the_thumbprint(algorithm: str) -> None:
    """The key id equals the RFC 7638 thumbprint that joserfc computes."""
    key = PrivateKey.generate(algorithm)
    kind = ECKey if algorithm == "ES256" else RSAKey

    assert kind.import_key(dict(key.public_jwk)).thumbprint() == key.kid


@ALGORITHMS
def test_changed_token_is_not_verified(algorithm: str) -> None:
    """A token of another key is refused, so that the verification above is not empty."""
    token = minted(PrivateKey.generate(algorithm))
    other = jwt.PyJWK.from_dict(dict(PrivateKey.generate(algorithm).public_jwk))

    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, other, algorithms=[algorithm], audience=AUDIENCE, options={"verify_exp": False})


def test_signatures_keep_leading_zeros() -> None:
    """An ES256 signature has 64 bytes, even if a half begins with zeros (one in 128 does)."""
    key = PrivateKey.generate("ES256")

    signatures = [key.sign(b"%d" % number) for number in range(600)]

    assert {len(signature) for signature in signatures} == {64}
    assert any(0 in (signature[0], signature[32]) for signature in signatures)


def test_reading_the_registry_needs_no_cryptography() -> None:
    """Reading which keys are published imports neither cryptography nor a JOSE library."""
    program = "import sys, refresher.keys.registry; print(*{name.partition('.')[0] for name in sys.modules})"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not {"cryptography", "joserfc", "jwt", "google", "urllib3"} & set(done.stdout.split())
