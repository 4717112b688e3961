"""`refresher targets`: add, remove and list targets while the daemon runs; for schedulers."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from refresher import targets
from refresher.cli.command import Duration, clean, config_option, declare, json_option, print_note

_ARTIFACT_HELP = "Also publish an optional artifact: access_token, boto, or id_tokens/NAME=AUDIENCE; may be repeated."


@click.group("targets")
def command() -> None:
    """Add, remove and list targets while the daemon runs; for schedulers."""


@declare("add", example="refresher targets add task-17 --identity alice --owner :1042 --wait")
@config_option
@click.option("--identity", metavar="NAME", help="The identity to act as. Default: the one of the target's own name.")
@click.option("--owner", help="Owner of the files: :GROUP, USER or USER:GROUP. Default: the daemon.")
@click.option("--mode", help="Mode of the files, octal digits as for chmod. Default: 0400; with a group 0440.")
@click.option("--container-directory", metavar="DIR", help="Where the container mounts it. Default: the same path.")
@click.option("--artifact", "artifacts", multiple=True, metavar="ARTIFACT", help=_ARTIFACT_HELP)
@click.option("--netns", metavar="PATH", help="Open a metadata endpoint in this network namespace.")
@click.option("--link-local", is_flag=True, help="With --netns: 169.254.169.254 answers there too.")
@click.option("--environment", metavar="MODE", help="Which variables env holds: files (default), metadata or both.")
@click.option("--replace", is_flag=True, help="Overwrite a drop-in of this name that has another body.")
@click.option("--wait", "is_waiting", is_flag=True, help="Return when the directory is ready.")
@click.option("--timeout", type=Duration(), default="60s", show_default=True, help="With --wait: how long to wait.")
@json_option
@click.argument("name")
def add(
    config: Path,
    name: str,
    *,
    identity: str | None,
    owner: str | None,
    mode: str | None,
    container_directory: str | None,
    artifacts: Sequence[str],
    netns: str | None,
    environment: str | None,
    timeout: timedelta,
    link_local: bool,
    replace: bool,
    is_waiting: bool,
    as_json: bool,
) -> None:
    """Add target NAME by a drop-in, and print its directory.

    The drop-in is checked against the configuration before anything is written. If it exists already with the same
    body, nothing is changed.

    Exit status: 0 added; 2 something is wrong, and nothing was written; 6 not ready in time: the drop-in stays.
    """
    added = targets.add(
        name,
        config=config,
        identity=identity,
        owner=owner,
        mode=mode,
        container_directory=container_directory,
        artifacts=_read_artifacts(artifacts),
        metadata=_read_metadata(netns, link_local=link_local),
        environment=environment,
        replace=replace,
    )
    ready = targets.wait(name, config=config, timeout=timeout) if is_waiting else None
    if not as_json:
        click.echo(clean(str(added.directory)))
        return
    end = ready and ready.expires_at
    more = {"is_new": added.is_new, "is_ready": ready and True, "expires_at": end and f"{end:%FT%TZ}"}
    click.echo(json.dumps({**_compose(added), **more}, indent=2))


@declare("remove", example="refresher targets remove task-17")
@config_option
@click.argument("name")
def remove(config: Path, name: str) -> None:
    """Remove the drop-in of target NAME.

    The file `env` of its directory is removed at once, the other files ten minutes later. Without such a drop-in,
    nothing is changed, and the exit status is 0.
    """
    if not targets.remove(name, config=config):
        print_note(f"there is no drop-in {name}: nothing to remove")


@declare("list", example="refresher targets list --json")
@config_option
@json_option
def list_(config: Path, *, as_json: bool) -> None:
    """List all targets with their directories, and where each is defined. Read-only."""
    found = targets.list_targets(config=config)
    if as_json:
        click.echo(json.dumps({"targets": [_compose(each) for each in found]}, indent=2))
        return
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        place = each.drop_in or config
        click.echo(clean(f"{each.name:{width}}  {each.identity or 'refused'}  {each.directory}  {place}"))
        if each.problem is not None:
            print_note(f"{each.problem} — {each.remedy}")


def _compose(target: targets.Target) -> dict[str, object]:
    """Return the entry of one target in JSON."""
    return {
        "name": target.name,
        "identity": target.identity,
        "directory": str(target.directory),
        "container_directory": target.container_directory,
        "drop_in": target.drop_in and str(target.drop_in),
        "problem": target.problem,
        "remedy": target.remedy,
    }


def _read_metadata(netns: str | None, *, link_local: bool) -> dict[str, object]:
    """Return the endpoint as a configuration file has it."""
    found: dict[str, object] = {} if netns is None else {"netns": netns}
    return found | ({"link_local": True} if link_local else {})


def _read_artifacts(asked: Sequence[str]) -> dict[str, object]:
    """Return optional artifacts as a configuration file has them; what is wrong with them is found out there."""
    found: dict[str, object] = {}
    id_tokens: dict[str, object] = {}
    for each in asked:
        name, _, audience = each.partition("=")
        folder, _, file = name.partition("/")
        if file or audience:
            found[folder] = id_tokens
            id_tokens[file] = {"audience": audience}
        else:
            found[name] = True
    return found


for _child in (add, remove, list_):
    command.add_command(_child)
