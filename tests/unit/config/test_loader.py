from __future__ import annotations

import gc
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.config.loader import load
from refresher.config.models import ArtifactSettings
from refresher.errors import ExitStatus
from refresher.settings.places import InvalidConfigurationError
from refresher.settings.values import TcpSocket, UnixSocket
from refresher.suppliers.file import FileSettings
from refresher.suppliers.self_issued import SelfIssuedSettings

if TYPE_CHECKING:
    from tests.unit.config.conftest import Workspace


def test_the_least_configuration_gets_every_default(workspace: Workspace) -> None:
    """One provider, supplier, identity and target are enough; the rest is as in the contract."""
    workspace.write(workspace.valid)

    loaded = workspace.load()

    target = loaded.targets["alice"]
    identity = loaded.get_identity(target)
    supplier = loaded.configuration.suppliers[loaded.get_supplier_name(identity) or ""]
    assert target.directory == Path("/run/refresher/alice")
    assert target.container_directory == "/run/refresher/alice"
    assert (target.uid, target.gid, target.mode, target.artifacts) == (None, None, 0o400, ArtifactSettings())
    assert target.location == f"{workspace.main}:9:3"
    assert identity.subject == "user-1042"
    assert isinstance(supplier, SelfIssuedSettings)
    assert supplier.lifetime == timedelta(hours=1)
    assert loaded.get_provider(supplier).project_number == "123456789012"
    assert loaded.configuration.listen == UnixSocket(path=Path("/run/refresher-status/http.sock"))
    assert loaded.configuration.google.universe_domain == "googleapis.com"
    assert (loaded.warnings, loaded.drop_in_problems, loaded.files) == ((), (), (workspace.main,))


def test_reads_json_as_well(workspace: Workspace) -> None:
    """JSON is YAML, so a configuration written by a program needs no other loader."""
    workspace.write(
        '{"version": 1, "providers": {"main": {"project_number": 123, "pool": "workers", "provider": "refresher"}},'
        ' "suppliers": {"f": {"kind": "file", "path": "token"}},'
        ' "identities": {"a": {"subject": "s"}}, "targets": {"a": {}}}'
    )

    loaded = workspace.load()

    supplier = loaded.configuration.suppliers["f"]
    assert isinstance(supplier, FileSettings)
    assert supplier.path == workspace.directory / "token"
    assert loaded.configuration.providers["main"].project_number == "123"


def test_fills_in_what_a_target_says(workspace: Workspace) -> None:
    """Identity, directories, owner by number, mode and artifacts of a target arrive as configured."""
    body = (
        "{identity: alice, container_directory: /var//run/./google/, owner: 1042:43, mode: 400,"
        " artifacts: {access_token: true, boto: true, id_tokens: {api: {audience: https://a}}}}"
    )
    workspace.write(workspace.valid.replace("alice: {}", f"train: {body}"))

    target = workspace.load().targets["train"]

    assert (target.identity, target.directory) == ("alice", Path("/run/refresher/train"))
    assert target.container_directory == "/var/run/google"
    assert (target.uid, target.gid, target.mode) == (1042, 43, 0o400)
    assert target.artifacts.access_token
    assert target.artifacts.boto
    assert target.artifacts.id_tokens["api"].audience == "https://a"


@pytest.mark.parametrize(
    ("owner", "ids"),
    [
        ("root", (0, None)),
        ("root:root", (0, 0)),
        ("1042", (1042, None)),
        ("1042:root", (1042, 0)),
        ('"0"', (0, None)),
        ("1042:42", (1042, 42)),
        ('":1042"', (None, 1042)),
        ("':root'", (None, 0)),
    ],
)
def test_looks_owners_up_by_name_or_number(
    workspace: Workspace, owner: str, ids: tuple[int | None, int | None]
) -> None:
    """An owner is USER, USER:GROUP or :GROUP, each a name of this host or a number; what is left out is None."""
    workspace.write(workspace.valid.replace("alice: {}", f"alice: {{owner: {owner}}}"))

    target = workspace.load().targets["alice"]

    assert (target.uid, target.gid) == ids


