"""The metadata server of a Compute Engine machine, `http://metadata.google.internal/computeMetadata/v1/…`.

https://cloud.google.com/compute/docs/metadata/overview. As on real machines, access tokens are cached until five
minutes before their expiry; identity tokens are issued for each request. Clients detect a metadata server by the flavor
header in the answers to `/` and to `instance`.
"""

from collections.abc import Mapping

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.iam_credentials import build_id_token_claims
from refresher.emulator.state import ServiceAccount
from refresher.emulator.tokens import Bearer

CACHED_UNTIL = 300
"""Until this many seconds before its expiry, each request gets the same access token."""

LIFE = 3600
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
INSTANCE_ID = "4207849484203875001"
INSTANCE_NAME = "emulator"
ZONE = "europe-west1-b"
FLAVOR = {"metadata-flavor": "Google", "server": "Metadata Server for VM"}
"""Headers of every answer of a metadata server."""


def show_access_token(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Return the machine's access token, the same one while it is cached."""
    account = _find_account(cloud, call, names)
    now = int(cloud.now())
    token, expires_at = cloud.metadata_tokens.get(account.unique_id, ("", 0))
    if expires_at - now <= CACHED_UNTIL:
        expires_at = now + LIFE
        bearer = Bearer(
            kind="service_account",
            name=account.email,
            expires_at=expires_at,
            scopes=(SCOPE,),
            account_id=account.unique_id,
        )
        token = cloud.vault.issue(bearer)
        cloud.metadata_tokens[account.unique_id] = (token, expires_at)
    return _reply_json({"access_token": token, "expires_in": expires_at - now, "token_type": "Bearer"})


def show_id_token(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Return an ID token of the machine's account for an audience."""
    account = _find_account(cloud, call, names)
    audience = call.query.get("audience", "")
    if not audience:
        raise _refusal(400, "non-empty audience parameter required")
    form = call.query.get("format", "standard")
    if form not in ("standard", "full"):
        raise _refusal(400, "format must be standard or full")
    is_full = form == "full"
    claims = build_id_token_claims(cloud, account, audience, with_email=is_full)
    if is_full:
        claims["google"] = {"compute_engine": _describe_machine(cloud)}
    return _reply_text(cloud.vault.sign_id_token(claims))


def describe_account(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the machine's account, or describe it with `recursive=true`."""
    account = _find_account(cloud, call, names)
    if call.query.get("recursive", "").lower() != "true":
        return _reply_text("aliases\nemail\nidentity\nscopes\ntoken\n")
    return _reply_json({"aliases": ["default"], "email": account.email, "scopes": [SCOPE]})


def list_accounts(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """List the accounts of the machine."""
    _check_headers(call)
    email = cloud.state.metadata_account
    return _reply_text(f"default/\n{email}/\n" if email else "")


def show_email(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Return the e-mail of the machine's account."""
    return _reply_text(_find_account(cloud, call, names).email)


def show_scopes(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Return the access scopes of the machine."""
    _find_account(cloud, call, names)
    return _reply_text(f"{SCOPE}\n")


def list_instance(_cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """List the entries of the machine."""
    _check_headers(call)
    return _reply_text("id\nname\nservice-accounts/\nzone\n")


def show_instance_id(_cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Return the machine's number."""
    _check_headers(call)
    return _reply_text(INSTANCE_ID)


def show_instance_name(_cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Return the machine's name."""
    _check_headers(call)
    return _reply_text(INSTANCE_NAME)


def show_zone(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Return the machine's zone, as a resource name with the project's number."""
    _check_headers(call)
    return _reply_text(f"projects/{next(iter(cloud.state.projects.values())).number}/zones/{ZONE}")


def show_project_id(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Return the id of the machine's project."""
    _check_headers(call)
    return _reply_text(next(iter(cloud.state.projects)))


def show_project_number(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Return the number of the machine's project."""
    _check_headers(call)
    return _reply_text(next(iter(cloud.state.projects.values())).number)


def show_universe_domain(_cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Return the universe domain."""
    _check_headers(call)
    return _reply_text("googleapis.com")


def _describe_machine(cloud: Cloud) -> dict[str, object]:
    project, found = next(iter(cloud.state.projects.items()))
    return {
        "instance_creation_timestamp": int(cloud.now()) - 3600,
        "instance_id": INSTANCE_ID,
        "instance_name": INSTANCE_NAME,
        "project_id": project,
        "project_number": int(found.number) if found.number.isdecimal() else 0,
        "zone": ZONE,
    }


def _find_account(cloud: Cloud, call: Call, names: Mapping[str, str]) -> ServiceAccount:
    """Return the machine's only account; its name in the path is `default` or its e-mail."""
    _check_headers(call)
    account = cloud.state.service_accounts.get(cloud.state.metadata_account or "")
    if account is None or not account.is_usable or names["account"] not in ("default", account.email):
        raise _refusal(404, "The requested URL was not found on this server.")
    return account


def _check_headers(call: Call) -> None:
    if call.headers.get("metadata-flavor") != "Google":
        raise _refusal(403, "Missing Metadata-Flavor:Google header.")
    if "x-forwarded-for" in call.headers:
        raise _refusal(403, "Metadata server requests must not carry X-Forwarded-For.")


def _refusal(status: int, text: str) -> Refusal:
    return Refusal(status, {"error": text}, "metadata", headers=FLAVOR)


def _reply_json(document: dict[str, object]) -> Reply:
    return Reply(document=document, headers=FLAVOR)


def _reply_text(text: str) -> Reply:
    return Reply(text=text, headers=FLAVOR)


_INSTANCE = "/computeMetadata/v1/instance"
_ACCOUNTS = f"{_INSTANCE}/service-accounts"
_PROJECT = "/computeMetadata/v1/project"
_UNIVERSE = "/computeMetadata/v1/universe"

ROUTES = (
    Route("metadata.token", "GET", f"{_ACCOUNTS}/{{account}}/token", show_access_token),
    Route("metadata.identity", "GET", f"{_ACCOUNTS}/{{account}}/identity", show_id_token),
    Route("metadata.email", "GET", f"{_ACCOUNTS}/{{account}}/email", show_email),
    Route("metadata.scopes", "GET", f"{_ACCOUNTS}/{{account}}/scopes", show_scopes),
    Route("metadata.account", "GET", f"{_ACCOUNTS}/{{account}}/", describe_account),
    Route("metadata.account", "GET", f"{_ACCOUNTS}/{{account}}", describe_account),
    Route("metadata.accounts", "GET", f"{_ACCOUNTS}/", list_accounts),
    Route("metadata.accounts", "GET", _ACCOUNTS, list_accounts),
    Route("metadata.instance", "GET", f"{_INSTANCE}/", list_instance),
    Route("metadata.instance", "GET", _INSTANCE, list_instance),
    Route("metadata.instance", "GET", f"{_INSTANCE}/id", show_instance_id),
    Route("metadata.instance", "GET", f"{_INSTANCE}/name", show_instance_name),
    Route("metadata.instance", "GET", f"{_INSTANCE}/zone", show_zone),
    Route("metadata.project", "GET", f"{_PROJECT}/project-id", show_project_id),
    Route("metadata.project", "GET", f"{_PROJECT}/numeric-project-id", show_project_number),
    Route("metadata.universe", "GET", f"{_UNIVERSE}/universe-domain", show_universe_domain),
    Route("metadata.universe", "GET", f"{_UNIVERSE}/universe_domain", show_universe_domain),
)
