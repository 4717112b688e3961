"""The keys that Google holds for service accounts, and the documents that publish their public halves.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt. The documents are on
www.googleapis.com, as JWK and as X.509, together with the keys that users have. Google holds one key per account here,
created at its first signature and never rotated.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from refresher.emulator.cloud import Cloud
from refresher.emulator.credentials import load_public_keys
from refresher.emulator.errors import api_refusal
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.state import ServiceAccount
from refresher.emulator.tokens import dump_key, load_key, public_jwk

_VALID_FOR = timedelta(days=730)


def load_or_create_key(cloud: Cloud, account: ServiceAccount) -> rsa.RSAPrivateKey:
    """Return the key of an account. Create and store it if the account has none."""
    if not account.key:
        account.key = dump_key(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        cloud.save()
    return _load(cloud, account.key)


def show_jwks(cloud: Cloud, _call: Call, names: Mapping[str, str]) -> Reply:
    """Publish the keys of an account as a JWKS."""
    return Reply(document={"keys": [public_jwk(key) for key in _keys(cloud, names).values()]})


def show_certificates(cloud: Cloud, _call: Call, names: Mapping[str, str]) -> Reply:
    """Publish the keys of an account as X.509 certificates by key id."""
    account = _find_account(cloud, names["account"])
    signer = load_or_create_key(cloud, account)
    now = cloud.now()
    return Reply(
        document={
            key_id: create_certificate(signer, account.unique_id, now, public=key)
            for key_id, key in _keys(cloud, names).items()
        }
    )


def create_certificate(key: rsa.RSAPrivateKey, name: str, now: float, *, public: rsa.RSAPublicKey | None = None) -> str:
    """Return a new certificate as PEM, signed with a key; by default for its own public half."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.fromtimestamp(now, UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public or key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _VALID_FOR)
        .sign(key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def _keys(cloud: Cloud, names: Mapping[str, str]) -> dict[str, rsa.RSAPublicKey]:
    account = _find_account(cloud, names["account"])
    load_or_create_key(cloud, account)
    return load_public_keys(account.keys, account.key)


def _find_account(cloud: Cloud, name: str) -> ServiceAccount:
    account = cloud.state.find_service_account(name)
    if account is None or account.deleted_at is not None:
        raise api_refusal("not_found")
    return account


def _load(cloud: Cloud, pem: str) -> rsa.RSAPrivateKey:
    found = cloud.loaded_keys.get(pem)
    if found is None:
        found = cloud.loaded_keys[pem] = load_key(pem)  # reading one takes longer than signing a hundred times
    return found


ROUTES = (
    Route("www.jwks", "GET", "/service_accounts/v1/metadata/jwk/{account}", show_jwks),
    Route("www.jwks", "GET", "/service_accounts/v1/jwk/{account}", show_jwks),
    Route("www.certificates", "GET", "/service_accounts/v1/metadata/x509/{account}", show_certificates),
    Route("www.certificates", "GET", "/robot/v1/metadata/x509/{account}", show_certificates),
)
