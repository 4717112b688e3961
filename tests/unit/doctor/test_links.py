"""Each link judges its facts: what is fine, what is wrong and by which entry, what is unknown or skipped."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from refresher.doctor.chain import LINKS, NAMES, walk
from refresher.doctor.diagnosis import Finding, State
from refresher.doctor.facts import Attempt, Facts
from refresher.doctor.sight import Sight, Thing
from refresher.errors import ExchangeError, ExitStatus, ImpersonationError, SupplyError, UsageError
from tests.unit.doctor.conftest import NOW, Build, make_token


def find(findings: tuple[Finding, ...], link: str) -> Finding:
    """Return the finding about a link."""
    return next(finding for finding in findings if finding.link == link)


def refuse(entry: str) -> ExchangeError:
    """Return a refusal of STS that the catalogue recognised."""
    error = ExchangeError("refused", "do this")
    error.entry = entry
    return error


def test_every_link_is_reported_in_order(build: Build) -> None:
    """The walk has one finding for each link, in the order of the chain, each fine or with a reason."""
    findings = walk(build())

    assert [finding.link for finding in findings] == [link.name for link in LINKS if link.with_pool]
    assert [name for name in NAMES if name not in ("configuration", "daemon", "worker", "grants")] == [
        link.name for link in LINKS
    ]
    assert all(finding.evidence for finding in findings)
    assert [finding.link for finding in findings if finding.is_wrong] == ["file"]  # nothing is published here


@pytest.mark.parametrize(
    ("entry", "link"),
    [
        ("E7", "subject token"),
        ("E10", "key"),
        ("E5", "audience"),
        ("E12", "attribute condition"),
        ("E4", "exchange"),
        ("unknown", "exchange"),
        ("silent", "exchange"),
        ("", "exchange"),
    ],
)
def test_refusal_of_sts_breaks_one_link_and_skips_the_others(build: Build, entry: str, link: str) -> None:
    """What STS refuses breaks the link that the catalogue names; about the others nothing is known."""
    tried: dict[str, Attempt[Any]] = {
        "exchange": Attempt(error=refuse(entry)),
        "impersonation": Attempt(reason="because the exchange failed"),
    }

    findings = walk(build(trial=tried))

    states = {finding.link: finding.state for finding in findings}
    others = {"key", "audience", "attribute condition", "exchange", "impersonation"} - {link}
    assert states[link] is State.FAILED
    assert find(findings, link).remedy == "do this"
    assert {states[other] for other in others} == {State.SKIPPED}


def test_failed_supply_does_not_hide_the_cloud_side(build: Build) -> None:
    """If the supplier fails and a published token is exchanged, both are reported."""
    findings = walk(build(trial={"supplied": Attempt(error=SupplyError("down", "start it")), "is_new": False}))

    assert find(findings, "supplier").state is State.FAILED
    assert find(findings, "supplier").stage is ExitStatus.SUPPLY
    assert find(findings, "exchange").state is State.OK
    assert find(findings, "subject token").evidence.startswith("the published one")


def test_supplier_of_another_user_is_unknown(build: Build) -> None:
    """Who is not the daemon's user sees how to ask the supplier, and no failure."""
    findings = walk(build(trial={"supplied": Attempt(reason="other"), "command": "runuser -u daemon -- x"}))

    assert find(findings, "supplier").state is State.UNKNOWN
    assert "runuser -u daemon" in find(findings, "supplier").remedy


_ISSUED = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("claims", "entry", "state"),
    [
        ({"exp": _ISSUED - 1, "iat": _ISSUED - 3600}, "token-expired", State.FAILED),
        ({"iat": _ISSUED + 600}, "token-future", State.FAILED),
        ({"alg": "RS512"}, "token-claims", State.FAILED),
        ({"exp": _ISSUED + 30 * 3600}, "token-life", State.FAILED),
        ({"sub": "user-2"}, "token-foreign", State.FAILED),
        ({"iat": _ISSUED - 3500, "exp": _ISSUED + 100}, "token-short", State.WARNING),
    ],
    ids=["expired", "future", "algorithm", "long", "foreign", "short"],
)
def test_token_is_judged_by_the_rules_of_sts(build: Build, claims: dict[str, Any], entry: str, state: State) -> None:
    """What STS refuses is named before it is asked."""
    token = make_token(**claims)

    found = find(walk(build(trial={"token": token, "exchange": Attempt(reason="not tried")})), "subject token")

    assert (found.entry, found.state) == (entry, state)


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(0, State.OK), (-20, State.OK), (45, State.WARNING), (-45, State.WARNING), (61, State.FAILED)],
)
def test_clock_is_compared_with_googles(build: Build, seconds: int, state: State) -> None:
    """A difference that STS will soon refuse is a warning, one that it refuses a failure."""
    found = find(walk(build(skew=timedelta(seconds=seconds))), "subject token")

    assert found.state is state
    assert found.entry == ("" if state is State.OK else "clock-behind" if seconds > 0 else "clock-ahead")


