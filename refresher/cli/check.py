"""`refresher check`: check and explain the configuration; changes nothing."""

import json
from pathlib import Path
from typing import Any

import click

from refresher.app.explanation import explain, list_faults, list_root_faults
from refresher.app.refresh_faults import keeps_from_renewing
from refresher.cli.command import clean, config_option, declare, json_option, load_configuration, print_warnings
from refresher.resources import CREATOR_ROLE

_NOT_FINE = (
    "the configuration is valid, but the daemon can't refresh tokens before what the warnings name is fixed; the exit "
    "status judges the configuration alone"
)
_FEW = 3
"""Identities that a line names."""
_ENVIRONMENTS = {"metadata": "the metadata endpoint", "both": "the files and the metadata endpoint"}


@declare("check", example="refresher check --config refresher.yaml")
@config_option
@json_option
def command(config: Path, *, as_json: bool) -> None:
    """Check the configuration, report every mistake at once, and explain what it means.

    Warnings go to standard error and do not change the exit status, which judges the configuration alone. The last line
    is only `fine` if none of them keeps the daemon from refreshing tokens.
    """
    loaded = load_configuration(config, strict=True)
    unwritable = list(list_root_faults(loaded))
    faults = [*unwritable, *list_faults(loaded)]
    warnings = list(dict.fromkeys(str(each) for each in (*loaded.warnings, *faults)))
    print_warnings(warnings)
    explained = explain(loaded)
    if as_json:
        click.echo(json.dumps(explained, indent=2))
        return
    targets, google, listen = explained["targets"], explained["google"], explained["listen"]
    places = dict.fromkeys((google["sts"], google["iam_credentials"]))
    lines = [line for target in targets for line in _describe(target)]
    lines.append(f"Google is {google['universe_domain']}: {', '.join(places)}")
    if listen:
        lines.append(f"the daemon answers HTTP on {listen}: status page, probes, metrics")
    lines += _describe_canary(explained["canary"])
    planned = explained["exchanges_per_minute"]
    if any(target["provider"] for target in targets):
        lines.append(
            f"expect about {sum(planned.values()):.1f} exchanges a minute: {planned['canary']:.1f} of the canary, "
            f"{planned['artifacts']:.1f} for optional artifacts, {planned['clients']:.1f} of clients, one in each "
            "container"
        )
    lines += [line for grants in explained["worker"] for line in _describe_grants(grants)]
    counts = [(len(targets), "target"), (len(warnings), "warning")]
    counted = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count or noun == "target"]
    is_fine = not unwritable and not any(map(keeps_from_renewing, faults))
    note = "" if is_fine else f": {_NOT_FINE}"
    lines.append(f"{config}: {'fine' if is_fine else 'not fine'}, {', '.join(counted)}{note}")
    click.echo(clean("\n".join(lines)))


def _describe(target: dict[str, Any]) -> list[str]:
    account = target["service_account"] or "itself (direct access)"
    if target["via"] == "impersonation":
        return _describe_without_pool(target)
    subject = f"subject {target['subject']}" if target["subject"] else "a subject that the supplier chooses"
    is_usual = target["audience"] == f"https://iam.googleapis.com/{target['provider']}"
    audience = "" if is_usual else f", with token audience {target['audience']}"
    lines = [
        f"{target['name']}: acts as {account}, proved by {subject}, from {target['supplier']} ({target['kind']})",
        f"  accepted by {target['provider']}{audience}",
        f"  in {target['directory']}, seen as {target['container_directory']}",
        f"  files of {target['owner'] or 'the daemon'} with mode {target['mode']}",
    ]
    if target["artifacts"]:
        lines.append(f"  optional artifacts: {', '.join(target['artifacts'])}")
    if target["environment"] != "files":
        lines.append(f"  env holds the variables of: {_ENVIRONMENTS[target['environment']]}")
    if target["lifetime"]:
        lines.append(
            f"  tokens live {target['lifetime']}; if the issuer stops, clients work at least {target['least_runway']}"
        )
    return lines


def _describe_without_pool(target: dict[str, Any]) -> list[str]:
    lines = [
        f"{target['name']}: acts as {target['service_account']}, impersonated by the worker (no pool)",
        f"  in {target['directory']}, seen as {target['container_directory']}",
        f"  files of {target['owner'] or 'the daemon'} with mode {target['mode']}",
        f"  minted with the worker's own credentials: {', '.join(target['artifacts'])}",
    ]
    if target["environment"] != "files":
        lines.append(f"  env holds the variables of: {_ENVIRONMENTS[target['environment']]}")
    if target["metadata"] is None:
        lines.append("  gcloud and bq read the access token; client libraries need metadata: to be set")
    lines.append(
        f"  tokens live {target['lifetime']}; if Google stops answering, clients work at least {target['least_runway']}"
    )
    return lines


def _describe_grants(grants: dict[str, Any]) -> list[str]:
    """Return what the worker's own account must hold, with the commands, and what follows from it."""
    accounts, commands = grants["accounts"], grants["commands"]
    count, each = ("1 service account", "it") if len(accounts) == 1 else (f"{len(accounts)} service accounts", "each")
    chain = " (on the first delegate of a chain)" if len(commands) > len(accounts) else ""
    lines = [
        f"without a pool, {grants['principal']} acts as {count}; it must hold {CREATOR_ROLE} on {each}{chain}:",
        f"  {grants['find_account']}",
        *(f"  {command}" for command in commands[:_FEW]),
    ]
    if len(commands) > _FEW:
        lines.append(f"  and {len(commands) - _FEW} more, which --json lists")
    lines += [
        f"  a process that takes over this worker, or reaches these credentials, can act as {each} too: grant the role",
        "  on accounts only, never on a project, and block the metadata server for containers (docs/isolation.md)",
    ]
    return lines


def _describe_canary(intervals: dict[str, str]) -> list[str]:
    """Return how often each identity is probed: one line for each interval that identities share."""
    sharing: dict[str, list[str]] = {}
    for name, interval in intervals.items():
        sharing.setdefault(interval, []).append(name)
    return [
        f"the canary asks Google every {interval} whether it still accepts {', '.join(names[:_FEW])}"
        + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")
        for interval, names in sharing.items()
    ] or ["the canary is off: nothing shows that Google refuses what the files hold"]
