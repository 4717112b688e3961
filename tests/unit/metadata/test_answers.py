import json
from datetime import timedelta

import pytest

from refresher.metadata.answers import (
    AccessTokenWanted,
    Answer,
    IdTokenWanted,
    Request,
    Response,
    Snapshot,
    answer,
    answer_access_token,
    answer_id_token,
    postpone,
)
from refresher.metadata.plan import Facts
from refresher.tokens import AccessToken
from tests.tokens import NOW

EMAIL = "alice@my-project.iam.gserviceaccount.com"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
FACTS = Facts(name="alice-train", email=EMAIL, scopes=SCOPES, project="my-project", project_number="123456789012")
TOKEN = AccessToken(value="ya29.alice", expires_at=NOW + timedelta(minutes=30))
FLAVOR = ("metadata-flavor", "Google")
HOST = ("host", "metadata.google.internal")
V1 = "/computeMetadata/v1"
ACCOUNT = f"{V1}/instance/service-accounts/default"
GOOGLE_AUDIENCE = "https%3A%2F%2Fwww.googleapis.com%2Foauth2%2Fv4%2Ftoken"


def ask(
    target: str, *, method: str = "GET", headers: tuple[tuple[str, str], ...] = (HOST, FLAVOR), facts: Facts = FACTS
) -> Answer:
    """Return the answer to a request at an endpoint that has a token."""
    return answer(Request(method, target, headers), Snapshot(facts=facts, token=TOKEN), NOW)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/", "computeMetadata/\n"),
        ("/computeMetadata", "v1/\n"),
        ("/computeMetadata/", "v1/\n"),
        (V1, "instance/\nproject/\nuniverse/\n"),
        (f"{V1}/", "instance/\nproject/\nuniverse/\n"),
        (f"{V1}/instance", "attributes/\nhostname\nid\nname\nservice-accounts/\n"),
        (f"{V1}/instance/", "attributes/\nhostname\nid\nname\nservice-accounts/\n"),
        (f"{V1}/instance/attributes/", ""),
        (f"{V1}/instance/name", "alice-train"),
        (f"{V1}/instance/hostname", "alice-train"),
        (f"{V1}/instance/service-accounts", f"{EMAIL}/\ndefault/\n"),
        (f"{V1}/instance/service-accounts/", f"{EMAIL}/\ndefault/\n"),
        (f"{V1}/instance/service-accounts/{EMAIL}", "aliases\nemail\nidentity\nscopes\ntoken\n"),
        (f"{ACCOUNT}/", "aliases\nemail\nidentity\nscopes\ntoken\n"),
        (f"{ACCOUNT}/email", EMAIL),
        (f"{ACCOUNT}/aliases", "default\n"),
        (f"{ACCOUNT}/scopes", "".join(f"{scope}\n" for scope in SCOPES)),
        (f"{ACCOUNT}/email?alt=json", f'"{EMAIL}"'),
        (f"{V1}/project/project-id", "my-project"),
        (f"{V1}/project/numeric-project-id", "123456789012"),
        (f"{V1}/universe/universe-domain", "googleapis.com"),
        (f"{V1}/universe/universe_domain", "googleapis.com"),
        (f"{V1}/project/project-id?wait_for_change=true&last_etag=0", "my-project"),
    ],
)
def test_entry_is_answered_as_on_compute_engine(target: str, body: str) -> None:
    """Both forms of a directory list it, and a leaf is its value without a newline."""
    found = ask(target)

    assert isinstance(found, Response)
    assert (found.status, found.body.decode()) == (200, body)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?scopes=https://www.googleapis.com/auth/devstorage.read_only,email",
        f"?audience={GOOGLE_AUDIENCE}",
        "?scopes=",
    ],
)
@pytest.mark.parametrize("account", ["default", EMAIL])
def test_token_is_that_of_the_configured_scopes_when_others_are_asked_for(account: str, query: str) -> None:
    """Clients ask with scopes or an audience, and get the access token all the same."""
    found = ask(f"{V1}/instance/service-accounts/{account}/token{query}")

    assert isinstance(found, Response)
    assert found.content_type == "application/json"
    assert json.loads(found.body) == {"access_token": "ya29.alice", "expires_in": 1800, "token_type": "Bearer"}


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (timedelta(seconds=1), 1),
        (timedelta(seconds=1.9), 1),
        (timedelta(seconds=0.9), None),
        (timedelta(0), None),
        (timedelta(seconds=-5), None),
    ],
)
def test_expires_in_is_never_below_one(left: timedelta, seconds: int | None) -> None:
    """A token at its end counts as none: clients keep one of 0 seconds for ever, and die of a negative one."""
    found = answer_access_token(AccessToken(value="ya29.alice", expires_at=NOW + left), NOW)

    assert (None if found is None else json.loads(found.body)["expires_in"]) == seconds