def without_pool(facts: Facts, **more: Any) -> Facts:  # noqa: ANN401 - any fact
    """Return facts of a target that the worker impersonates."""
    way = replace(facts.target.impersonation, provider=None)
    target = replace(facts.target, supplier=None, impersonation=way)
    return replace(facts, target=target, settings=None, **more)


def test_chain_without_a_pool_has_no_link_of_one(build: Build) -> None:
    """It begins with the worker's own credentials; STS, key and token are not in it."""
    findings = walk(without_pool(build()))

    assert [finding.link for finding in findings] == [link.name for link in LINKS if link.without_pool]
    assert findings[0].evidence.startswith("the machine's service account has an access token")
    assert find(findings, "impersonation").state is State.OK
    assert not {"supplier", "subject token", "exchange", "network"} & {finding.link for finding in findings}


def test_worker_without_credentials_breaks_the_first_link(build: Build) -> None:
    """Where the worker has no credentials of its own, nothing can be asked for, and only that is a failure."""
    tried: dict[str, Attempt[Any]] = {
        "exchange": Attempt(error=SupplyError("no metadata server", "attach an account")),
        "impersonation": Attempt(reason="because the exchange failed"),
    }

    findings = walk(without_pool(build(trial=tried)))

    assert (findings[0].state, findings[0].remedy) == (State.FAILED, "attach an account")
    assert (find(findings, "impersonation").state, find(findings, "impersonation").evidence) == (
        State.SKIPPED,
        "because nothing can ask for it: see worker's credentials",
    )


@pytest.mark.parametrize(
    ("has_pool", "is_link_local", "state"),
    [(True, False, State.WARNING), (False, False, State.FAILED), (False, True, State.SKIPPED)],
    ids=["pool", "no pool", "own endpoint"],
)
def test_metadata_server_in_reach_is_worse_without_a_pool(
    build: Build,
    has_pool: bool,  # noqa: FBT001 - a case
    is_link_local: bool,  # noqa: FBT001 - a case
    state: State,
) -> None:
    """Without a pool the machine's account can act as every user's; the target's own endpoint is not reported."""
    facts = build()
    assert isinstance(facts.sight, Sight)
    facts = replace(facts, sight=replace(facts.sight, metadata="open"), is_link_local=is_link_local)

    found = find(walk(facts if has_pool else without_pool(facts)), "metadata server")

    assert found.state is state


def test_access_token_is_what_the_container_needs_without_a_pool(build: Build) -> None:
    """The leading file is compared with the host's, and gcloud's variable is the one that must be set."""
    facts = build()
    assert isinstance(facts.sight, Sight)
    variables = {"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": "/run/google/access_token"}
    files = {"access_token": facts.sight.files["token"]}
    sight = replace(facts.sight, files=files, variables={}, paths={})

    findings = walk(without_pool(facts, sight=sight, variables=variables))

    assert find(findings, "container").evidence == "uid 1042 reads /run/google/access_token, as published"
    assert find(findings, "variables").state is State.FAILED


def test_refused_impersonation_is_its_own_link(build: Build) -> None:
    """STS accepted: every link up to the exchange is fine, and the impersonation is broken."""
    error = ImpersonationError("refused", "grant it")
    error.entry = "I1"

    findings = walk(build(trial={"impersonation": Attempt(error=error)}))

    assert find(findings, "exchange").state is State.OK
    assert (find(findings, "impersonation").cause, find(findings, "impersonation").is_verified) != ("", None)


DIRECTORY = Thing(kind="directory", device=1, inode=2, links=2)
ELSEWHERE = Thing(kind="directory", device=9, inode=9, links=2)


def token_is(kind: str, digest: str = "", directory: Thing = DIRECTORY) -> dict[str, Any]:
    """Return what differs in a sight whose token is of another kind or content."""
    return {"directory": directory, "files": {"token": Thing(kind=kind, links=1, digest=digest)}}  # type: ignore[arg-type]  # a table of words


