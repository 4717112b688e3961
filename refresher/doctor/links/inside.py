"""The links of the container's side: the files as its user sees them, its variables, and what it reaches."""

from refresher.doctor.diagnosis import Finding, State, ok, skip
from refresher.doctor.facts import Facts
from refresher.doctor.links.host import FILE
from refresher.doctor.sight import Sight, Thing
from refresher.errors import ExitStatus, UsageError
from refresher.text import escape, redact

CONTAINER, VARIABLES, METADATA, NETWORK = "container", "variables", "metadata server", "network"
_STAGE = ExitStatus.NOT_READY
_MAIN = ("GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE")
"""The variables that most clients need: the first of them that `env` holds."""
_KINDS = {
    "absent": "nothing is there",
    "denied": "permission is denied",
    "other": "it is not a regular file",
    "directory": "it is a directory",
    "large": "it is too large",
    "error": "it can't be read",
}


def _name_facts(facts: Facts) -> dict[str, str]:
    return {"directory": str(facts.target.directory.path), "container_directory": facts.container_directory}


def judge_container(facts: Facts) -> Finding:
    """Check the files as the container's user sees them, against those of the host."""
    sight, place = facts.sight, facts.container_directory
    if not isinstance(sight, Sight):
        return _skip(CONTAINER, sight) if isinstance(sight, str) else Finding.of_error(CONTAINER, sight, State.UNKNOWN)
    found = _judge_mount(facts, sight) or _judge_directory(facts, sight)
    found = found or _judge_rights(facts, sight) or _judge_token(facts, sight)
    if found is None and sight.whole:
        evidence = f"directory_root {facts.target.directory.root} is mounted at {escape(sight.whole)}"
        return _fail(facts, "mount-root", evidence, State.WARNING)
    return found or ok(CONTAINER, f"uid {sight.uid} reads {place}/{facts.target.leading}, as published")


def _skip(link: str, sight: str | UsageError) -> Finding:
    return skip(link, sight if isinstance(sight, str) else f"because the container is not looked into: see {CONTAINER}")


def _fail(facts: Facts, entry: str, evidence: str, state: State = State.FAILED) -> Finding:
    return Finding.of_entry(CONTAINER, entry, evidence, _name_facts(facts), stage=_STAGE, state=state)


def _has_ours(facts: Facts, sight: Sight) -> bool:
    """Return whether the directory in the container is the one of the host."""
    host, _ = facts.published
    return (sight.directory.device, sight.directory.inode) == (host.device, host.inode)


def _judge_mount(facts: Facts, sight: Sight) -> Finding | None:
    place = facts.container_directory
    if sight.is_hanging:
        return _fail(facts, "mount-hangs", f"looking at {place} did not end within 5 s")
    if sight.alone:
        return _fail(
            facts, "mount-file", f"mounted by itself: {', '.join(f'{place}/{escape(name)}' for name in sight.alone)}"
        )
    if sight.is_replaced:
        return _fail(facts, "mount-deleted", f"{place} is a mount of a directory that was removed")
    if sight.directory.kind in ("absent", "other", "file"):
        return _fail(facts, "mount-absent", f"{place}: {_KINDS.get(sight.directory.kind, 'it is a file')}")
    return None


def _judge_directory(facts: Facts, sight: Sight) -> Finding | None:
    """Return whose other directory the container has: owner and mode of its files fit that target, and not this one."""
    place, directory = facts.container_directory, facts.target.directory.path
    if sight.directory.kind == "directory" and sight.directory.links == 0:
        return _fail(facts, "mount-deleted", f"{place} is a directory that was removed")
    if not sight.target or _has_ours(facts, sight):
        return None
    if sight.target == facts.target.name:
        evidence = f"{place} in the container is the former {directory}, which was moved or replaced"
        return _fail(facts, "mount-deleted", evidence)
    return _fail(facts, "mount-other", f"the container has the directory of target {escape(sight.target)} at {place}")


def _judge_rights(facts: Facts, sight: Sight) -> Finding | None:
    denied = [facts.container_directory] if sight.directory.kind == "denied" else []
    denied += [f"{facts.container_directory}/{name}" for name, thing in sight.files.items() if thing.kind == "denied"]
    if not denied:
        return None
    evidence = f"uid {sight.uid} may not read {', '.join(denied)}"
    if sight.is_privileged:  # the container's own processes have the capability that we gave up
        note = f"{evidence} by their modes, but has a capability for it; whether that counts there is not known"
        return Finding(link=CONTAINER, state=State.UNKNOWN, evidence=note)
    named = {**_name_facts(facts), "group": f'":{sight.gid}"' if sight.gid else ":GROUP"}
    return Finding.of_entry(CONTAINER, "mount-unreadable", evidence, named, stage=_STAGE)