@pytest.mark.parametrize("written", ["0440", "440", '"0440"', "'440'"])
def test_reads_modes_as_chmod_does(workspace: Workspace, written: str) -> None:
    """A mode is octal digits, with or without quotes and a leading 0."""
    workspace.write(workspace.valid.replace("alice: {}", f"alice: {{mode: {written}}}"))

    assert workspace.load().targets["alice"].mode == 0o440


@pytest.mark.parametrize(
    ("body", "mode"),
    [("{}", 0o400), ("{owner: 7}", 0o400), ("{owner: ':7'}", 0o440), ("{owner: '7:7'}", 0o440), ("{mode: ~}", 0o400)],
)
def test_lets_a_group_read_by_default(workspace: Workspace, body: str, mode: int) -> None:
    """The default mode is 0400, and 0440 where a group is given."""
    workspace.write(workspace.valid.replace("alice: {}", f"alice: {body}"))

    assert workspace.load().targets["alice"].mode == mode


@pytest.mark.parametrize("subject", ["no", "1042", "2026-01-01", "0440", "1.50", "Yes", "'~'", "<<"])
def test_takes_text_as_it_is_written(workspace: Workspace, subject: str) -> None:
    """A text needs no quotes, whatever YAML would make of it without them."""
    workspace.write(workspace.valid.replace("user-1042", subject))

    assert workspace.load().configuration.identities["alice"].subject == subject.strip("'")


def test_takes_any_word_as_a_name(workspace: Workspace) -> None:
    """Names that look like a boolean or a number are names."""
    workspace.write(
        workspace.valid.replace("  alice:", "  no: {subject: x}\n  5: {subject: y}\n  alice:", 1)
        + "  no: {}\n  5: {}\n"
    )

    assert set(workspace.load().targets) == {"alice", "no", "5"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("yes", True),
        ("Off", False),
        ("12", 12),
        ("-1", -1),
        ("0", 0),
        ("'true'", "true"),
        ('"12"', "12"),
        ("w-17", "w-17"),
        ("1042:42", "1042:42"),
        ("''", ""),
        ("'1.5'", "1.5"),
    ],
)
def test_claims_keep_the_types_of_yaml(workspace: Workspace, written: str, value: object) -> None:
    """Without quotes a constant claim is a boolean or an integer if it looks like one; with quotes it is text."""
    workspace.write(workspace.valid.replace("keys: keys", f"keys: keys, claims: {{c: {written}}}"))

    supplier = workspace.load().configuration.suppliers["worker"]

    assert isinstance(supplier, SelfIssuedSettings)
    assert supplier.claims == {"c": value}
    assert type(supplier.claims["c"]) is type(value)


@pytest.mark.parametrize(
    ("written", "value"), [("true", True), ("True", True), ("on", True), ("no", False), ("FALSE", False)]
)
def test_reads_flags_as_yaml_does(workspace: Workspace, written: str, value: bool) -> None:  # noqa: FBT001 - of a table
    """A flag is any of YAML's words for true and false, without quotes."""
    workspace.write(workspace.valid.replace("alice: {}", f"alice: {{artifacts: {{boto: {written}}}}}"))

    assert workspace.load().targets["alice"].artifacts.boto is value


def test_a_key_without_a_value_is_left_out_where_it_may_be(workspace: Workspace) -> None:
    """Nothing, `~` and `null` mean the default of a key that has no value by default."""
    text = workspace.valid.replace(
        "subject: user-1042", "subject: user-1042, lifetime: ~, quota_project: null, supplier: "
    )
    workspace.write(f"{text}project:\n")

    loaded = workspace.load()

    identity = loaded.configuration.identities["alice"]
    assert (identity.lifetime, identity.quota_project, identity.supplier) == (None, None, None)
    assert loaded.configuration.project is None


