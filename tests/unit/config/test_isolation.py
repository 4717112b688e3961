from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from refresher.settings.places import InvalidConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.config.conftest import Workspace

TEXT = """\
version: 1
providers:
  main: {{project_number: "123456789012", pool: workers, provider: first}}
  same-pool: {{project_number: "123456789012", pool: workers, provider: second}}
  other-pool: {{project_number: "123456789012", pool: others, provider: first}}
suppliers:
  own: {{kind: self_issued, issuer: https://a.invalid, keys: keys, provider: main}}
  twin: {{kind: self_issued, issuer: https://b.invalid, keys: keys, provider: same-pool}}
  elsewhere: {{kind: self_issued, issuer: https://c.invalid, keys: keys, provider: other-pool}}
  machine: {{kind: google_id_token, provider: main}}
  generated: {{kind: google_id_token, via: generate_id_token, provider: main}}
  literal: {{kind: google_access_token, accept_unsupported: true, provider: main}}
  somebody: {{kind: file, path: token, provider: main}}
  somebody-too: {{kind: file, path: token, provider: other-pool}}
  machine-too: {{kind: google_id_token, provider: same-pool}}
  client: {{kind: client_credentials, issuer: https://i.example.com, client_id: c, secret_file: s, provider: main}}
  client-too: {{kind: client_credentials, issuer: https://i.example.com, client_id: c, secret_file: t, provider: main}}
  client-else: {{kind: client_credentials, issuer: https://i.example.com, client_id: d, secret_file: s, provider: main}}
  program: {{kind: command, argv: [/bin/mint, "{{identity}}"], provider: main}}
  half: {{kind: command, argv: [/bin/mint, "{{subject}}"], provider: main}}
  deaf: {{kind: command, argv: [/bin/mint, "{{audience}}"], provider: main}}
  deaf-too: {{kind: command, argv: [/bin/mint, "{{audience}}"], timeout: 5s, provider: main}}
directory_root: /run/refresher
identities:
  alice: {{service_account: alice@p-1.iam.gserviceaccount.com, {alice}}}
  bob: {{service_account: {account}@p-1.iam.gserviceaccount.com, {bob}}}
"""


def problems(
    workspace: Workspace, alice: str, bob: str, account: str = "bob", suppliers: Mapping[str, str] | None = None
) -> list[str]:
    """Return what is wrong with two identities, without the remedies; they may have more suppliers."""
    more = "".join(f"  {name}: {{{body}, provider: main}}\n" for name, body in (suppliers or {}).items())
    text = TEXT.format(alice=alice, bob=bob, account=account)
    workspace.write(text.replace("directory_root:", f"{more}directory_root:"))
    try:
        workspace.load()
    except InvalidConfigurationError as error:
        return [problem.problem for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("alice", "bob"),
    [
        ("supplier: own, subject: x", "supplier: own, subject: x"),
        ("supplier: own, subject: x", "supplier: twin, subject: x"),
        ("supplier: machine", "supplier: machine"),
        ("supplier: literal", "supplier: literal"),
        ("supplier: somebody", "supplier: somebody"),
        ("supplier: deaf", "supplier: deaf"),
        ("supplier: half", "supplier: half"),
        ("supplier: somebody", "supplier: somebody-too"),
        ("supplier: machine", "supplier: machine-too"),
        ("supplier: client", "supplier: client-too"),
        ("supplier: deaf", "supplier: deaf-too"),
        ("supplier: own, subject: x", "supplier: program, subject: x"),
        ("supplier: somebody, subject: x", "supplier: program, subject: x"),
        (
            "supplier: generated, source_service_account: s@p-1.iam.gserviceaccount.com",
            "supplier: generated, source_service_account: s@p-1.iam.gserviceaccount.com",
        ),
    ],
)
def test_one_subject_for_two_accounts_is_refused(workspace: Workspace, alice: str, bob: str) -> None:
    """Two identities that Google cannot distinguish are both reported, unless both accept that."""
    assert problems(workspace, alice, bob) == [
        "identities.alice has the same subject as bob and another service account: Google lets each act as both",
        "identities.bob has the same subject as alice and another service account: Google lets each act as both",
    ]
    assert len(problems(workspace, f"{alice}, shared_identity: true", bob)) == 1
    assert problems(workspace, f"{alice}, shared_identity: true", f"{bob}, shared_identity: true") == []
    assert problems(workspace, alice, bob, account="alice") == []


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
@pytest.mark.parametrize(
    "supplier",
    [
        "kind: file, path: {}",
        "kind: google_access_token, accept_unsupported: true, credentials: {}",
        "kind: command, argv: [/bin/cat, {}]",
    ],
    ids=["file", "credentials", "argument"],
)
def test_links_make_no_source_of_their_own(workspace: Workspace, supplier: str, link: str) -> None:
    """One file under two names is one source."""
    first, second = workspace.directory / "one", workspace.directory / "two"
    first.touch(mode=0o600)
    getattr(second, link)(first)
    suppliers = {path.name: supplier.format(path) for path in (first, second)}

    assert len(problems(workspace, "supplier: one", "supplier: two", suppliers=suppliers)) == 2


def test_spelling_makes_no_program_of_its_own(workspace: Workspace) -> None:
    """A program is where it is, however its path is written; by another name it may do something else."""
    paths = {"one": "/bin/cat", "two": "/bin/../bin//cat", "three": "/bin/tac"}
    suppliers = {name: f"kind: command, argv: [{path}, x]" for name, path in paths.items()}

    assert len(problems(workspace, "supplier: one", "supplier: two", suppliers=suppliers)) == 2
    assert problems(workspace, "supplier: one", "supplier: three", suppliers=suppliers) == []


@pytest.mark.parametrize(
    ("alice", "bob"),
    [
        ("supplier: own, subject: x", "supplier: own, subject: y"),
        ("supplier: own, subject: x", "supplier: elsewhere, subject: x"),
        ("supplier: program", "supplier: program"),
        ("supplier: machine", "supplier: somebody"),
        ("supplier: client", "supplier: client-else"),
        ("supplier: program", "supplier: deaf"),
        ("supplier: half, subject: x", "supplier: half, subject: y"),
        (
            "supplier: generated, source_service_account: s@p-1.iam.gserviceaccount.com",
            "supplier: generated, source_service_account: t@p-1.iam.gserviceaccount.com",
        ),
    ],
)
def test_subjects_of_their_own_are_fine(workspace: Workspace, alice: str, bob: str) -> None:
    """Distinct subjects, pools or sources isolate; what a program prints for whom is its own affair."""
    assert problems(workspace, alice, bob) == []
