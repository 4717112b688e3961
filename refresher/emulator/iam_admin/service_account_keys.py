"""Keys of service accounts that users have: create, upload, read, disable, delete.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys. Two organisation policies refuse new
ones: `iam.disableServiceAccountKeyCreation` and `iam.disableServiceAccountKeyUpload`.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from refresher.emulator.cloud import Cloud
from refresher.emulator.credentials import AccountKey, create_key, read_key
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.fields import format_time
from refresher.emulator.http import Call, Reply, Route, read_text
from refresher.emulator.iam_admin.fields import drop_empty
from refresher.emulator.iam_admin.service_accounts import ACCOUNT, authorize
from refresher.emulator.org_policy import is_enforced
from refresher.emulator.state import ServiceAccount
from refresher.emulator.tokens import dump_key

MOST_KEYS = 10
NO_CREATION = "iam.disableServiceAccountKeyCreation"
NO_UPLOAD = "iam.disableServiceAccountKeyUpload"
_NEVER = "9999-12-31T23:59:59Z"
_FILE = "TYPE_GOOGLE_CREDENTIALS_FILE"
_ALGORITHM = "KEY_ALG_RSA_2048"


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a key; only this answer contains its private half."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccountKeys.create")
    body = call.json()
    if read_text(body, "privateKeyType", _FILE) != _FILE or read_text(body, "keyAlgorithm", _ALGORITHM) != _ALGORITHM:
        raise api_refusal("bad_field", field="private_key_type")
    _check_allowed(cloud, account, NO_CREATION, "Key creation is not allowed on this service account.")
    key_id, key, private = create_key(cloud.now())
    _add(account, key_id, key)
    content = json.dumps(build_key_file(account, key_id, private, cloud.origin), indent=2).encode()
    shown = {"privateKeyType": _FILE, "privateKeyData": base64.b64encode(content).decode()}
    return Reply(document=_document(account, key_id, key) | shown)


def upload(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Store the public key of a certificate that a user created."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccountKeys.create")
    _check_allowed(cloud, account, NO_UPLOAD, "Key upload is not allowed on this service account.")
    try:
        content = base64.b64decode(read_text(call.json(), "publicKeyData"), validate=True).decode()
        key_id, key = read_key(content, cloud.now())
    except ValueError:
        raise api_refusal("bad_field", field="public_key_data") from None
    _add(account, key_id, key)
    return Reply(document=_document(account, key_id, key))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the keys that users have."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccountKeys.list")
    if "SYSTEM_MANAGED" in (value for field, value in call.queries if field == "keyTypes"):
        return Reply(document={})
    keys = [_document(account, key_id, key) for key_id, key in account.keys.items()]
    return Reply(document={"keys": keys} if keys else {})


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a key; with `publicKeyType`, also its public half."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccountKeys.get")
    key = _find(account, names["key"])
    document = _document(account, names["key"], key)
    if call.query.get("publicKeyType") == "TYPE_RAW_PUBLIC_KEY":
        document["publicKeyData"] = base64.b64encode(key.public_key.encode()).decode()
    return Reply(document=document)


def disable(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Disable a key, so that its signatures are refused. Tokens that were issued for it remain valid."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccountKeys.disable")
    _find(account, names["key"]).disabled = True
    return Reply(document={})


def enable(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Enable a key again."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccountKeys.enable")
    _find(account, names["key"]).disabled = False
    return Reply(document={})


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Delete a key for good. Tokens that were issued for it remain valid."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccountKeys.delete")
    _find(account, names["key"])
    del account.keys[names["key"]]
    return Reply(document={})


def build_key_file(account: ServiceAccount, key_id: str, private: RSAPrivateKey, origin: str) -> dict[str, str]:
    """Return the file with which clients ask for tokens at this origin, in Google's form."""
    return {
        "type": "service_account",
        "project_id": account.project,
        "private_key_id": key_id,
        "private_key": dump_key(private),
        "client_email": account.email,
        "client_id": account.unique_id,
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": f"{origin}/token",
        "auth_provider_x509_cert_url": f"{origin}/oauth2/v1/certs",
        "client_x509_cert_url": f"{origin}/robot/v1/metadata/x509/{account.email}",
        "universe_domain": "googleapis.com",
    }


def _check_allowed(cloud: Cloud, account: ServiceAccount, constraint: str, problem: str) -> None:
    if is_enforced(cloud, account.project, constraint):
        refused = api_refusal("precondition", problem=problem)
        violation = {
            "type": f"constraints/{constraint}",
            "subject": f"projects/{account.project}/serviceAccounts/{account.email}?configvalue={account.email}",
            "description": problem,
        }
        details = [{"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [violation]}]
        raise Refusal(refused.status, {"error": refused.document["error"] | {"details": details}}, "precondition")


def _add(account: ServiceAccount, key_id: str, key: AccountKey) -> None:
    if len(account.keys) >= MOST_KEYS:
        raise api_refusal("precondition", problem="Precondition check failed.")
    account.keys[key_id] = key


def _find(account: ServiceAccount, key_id: str) -> AccountKey:
    found = account.keys.get(key_id)
    if found is None:
        raise api_refusal("not_found")
    return found


def _document(account: ServiceAccount, key_id: str, key: AccountKey) -> dict[str, Any]:
    return drop_empty(
        {
            "name": f"projects/{account.project}/serviceAccounts/{account.email}/keys/{key_id}",
            "validAfterTime": format_time(key.created),
            "validBeforeTime": _NEVER,
            "keyAlgorithm": _ALGORITHM,
            "keyOrigin": "USER_PROVIDED" if key.uploaded else "GOOGLE_PROVIDED",
            "keyType": "USER_MANAGED",
            "disabled": key.disabled,
        }
    )


_KEYS = f"{ACCOUNT}/keys"
_KEY = f"{_KEYS}/{{key}}"
_IAM = "iam.serviceAccounts.keys"

ROUTES = (
    Route(f"{_IAM}.create", "POST", _KEYS, create, changes=True),
    Route(f"{_IAM}.upload", "POST", f"{_KEYS}:upload", upload, changes=True),
    Route(f"{_IAM}.list", "GET", _KEYS, list_),
    Route(f"{_IAM}.get", "GET", _KEY, get),
    Route(f"{_IAM}.delete", "DELETE", _KEY, delete, changes=True),
    Route(f"{_IAM}.disable", "POST", f"{_KEY}:disable", disable, changes=True),
    Route(f"{_IAM}.enable", "POST", f"{_KEY}:enable", enable, changes=True),
)