def _judge_token(facts: Facts, sight: Sight) -> Finding | None:
    (host, digests), directory, leading = facts.published, facts.target.directory.path, facts.target.leading
    place, is_ours = f"{facts.container_directory}/{leading} in the container", _has_ours(facts, sight)
    seen = sight.files.get(leading, Thing(kind="error"))
    if seen.kind == "absent" and is_ours and not digests:
        return skip(CONTAINER, f"uid {sight.uid} has the directory, and no token is published in it: see {FILE}")
    if seen.kind == "absent":
        return _fail(facts, "mount-other" if is_ours else "mount-absent", f"{place}: nothing is there")
    if seen.kind != "file":
        return _fail(facts, "mount-kind", f"{place}: {_KINDS[seen.kind]}")
    if digests and seen.digest not in digests:
        evidence = f"{place} is another token than {directory}/{leading} on this machine"
        return _fail(facts, "mount-stale" if is_ours else "mount-other", evidence)
    if host.kind == "directory" and not is_ours:
        evidence = f"{place} is not that of {directory} on this machine, and holds the same token"
        return _fail(facts, "mount-copy", evidence, State.WARNING)
    return None


def judge_variables(facts: Facts) -> Finding:
    """Check whether the clients' variables are set as in `env`, and whether their paths exist there."""
    sight = facts.sight
    if not isinstance(sight, Sight):
        return _skip(VARIABLES, sight)
    wanted, named = facts.variables, _name_facts(facts)
    unset = [name for name in wanted if name not in sight.variables]
    differing = [name for name in wanted if sight.variables.get(name, wanted[name]) != wanted[name]]
    if unset:
        evidence = f"{len(unset)} of {len(wanted)} variables are not set in the container"
        return _judge_set(facts, unset, "variables-unset", evidence)
    if differing:
        shown = "; ".join(f"{name} is {redact(sight.variables[name])}, not {wanted[name]}" for name in differing)
        return _judge_set(facts, differing, "variables-differ", shown)
    if sight.is_hanging:
        return skip(VARIABLES, f"set as in env; their paths are not checked: see {CONTAINER}")
    held = set(sight.variables.values())
    lost = [path for path, thing in sight.paths.items() if path in held and thing.kind in ("absent", "other")]
    if lost:
        evidence = f"not in the container: {', '.join(map(redact, lost))}"
        return Finding.of_entry(
            VARIABLES, "variables-path", evidence, {**named, "variables": ", ".join(map(redact, lost))}, stage=_STAGE
        )
    return ok(VARIABLES, f"{len(wanted)} variables are set as in env, and their paths exist")


def _judge_set(facts: Facts, wrong: list[str], entry: str, evidence: str) -> Finding:
    """Return what is wrong with variables: a failure if the one that most clients need is among them."""
    main = next((name for name in _MAIN if name in facts.variables), "")
    state, named = State.FAILED if main in wrong else State.WARNING, _name_facts(facts)
    return Finding.of_entry(
        VARIABLES, entry, evidence, {**named, "variables": ", ".join(wrong)}, stage=_STAGE, state=state
    )


def judge_metadata(facts: Facts) -> Finding:
    """Check whether the container reaches the metadata server, at which every client is the worker's own account.

    Without a pool that account can act as every user's, so that it is a failure.
    """
    sight = facts.sight
    if not isinstance(sight, Sight):
        return _skip(METADATA, sight)
    if sight.metadata == "unknown":
        return skip(METADATA, "not tried")
    if sight.metadata == "open" and facts.is_link_local:
        return skip(METADATA, "169.254.169.254:80 is the target's own metadata endpoint (link_local)")
    if sight.metadata == "open":
        evidence = "169.254.169.254:80 accepts a connection from the container"
        state = State.FAILED if facts.target.impersonation.is_own else State.WARNING
        return Finding.of_entry(METADATA, "metadata-open", evidence, stage=_STAGE, state=state)
    return ok(METADATA, "169.254.169.254:80 is not reached from the container")


def judge_network(facts: Facts) -> Finding:
    """Check whether the container reaches STS or its own proxy, and has the certificates that it is to trust."""
    sight = facts.sight
    if not isinstance(sight, Sight):
        return _skip(NETWORK, sight)
    if sight.google in ("closed", "silent"):
        what = f"its proxy {sight.proxy}" if sight.proxy else "STS"
        how = "refused" if sight.google == "closed" else "not accepted within a second"
        entry, named = ("network-proxy" if sight.proxy else "network-closed"), {"host": "Google's APIs, port 443"}
        evidence = f"a TCP connection from the container to {what} is {how}"
        return Finding.of_entry(NETWORK, entry, evidence, named | {"proxy": sight.proxy}, stage=_STAGE)
    lost = [
        f"{name} is {redact(path)}: {_KINDS[sight.paths[path].kind]}"
        for name, path in sight.trust.items()
        if path in sight.paths and sight.paths[path].kind in ("absent", "denied", "other")
    ]
    if lost:
        return Finding.of_entry(NETWORK, "network-trust", "; ".join(lost), stage=_STAGE, state=State.WARNING)
    if sight.google == "unknown":
        return skip(NETWORK, f"not tried: {sight.untried or f'see {CONTAINER}'}")
    if sight.proxy:
        return ok(NETWORK, f"the container reaches its proxy {sight.proxy} (a TCP connection; nothing is asked of it)")
    return ok(NETWORK, "the container reaches STS (a TCP connection; neither names nor TLS are tried)")