def test_an_alias_repeats_an_entry(workspace: Workspace) -> None:
    """Two targets may share their body by an anchor and an alias."""
    workspace.write(workspace.valid.replace("alice: {}", "alice: &body {identity: alice, mode: 0440}\n  train: *body"))

    assert {target.mode for target in workspace.load().targets.values()} == {0o440}


@pytest.mark.parametrize(
    ("written", "listen"),
    [
        ("none", None),
        ("unix:/run/x.sock", UnixSocket(path=Path("/run/x.sock"))),
        ("127.0.0.1:8099", TcpSocket(host="127.0.0.1", port=8099)),
        ('"[::1]:8099"', TcpSocket(host="::1", port=8099)),
        ("localhost:0", TcpSocket(host="localhost", port=0)),
    ],
)
def test_reads_where_to_listen(workspace: Workspace, written: str, listen: object) -> None:
    """A unix socket, a TCP address of either family, or nowhere."""
    workspace.write(f"{workspace.valid}listen: {written}\n")

    assert workspace.load().configuration.listen == listen


@pytest.mark.parametrize(
    "google",
    [
        "{endpoints: {sts: https://sts.us-east1.rep.googleapis.com}}",
        "{universe_domain: example.cloud, endpoints: {sts: https://sts.example.cloud}}",
        "{endpoints: {metadata: http://169.254.169.254}}",
        "{endpoints: {metadata: http://metadata.google.internal}}",
        '{endpoints: {metadata: "http://[fd20:ce::254]"}}',
        "{emulator: true, endpoints: {sts: http://127.0.0.1:80, iam_credentials: http://localhost:1}}",
        '{emulator: true, endpoints: {sts: "http://[::1]:8080"}}',
        "{emulator: true, endpoints: {sts: https://10.0.0.7:8443, metadata: http://10.0.0.7}}",
    ],
)
def test_allows_origins_of_google_and_of_an_emulator(workspace: Workspace, google: str) -> None:
    """Regional and other universes' origins need nothing, an emulator's the word for it, and http the loopback."""
    workspace.write(f"{workspace.valid}google: {google}\n")

    assert workspace.load().targets


def test_warns_of_what_is_allowed_and_unwise(workspace: Workspace) -> None:
    """Short lifetimes, chains and access tokens of suppliers load, and a warning shows the place of each."""
    text = workspace.valid.replace("keys: keys", "keys: keys, lifetime: 9m")
    text = text.replace("subject: user-1042", "subject: user-1042, supplier: worker, delegates: [a@b.example]")
    text = text.replace("identities:", "  gate: {kind: google_access_token, accept_unsupported: true}\nidentities:")
    workspace.write(text)

    warnings = workspace.load().warnings

    assert [workspace.shortened(warning.location) for warning in warnings] == [
        "refresher.yaml:5:88",
        "refresher.yaml:6:3",
        "refresher.yaml:8:108",
    ]
    assert all(warning.remedy for warning in warnings)


@pytest.mark.parametrize(
    ("account", "says"),
    [
        ("alice@my-project.iam.gserviceaccount.com", False),
        ("my-project@appspot.gserviceaccount.com", False),
        ("123456789012-compute@developer.gserviceaccount.com", False),
        ('"104857600000000000000"', False),
        ("alice@gmail.com", True),
        ("alice@my-project.iam.gserviceaccount.com.example.com", True),
    ],
)
def test_warns_of_what_no_service_account_is_called(workspace: Workspace, account: str, says: bool) -> None:  # noqa: FBT001 - of a table
    """Google's service accounts are below one domain; a person's address is a mistake that shows much later."""
    workspace.write(workspace.valid.replace("alice@my-project.iam.gserviceaccount.com", account))

    told = [workspace.shortened(warning.location) for warning in workspace.load().warnings]

    assert told == (["refresher.yaml:7:28"] if says else [])


