"""The emulator's own API, below `/emulator/`: the caller of a token, the journal, the seed, faults, clock, quotas.

Google has nothing like it. Any client that reaches the emulator may use it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from refresher.emulator.authentication import CLOUD_PLATFORM
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.http import Call, Reply, Route, read_texts
from refresher.emulator.metadata_server import FLAVOR
from refresher.emulator.permissions import list_names
from refresher.emulator.seed import apply_seed
from refresher.emulator.tokens import Bearer
from refresher.errors import EmulatorError

NOTICE = "This is the emulator of wif-refresher. It is not Google, and it is not secure.\n"


def show_notice(_cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Show what this server is. The metadata flavor header shows clients that it is a metadata server, too."""
    return Reply(text=NOTICE, headers=FLAVOR)


def show_caller(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Show the caller that the token of the Authorization header authenticates."""
    bearer = cloud.recognise(call.bearer_token() or "")
    if bearer is None:
        raise api_refusal("I10")
    is_federated = bearer.kind == "federated"
    return Reply(
        document={
            "kind": bearer.kind,
            "service_account": bearer.name if bearer.kind == "service_account" else None,
            "principal": bearer.name if is_federated else None,
            "scopes": list(bearer.scopes),
            "expires_at": f"{datetime.fromtimestamp(bearer.expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "members": sorted(list_names(cloud.state, bearer)),
        }
    )


def issue_token(cloud: Cloud, call: Call, _names: Mapping[str, str]) -> Reply:
    """Issue an access token of any user or service account: `{"member": "user:…", "lifetime_seconds": 3600}`."""
    body = call.json()
    kind, _, email = str(body.get("member", "")).partition(":")
    if kind not in ("user", "serviceAccount") or not email:
        raise _refusal("member must be user:EMAIL or serviceAccount:EMAIL")
    bearer = build_bearer(
        cloud, f"{kind}:{email}", _check_number(body.get("lifetime_seconds", 3600)), read_texts(body, "scopes")
    )
    return Reply(
        document={"access_token": cloud.vault.issue(bearer), "expires_in": int(bearer.expires_at - cloud.now())}
    )


def build_bearer(cloud: Cloud, member: str, seconds: float, scopes: list[str] | None = None) -> Bearer:
    """Describe a token of a user or service account, named as in IAM policies."""
    kind, _, email = member.partition(":")
    account = cloud.state.find_service_account(email) if kind == "serviceAccount" else None
    return Bearer(
        kind="service_account" if kind == "serviceAccount" else "user",
        name=email,
        account_id=account.unique_id if account is not None else "",
        expires_at=int(cloud.now() + seconds),
        scopes=tuple(scopes or [CLOUD_PLATFORM]),
    )


def show_journal(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Show the last requests; `?path=TEXT` filters them by path."""
    return Reply(document=[entry.as_document() for entry in cloud.journal.entries(call.query.get("path", ""))])


def clear_journal(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Delete all entries of the journal."""
    cloud.journal.clear()
    return Reply(document={})


def add_seed(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Create the resources that a seed document describes."""
    try:
        apply_seed(cloud.state, call.json(), now=cloud.now())
    except EmulatorError as error:
        raise _refusal(str(error)) from error
    return Reply(document={})


def list_faults(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Show which faults are pending and which were applied."""
    return Reply(document=cloud.faults.as_document())


def add_fault(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Queue a fault: `{"operation": "sts.token", "status": 503, "times": 2}`."""
    body = call.json()
    try:
        cloud.faults.add(str(body.pop("operation", "")), **body)
    except EmulatorError as error:
        raise _refusal(str(error)) from error
    return Reply(document=cloud.faults.as_document())


def clear_faults(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Delete all faults."""
    cloud.faults.clear()
    return Reply(document={})


def show_clock(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Show the cloud's time."""
    return Reply(document={"now": cloud.clock.now().isoformat(), "offset_seconds": cloud.clock.offset.total_seconds()})


def move_clock(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Move the clock: `{"advance_seconds": 3600}`, negative to go back, or `{"offset_seconds": 0}`."""
    body = call.json()
    before = cloud.clock.offset
    try:
        if "offset_seconds" in body:
            cloud.clock.offset = timedelta(seconds=_check_number(body["offset_seconds"]))
        cloud.clock.advance(timedelta(seconds=_check_number(body.get("advance_seconds", 0))))
        cloud.clock.now()
    except OverflowError:
        cloud.clock.offset = before
        raise _refusal("this time is out of range") from None
    cloud.state.settings["clock_offset"] = str(cloud.clock.offset.total_seconds())
    return show_clock(cloud, call, names)


def show_quotas(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Show the quotas."""
    return Reply(document=cloud.quotas.dump())


def set_quotas(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Switch quotas on or off, or change some: `{"enabled": true, "limits": {"sts.googleapis.com/requests": 5}}`."""
    body = call.json()
    limits = body.get("limits", {})
    if not isinstance(limits, dict) or not limits.keys() <= cloud.quotas.limits.keys():
        raise _refusal(f"the names of limits must be among {', '.join(sorted(cloud.quotas.limits))}")
    cloud.quotas.limits.update({name: int(_check_number(limit)) for name, limit in limits.items()})
    cloud.quotas.enabled = body.get("enabled", True) is True
    return show_quotas(cloud, call, names)


def _check_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12:  # noqa: PLR2004 - seconds
        raise _refusal("a number is needed")
    return float(value)


def _refusal(problem: str) -> Refusal:
    return Refusal(400, {"error": {"code": 400, "message": problem, "status": "INVALID_ARGUMENT"}}, "emulator")


ROUTES = (
    Route("emulator.notice", "GET", "/", show_notice),
    Route("emulator.notice", "GET", "/emulator", show_notice),
    Route("emulator.notice", "GET", "/emulator/", show_notice),
    Route("emulator.whoami", "GET", "/emulator/whoami", show_caller),
    Route("emulator.token", "POST", "/emulator/token", issue_token),
    Route("emulator.journal", "GET", "/emulator/journal", show_journal),
    Route("emulator.clearJournal", "DELETE", "/emulator/journal", clear_journal),
    Route("emulator.seed", "POST", "/emulator/seed", add_seed, changes=True),
    Route("emulator.faults", "GET", "/emulator/faults", list_faults),
    Route("emulator.addFault", "POST", "/emulator/faults", add_fault, changes=True),
    Route("emulator.clearFaults", "DELETE", "/emulator/faults", clear_faults, changes=True),
    Route("emulator.clock", "GET", "/emulator/clock", show_clock),
    Route("emulator.moveClock", "POST", "/emulator/clock", move_clock, changes=True),
    Route("emulator.quotas", "GET", "/emulator/quotas", show_quotas),
    Route("emulator.setQuotas", "POST", "/emulator/quotas", set_quotas, changes=True),
)