def test_access_token_is_wanted_when_there_is_none() -> None:
    """Before the first token the caller has to wait for one."""
    request = Request("GET", f"{ACCOUNT}/token", (HOST, FLAVOR))

    assert answer(request, Snapshot(facts=FACTS), NOW) == AccessTokenWanted()


@pytest.mark.parametrize(
    "query", ["transport=mtls", "transport=alts", "binding-enforcement=on", "transport=mtls&binding-enforcement=on"]
)
def test_bound_token_is_refused(query: str) -> None:
    """A token that is not bound is not what was asked for."""
    found = ask(f"{ACCOUNT}/token?{query}")

    assert isinstance(found, Response)
    assert found.status == 400


@pytest.mark.parametrize("account", ["default", EMAIL])
def test_recursive_account_is_json_without_tokens(account: str) -> None:
    """Clients discover the account from it, and decide by the content type."""
    found = ask(f"{V1}/instance/service-accounts/{account}/?recursive=true")

    assert isinstance(found, Response)
    assert found.content_type == "application/json"
    assert json.loads(found.body) == {"aliases": ["default"], "email": EMAIL, "scopes": list(SCOPES)}


@pytest.mark.parametrize("wanted", ["true", "True", "1", "yes"])
def test_recursive_listing_has_names_in_camel_case(wanted: str) -> None:
    """The names of accounts stay as they are, and no token is in it."""
    found = ask(f"{V1}/?recursive={wanted}")

    assert isinstance(found, Response)
    document = json.loads(found.body)
    assert document["project"] == {"attributes": {}, "numericProjectId": 123456789012, "projectId": "my-project"}
    assert document["universe"] == {"universeDomain": "googleapis.com"}
    assert set(document["instance"]["serviceAccounts"]) == {"default", EMAIL}
    assert b"ya29" not in found.body


@pytest.mark.parametrize(
    ("query", "audience"),
    [
        ("audience=https://api-xyz.a.run.app", "https://api-xyz.a.run.app"),
        ("audience=https%3A%2F%2Fapi-xyz.a.run.app&format=full", "https://api-xyz.a.run.app"),
        ("audience=api&format=standard&licenses=FALSE", "api"),
        ("audience=" + "a" * 2048, "a" * 2048),
    ],
)
def test_id_token_is_wanted_for_an_audience(query: str, audience: str) -> None:
    """Some clients escape the audience, and some do not."""
    assert ask(f"{ACCOUNT}/identity?{query}") == IdTokenWanted(audience)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?audience=", 400),
        ("?audience=" + "a" * 2049, 400),
        ("?audience=a%0Ab", 400),
        ("?audience=%ff", 400),
        ("?audience=a&format=other", 400),
        ("?" + "&".join(f"a{number}=1" for number in range(40)), 400),
        ("?audience=32555940559.apps.googleusercontent.com", 404),
        ("?audience=32555940559.apps.googleusercontent.com&format=full", 404),
    ],
)
def test_id_token_is_refused_when_the_audience_is_not_usable(query: str, status: int) -> None:
    """What stays wrong is 4xx, and gcloud's own audience is the 404 that it ignores."""
    found = ask(f"{ACCOUNT}/identity{query}")

    assert isinstance(found, Response)
    assert found.status == status