@pytest.mark.parametrize(
    ("supplier", "says"),
    [
        ("{kind: self_issued, issuer: 'https://workers.invalid', keys: keys, lifetime: 10m}", True),
        ("{kind: kubernetes, lifetime: 10m}", True),
        ("{kind: sign_jwt, issuer: 'https://f.invalid', service_account: a@b.example, lifetime: 11m}", False),
        ("{kind: file, path: token}", False),
    ],
)
def test_warns_of_direct_access_with_short_tokens(workspace: Workspace, supplier: str, says: bool) -> None:  # noqa: FBT001 - of a table
    """Without a service account access tokens live as long as subject tokens, which short ones make costly."""
    text = workspace.valid.replace('{kind: self_issued, issuer: "https://workers.invalid", keys: keys}', supplier)
    workspace.write(text.replace("service_account: alice@my-project.iam.gserviceaccount.com, ", ""))

    told = [warning.problem for warning in workspace.load().warnings if "acts directly" in warning.problem]

    assert bool(told) is says
    assert all("Node, C++ and gcloud" in problem for problem in told)


def test_a_refusal_is_a_configuration_error(workspace: Workspace) -> None:
    """The error carries every problem, one line each, and leaves with the status for configuration."""
    workspace.write("version: 1\nzzz: 1\nyyy: 2\n")

    with pytest.raises(InvalidConfigurationError) as caught:
        workspace.load()

    assert caught.value.exit_status is ExitStatus.CONFIGURATION
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    assert caught.value.problem == "the configuration has 2 problems"
    assert caught.value.files == (workspace.main,)


def test_leaves_the_garbage_collector_as_it_was(workspace: Workspace) -> None:
    """The collector is paused while loading, and runs again also after a refusal."""
    workspace.write("nonsense: 1")

    problems = workspace.problems()

    assert problems
    assert gc.isenabled()


def test_imports_nothing_that_a_probe_cannot_afford() -> None:
    """Loading a configuration pulls in no command line, HTTP or cryptography library."""
    code = (
        "import sys; before = set(sys.modules); import refresher.config.loader;"
        "heavy = {'click', 'rich', 'requests', 'google', 'cryptography', 'asyncio', 'http', 'difflib', 'socket'};"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_does_not_read_an_unchanged_main_file_again(workspace: Workspace) -> None:
    """With what was loaded before, files whose stamp is the same are taken as they were."""
    workspace.write(workspace.valid)
    first = workspace.load()

    second = workspace.load(first)
    workspace.write(workspace.valid.replace("user-1042", "user-1043"))
    third = workspace.load(second)

    assert second.own is first.own
    assert third.configuration.identities["alice"].subject == "user-1043"


def test_a_change_of_an_included_file_is_seen(workspace: Workspace) -> None:
    """What is included counts as much as the main file itself."""
    workspace.write(f"{workspace.valid}include: [more.yaml]\n")
    workspace.write("project: my-project", "more.yaml")
    first = workspace.load()
    workspace.write("project: other-project", "more.yaml")

    second = workspace.load(first)

    assert second.configuration.project == "other-project"


def test_an_authority_is_named_relative_to_the_file(workspace: Workspace) -> None:
    """`google.ca_file` counts from the configuration file's directory, wherever the process stands."""
    workspace.write(workspace.valid + "google: {ca_file: trust/ca.pem}\n")

    loaded = workspace.load()

    assert loaded.configuration.google.ca_file == workspace.directory / "trust" / "ca.pem"


def test_a_relative_main_file_is_read_from_where_the_process_stands(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path works, and what it names relatively becomes absolute."""
    workspace.write(workspace.valid)
    monkeypatch.chdir(workspace.directory)

    loaded = load(Path("refresher.yaml"))

    supplier = loaded.configuration.suppliers["worker"]
    assert isinstance(supplier, SelfIssuedSettings)
    assert supplier.keys == workspace.directory / "keys"
    assert loaded.files == (workspace.main,)