@pytest.mark.parametrize(
    ("seen", "entry"),
    [
        ({"is_hanging": True}, "mount-hangs"),
        ({"alone": ("token",)}, "mount-file"),
        ({"is_replaced": True}, "mount-deleted"),
        ({"directory": Thing(kind="directory", links=0)}, "mount-deleted"),
        ({"directory": Thing(kind="absent"), "files": {}}, "mount-absent"),
        ({"directory": Thing(kind="file"), "files": {}}, "mount-absent"),
        ({"directory": Thing(kind="denied"), "files": {}}, "mount-unreadable"),
        (token_is("denied"), "mount-unreadable"),
        (token_is("absent", directory=ELSEWHERE), "mount-absent"),
        (token_is("other"), "mount-kind"),
        (token_is("large"), "mount-kind"),
        (token_is("file", "cd" * 32), "mount-stale"),
        (token_is("file", "cd" * 32, ELSEWHERE), "mount-other"),
        ({"target": "bob", **token_is("denied", directory=ELSEWHERE)}, "mount-other"),
        ({"target": "bob", **token_is("file", "ab" * 32, ELSEWHERE)}, "mount-other"),
        ({"target": "alice", **token_is("file", "ab" * 32, ELSEWHERE)}, "mount-deleted"),
        ({"target": "alice", **token_is("file", "cd" * 32, ELSEWHERE)}, "mount-deleted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_container_is_judged_by_what_its_user_sees(build: Build, seen: dict[str, Any], entry: str) -> None:
    """Each way in which a container is cut off has its entry, and its remedy names the mount."""
    facts = build()
    assert isinstance(facts.sight, Sight)

    found = find(walk(replace(facts, sight=replace(facts.sight, **seen))), "container")

    assert (found.state, found.entry, found.stage) == (State.FAILED, entry, ExitStatus.NOT_READY)
    assert "None" not in found.remedy


def test_both_tokens_are_told_apart_where_their_paths_are_equal(build: Build) -> None:
    """Where the container sees the directory at its path on the host, the evidence shows which token is whose."""
    facts = build()
    assert isinstance(facts.sight, Sight)
    directory = str(facts.target.directory.path)
    sight = replace(facts.sight, **token_is("file", "cd" * 32))

    found = find(walk(replace(facts, container_directory=directory, sight=sight)), "container")

    assert f"{directory}/token in the container is another token than {directory}/token on this" in found.evidence


def test_empty_directory_in_the_container_is_seen_as_on_the_host(build: Build) -> None:
    """A container whose directory is the host's is not at fault for what was never published there."""
    facts = build(published=(DIRECTORY, frozenset()))
    assert isinstance(facts.sight, Sight)

    found = find(walk(replace(facts, sight=replace(facts.sight, **token_is("absent")))), "container")

    assert (found.state, "see file" in found.evidence) == (State.SKIPPED, True)


def test_copy_of_the_directory_is_a_warning(build: Build) -> None:
    """A container with the same token in another directory works until that token ends."""
    facts = build()
    assert isinstance(facts.sight, Sight)

    found = find(walk(replace(facts, sight=replace(facts.sight, directory=ELSEWHERE))), "container")

    assert (found.state, found.entry) == (State.WARNING, "mount-copy")


def test_container_with_the_directories_of_all_targets_is_a_warning(build: Build) -> None:
    """A container that works, and sees the files of all targets, is shown how to mount its own directory alone."""
    facts = build()
    assert isinstance(facts.sight, Sight)

    found = find(walk(replace(facts, sight=replace(facts.sight, whole="/all"))), "container")

    assert (found.state, found.entry) == (State.WARNING, "mount-root")
    assert "/all" in found.evidence
    assert f"-v {facts.target.directory.path}:/run/google:ro" in found.remedy


def test_remedy_for_an_unreadable_file_has_the_group(build: Build) -> None:
    """The group of the container's user, as on the host, is in the remedy; absent artifacts are not in the evidence."""
    facts = build()
    assert isinstance(facts.sight, Sight)
    sight = replace(facts.sight, gid=101042, **token_is("denied"))

    found = find(walk(replace(facts, sight=sight)), "container")

    assert 'set owner: ":101042" of the target' in found.remedy


def test_container_that_can_not_be_entered_is_unknown(build: Build) -> None:
    """A container that can't be entered is unknown, with the reason."""
    findings = walk(replace(build(), sight=UsageError("it can't be entered", "run this as root")))

    assert (find(findings, "container").state, find(findings, "container").remedy) == (
        State.UNKNOWN,
        "run this as root",
    )
    assert {find(findings, link).state for link in ("variables", "network", "metadata server")} == {State.SKIPPED}


def test_file_that_a_capability_may_open_is_unknown(build: Build) -> None:
    """A container with a capability for it may read what its user may not: that is not known, and no failure."""
    facts = build()
    assert isinstance(facts.sight, Sight)

    found = find(
        walk(replace(facts, sight=replace(facts.sight, is_privileged=True, **token_is("denied")))), "container"
    )

    assert found.state is State.UNKNOWN


@pytest.mark.parametrize(
    ("seen", "entry"),
    [
        ({"variables": {}}, "variables-unset"),
        ({"variables": {"GOOGLE_APPLICATION_CREDENTIALS": "/old"}}, "variables-differ"),
        ({"paths": {"/run/google/credentials.json": Thing(kind="absent")}}, "variables-path"),
    ],
)
def test_variables_are_compared_with_env(build: Build, seen: dict[str, Any], entry: str) -> None:
    """Variables that are missing, that differ, or whose files do not exist are named."""
    facts = build()
    assert isinstance(facts.sight, Sight)

    found = find(walk(replace(facts, sight=replace(facts.sight, **seen))), "variables")

    assert (found.state, found.entry) == (State.FAILED, entry)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in found.remedy or "/run/google" in found.remedy


def test_variable_of_few_clients_is_a_warning(build: Build) -> None:
    """A container without a variable that only some clients read works for the others."""
    facts = build()
    wanted = {**facts.variables, "BOTO_CONFIG": "/run/google/boto"}

    found = find(walk(replace(facts, variables=wanted)), "variables")

    assert (found.state, found.entry) == (State.WARNING, "variables-unset")
    assert "BOTO_CONFIG" in found.remedy


def test_metadata_server_within_reach_is_a_warning(build: Build) -> None:
    """A container that reaches the metadata server works, and can be the worker."""
    facts = build()
    assert isinstance(facts.sight, Sight)

    found = find(walk(replace(facts, sight=replace(facts.sight, metadata="open"))), "metadata server")

    assert (found.state, found.entry) == (State.WARNING, "metadata-open")


@pytest.mark.parametrize("reach", ["closed", "silent"])
def test_container_without_a_way_to_google_is_broken(build: Build, reach: str) -> None:
    """A container that does not reach STS is broken, whatever its files are."""
    facts = build()
    assert isinstance(facts.sight, Sight)

    found = find(walk(replace(facts, sight=replace(facts.sight, google=reach))), "network")  # type: ignore[arg-type]  # a table of words

    assert (found.state, found.entry) == (State.FAILED, "network-closed")


@pytest.mark.parametrize(
    ("seen", "state", "entry", "evidence"),
    [
        ({"google": "unknown", "untried": "it is so"}, State.SKIPPED, "", "not tried: it is so"),
        ({"proxy": "p:1"}, State.OK, "", "reaches its proxy p:1"),
        ({"proxy": "p:1", "google": "closed"}, State.FAILED, "network-proxy", "to its proxy p:1 is refused"),
        ({"trust": {"SSL_CERT_FILE": "/no.pem"}}, State.WARNING, "network-trust", "SSL_CERT_FILE is /no.pem: nothing"),
        ({"google": "unknown", "trust": {"SSL_CERT_FILE": "/no.pem"}}, State.WARNING, "network-trust", "/no.pem"),
        ({"trust": {"SSL_CERT_FILE": "/run/google/credentials.json"}}, State.OK, "", "reaches STS"),
    ],
)
def test_proxy_and_certificates_of_the_container_are_judged(
    build: Build, seen: dict[str, Any], state: State, entry: str, evidence: str
) -> None:
    """A proxy that refuses is a failure, absent certificates are a warning, and what is not tried has its reason."""
    facts = build()
    assert isinstance(facts.sight, Sight)
    paths = {**facts.sight.paths, "/no.pem": Thing(kind="absent")}

    findings = walk(replace(facts, sight=replace(facts.sight, paths=paths, **seen)))

    found = find(findings, "network")
    assert (found.state, found.entry) == (state, entry)
    assert evidence in found.evidence
    assert find(findings, "variables").state is State.OK


def test_finding_as_json_has_null_for_what_does_not_apply(build: Build) -> None:
    """The JSON of a finding has all keys; an exit status only where it failed."""
    fine, broken = (find(walk(build()), link).to_json() for link in ("exchange", "file"))

    assert fine.keys() == broken.keys()
    assert (fine["cause"], fine["exit_status"], fine["verified"]) == (None, None, None)
    assert (broken["entry"], broken["exit_status"], broken["verified"]) == ("root-lost", 6, True)