@pytest.mark.parametrize(
    "target",
    [
        f"{V1}/instance/zone",
        f"{V1}/instance/attributes/kube-env",
        f"{V1}/instance/service-accounts/bob@my-project.iam.gserviceaccount.com/token",
        f"{V1}/instance/service-accounts/default/email/",
        f"{V1}/instance/service-accounts/default/token/x",
        f"{V1}/project/../instance/id",
        f"{V1}/./instance/id",
        f"{V1}//instance/id",
        f"{V1}/instance%2fid",
        f"{V1}x",
        "/computeMetadata/v1beta1/instance/id",
        "/token",
        "http://metadata.google.internal/computeMetadata/v1/instance/id",
        "//computeMetadata/v1",
        "*",
        "",
    ],
)
def test_nothing_else_exists(target: str) -> None:
    """Other accounts, attributes of machines, and paths written in another way are 404."""
    found = ask(target)

    assert isinstance(found, Response)
    assert found.status == 404


def test_project_id_is_absent_when_none_is_configured() -> None:
    """Without a project the id is 404, and the number that gcloud needs is 0."""
    facts = Facts(name="alice", email=EMAIL, scopes=SCOPES)

    found = [ask(f"{V1}/project/{name}", facts=facts) for name in ("project-id", "numeric-project-id")]

    assert [(each.status, each.body) for each in found if isinstance(each, Response)][1] == (200, b"0")
    assert isinstance(found[0], Response)
    assert found[0].status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((HOST, FLAVOR), 200),
        ((("host", "169.254.169.254"), FLAVOR), 200),
        ((("host", "169.254.169.254:80"), FLAVOR), 200),
        ((("host", "127.0.0.1:8174"), FLAVOR), 200),
        ((("host", "METADATA.google.internal.:80"), FLAVOR), 200),
        ((("host", "metadata"), FLAVOR), 200),
        ((("host", "attacker.example"), FLAVOR), 403),
        ((("host", "169.254.169.254.attacker.example"), FLAVOR), 403),
        ((("host", "10.0.0.2:8174"), FLAVOR), 403),
        ((("host", ""), FLAVOR), 403),
        ((FLAVOR,), 403),
        ((HOST, HOST, FLAVOR), 400),
        ((HOST, FLAVOR, FLAVOR), 400),
        ((HOST,), 403),
        ((HOST, ("metadata-flavor", "google")), 404),
        ((HOST, ("x-google-metadata-request", "True")), 403),
        ((HOST, FLAVOR, ("x-forwarded-for", "10.0.0.2")), 403),
        ((HOST, FLAVOR, ("x-forwarded-for", "")), 403),
        ((HOST, FLAVOR, ("forwarded", "for=10.0.0.2")), 403),
        ((HOST, FLAVOR, ("via", "1.1 proxy")), 403),
    ],
)
def test_request_is_checked_before_a_token_is_served(headers: tuple[tuple[str, str], ...], status: int) -> None:
    """Another host, a proxy's header and a missing flavor are refused, and the token is in none of the refusals."""
    found = ask(f"{ACCOUNT}/token", headers=headers)

    assert isinstance(found, Response)
    assert (found.status, b"ya29" in found.body) == (status, status == 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH"])
@pytest.mark.parametrize("target", ["/", f"{ACCOUNT}/token"])
def test_other_methods_are_refused(method: str, target: str) -> None:
    """A browser asks with OPTIONS before it may send the header, and gets no leave."""
    found = ask(target, method=method)

    assert isinstance(found, Response)
    assert found.status == 405


@pytest.mark.parametrize("headers", [(HOST,), (HOST, FLAVOR)])
def test_root_answers_with_and_without_the_flavor(headers: tuple[tuple[str, str], ...]) -> None:
    """Clients find out by it whether they run on Compute Engine, and Go asks without the header."""
    found = ask("/", headers=headers)

    assert isinstance(found, Response)
    assert found.status == 200


def test_problem_is_shown_when_a_token_is_postponed() -> None:
    """A token that is not there yet is 503, with the reason where one is known."""
    found = [postpone("the access token", problem) for problem in (None, "IAM Credentials does not answer")]

    assert [each.status for each in found] == [503, 503]
    assert found[1].body == b"the access token is not available yet: IAM Credentials does not answer\n"


def test_id_token_is_the_bare_text() -> None:
    """Clients take the body as it is, so it ends without a newline."""
    assert answer_id_token("a.b.c") == Response(200, b"a.b.c", "text/html")


def test_snapshot_shows_no_token() -> None:
    """The token is in no repr."""
    assert "ya29" not in repr(Snapshot(facts=FACTS, token=TOKEN))
