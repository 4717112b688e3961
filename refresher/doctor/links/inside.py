"""The links of the container's side: the files as its user sees them, its variables, and what it reaches."""

from refresher.doctor.diagnosis import Finding, State, ok, skip
from refresher.doctor.facts import Facts
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
    sight, place, named = facts.sight, facts.container_directory, _name_facts(facts)
    if not isinstance(sight, Sight):
        return _skip(CONTAINER, sight) if isinstance(sight, str) else Finding.of_error(CONTAINER, sight, State.UNKNOWN)

    def fail(entry: str, evidence: str) -> Finding:
        return Finding.of_entry(CONTAINER, entry, evidence, named, stage=_STAGE)

    if sight.is_hanging:
        return fail("mount-hangs", f"looking at {place} did not end within 5 s")
    if sight.alone:
        return fail("mount-file", f"mounted by itself: {', '.join(f'{place}/{escape(name)}' for name in sight.alone)}")
    if sight.is_replaced:
        return fail("mount-deleted", f"{place} is a mount of a directory that was removed")
    if sight.directory.kind in ("absent", "other", "file"):
        return fail("mount-absent", f"{place}: {_KINDS.get(sight.directory.kind, 'it is a file')}")
    return _judge_files(facts, sight) or ok(
        CONTAINER, f"uid {sight.uid} reads {place}/{facts.target.leading}, as published"
    )


def _skip(link: str, sight: str | UsageError) -> Finding:
    return skip(link, sight if isinstance(sight, str) else f"because the container is not looked into: see {CONTAINER}")


def _judge_files(facts: Facts, sight: Sight) -> Finding | None:
    place, named = facts.container_directory, _name_facts(facts)
    host, digests = facts.published
    seen = sight.files.get(facts.target.leading, Thing(kind="error"))
    denied = [place] if sight.directory.kind == "denied" else []
    denied += [f"{place}/{name}" for name, thing in sight.files.items() if thing.kind == "denied"]
    if denied:
        evidence = f"uid {sight.uid} may not read {', '.join(denied)}"
        if sight.is_privileged:  # the container's own processes have the capability that we gave up
            note = f"{evidence} by their modes, but has a capability for it; whether that counts there is not known"
            return Finding(link=CONTAINER, state=State.UNKNOWN, evidence=note)
        return Finding.of_entry(CONTAINER, "mount-unreadable", evidence, named, stage=_STAGE)
    is_ours = (sight.directory.device, sight.directory.inode) == (host.device, host.inode)
    entry = ""
    if sight.directory.links == 0:
        entry, evidence = "mount-deleted", f"{place} is a directory that was removed"
    elif seen.kind == "absent":
        entry, evidence = (
            "mount-absent" if not is_ours else "mount-other",
            f"{place}/{facts.target.leading}: nothing is there",
        )
    elif seen.kind != "file":
        entry, evidence = "mount-kind", f"{place}/{facts.target.leading}: {_KINDS[seen.kind]}"
    elif digests and seen.digest not in digests:
        entry = "mount-stale" if is_ours else "mount-other"
        evidence = (
            f"{place}/{facts.target.leading} is another token than {facts.target.directory.path}/{facts.target.leading}"
        )
    elif host.kind == "directory" and not is_ours:
        evidence = f"{place} is another directory than {facts.target.directory.path}, with the same token"
        return Finding.of_entry(CONTAINER, "mount-copy", evidence, named, stage=_STAGE, state=State.WARNING)
    else:
        return None
    return Finding.of_entry(CONTAINER, entry, evidence, named, stage=_STAGE)


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
    lost = [path for path, thing in sight.paths.items() if thing.kind in ("absent", "other")]
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
    """Check whether the container reaches STS."""
    sight = facts.sight
    if not isinstance(sight, Sight):
        return _skip(NETWORK, sight)
    if sight.google == "unknown":
        return skip(NETWORK, "not tried: the container has a proxy, or this command is offline")
    if sight.google == "open":
        return ok(NETWORK, "the container reaches STS (a TCP connection; neither names nor TLS are tried)")
    evidence = "a TCP connection to STS is " + (
        "refused" if sight.google == "closed" else "not accepted within a second"
    )
    return Finding.of_entry(NETWORK, "network-closed", evidence, {"host": "Google's APIs, port 443"}, stage=_STAGE)
