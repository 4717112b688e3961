from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from refresher.cli.root import COMMANDS
from tests.program import COMMAND, ISSUER, Worker, until
from tests.status_socket import ask

REPOSITORY = Path(__file__).parents[2]
GROUPS = {"keys": ("new", "list", "jwks"), "targets": ("add", "remove", "list")}
LEAVES = [
    *(name for name in COMMANDS if name not in GROUPS),
    *(f"{name} {leaf}" for name, leaves in GROUPS.items() for leaf in leaves),
]
AFTERWARDS = """
import sys
from refresher.cli import main
sys.argv = ["refresher", *sys.argv[1:]]
try:
    main()
finally:
    names = sorted({name.partition(".")[0] for name in sys.modules})
    sys.stderr.write(" ".join(names) + "\\n")  # in one piece: the log has a thread of its own
"""


def help_of(command: str) -> str:
    """Return the help of a command."""
    done = subprocess.run([*COMMAND, *command.split(), "--help"], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("command", LEAVES)
def test_help_has_an_example_and_a_variable_for_each_option(command: str) -> None:
    """Each command's help shows an example, and the environment variable of every option."""
    text = help_of(command)

    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert " ".join(text.split()).count("[env var:") == len(set(options) - {"--help"})
    assert f"Example:\n  {'' if command == 'env' else 'refresher ' + command}" in text


def test_help_tells_every_command_and_exit_status() -> None:
    """The main help lists the commands and the meaning of the exit statuses."""
    text = help_of("")

    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in COMMANDS)
    assert "Exit statuses:\n  0 done" in text


def test_module_is_the_same_command() -> None:
    """`python -m refresher` does the same as the command."""
    done = subprocess.run([sys.executable, "-m", "refresher", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["wait", "--timeout", "soon"], ["adc"]])
def test_wrong_usage_ends_with_its_status(arguments: list[str]) -> None:
    """An invalid command line ends with status 2 and a message on standard error."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_unknown_target_is_told_with_the_nearest_name(worker: Worker) -> None:
    """A target that is not configured ends a command with status 2 and the nearest name."""
    worker.configure("alice", "bob")

    assert "write alice if you mean that" in worker.command("adc", "alise", status=2).stderr


def test_configuration_may_come_from_the_environment(worker: Worker) -> None:
    """REFRESHER_CONFIG selects the configuration, and a command's own options have variables, too."""
    worker.configure("alice")
    worker.environment = {"REFRESHER_CONFIG": str(worker.configuration), "REFRESHER_ENV_FORMAT": "json"}

    assert json.loads(worker.run("env", "alice").stdout)["GOOGLE_CLOUD_PROJECT"] == "my-project"


@pytest.mark.parametrize("command", ["check", "status", "wait", "adc", "env", "schema"])
def test_commands_that_mint_nothing_import_nothing_that_mints(worker: Worker, command: str) -> None:
    """Health probes and explanations import neither google-auth, an HTTP library, a scheduler nor rich."""
    worker.configure("alice")
    worker.once()
    arguments = {"adc": ["alice"], "env": ["alice"], "wait": ["--timeout", "0s"]}.get(command, [])
    configuration = [] if command == "schema" else ["--config", str(worker.configuration)]

    done = subprocess.run(
        [sys.executable, "-c", AFTERWARDS, command, *configuration, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(done.stderr.split())
    assert "refresher" in loaded
    assert loaded.isdisjoint({"google", "requests", "urllib3", "apscheduler", "rich", "cryptography"})


def test_daemon_imports_nothing_that_it_does_not_use(worker: Worker) -> None:
    """What the daemon has loaded after it published and showed its page is its memory: each module here is a MiB."""
    path = worker.place / "s" / "http.sock"
    worker.configure("alice", listen=f"unix:{path}")
    program = [sys.executable, "-c", AFTERWARDS, "run", "--config", str(worker.configuration)]

    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as daemon:
        until(lambda: path.is_socket() and ask(path, "/readyz").status == 200, what="a ready daemon")
        assert ask(path, "/").status == 200
        daemon.terminate()
        lines = daemon.communicate()[1].splitlines()
    loaded = set(next(line for line in lines if not line.startswith("{")).split())

    assert {"refresher", "apscheduler", "cryptography"} <= loaded
    assert loaded.isdisjoint({"google", "requests", "rich", "uvicorn"})


def test_directory_probe_imports_the_standard_library_only(worker: Worker) -> None:
    """The exec probe answers before the command-line library, pydantic or YAML are imported."""
    worker.configure("alice")
    worker.once()
    probe = ["wait", "--directory", str(worker.directory("alice")), "--timeout", "0s"]

    done = subprocess.run([sys.executable, "-c", AFTERWARDS, *probe], capture_output=True, text=True, check=True)

    third_parties = set(done.stderr.split()) - set(sys.stdlib_module_names) - {"__main__", "refresher"}
    assert {name for name in third_parties if not name.startswith(("_", "sitecustomize"))} == set()


def test_check_explains_and_touches_nothing(worker: Worker) -> None:
    """`check` shows who acts as whom and warns about a short lifetime; it creates no directory."""
    worker.lifetime = "15s"
    worker.configure("alice")

    done = worker.command("check")

    assert "alice: acts as alice@my-project.iam.gserviceaccount.com, proved by subject user-alice" in done.stdout
    assert "suppliers.worker.lifetime is 15s" in done.stderr
    assert not worker.root.exists()


UNFIXED = "the configuration is valid, but the daemon can't refresh tokens before what the warnings name is fixed"
STATUS = "the exit status judges the configuration alone"


@pytest.mark.parametrize("fault", ["open keys", "absent keys", "absent authority"])
def test_check_is_not_fine_if_no_token_can_be_renewed(worker: Worker, fault: str) -> None:
    """What keeps the daemon from renewing tokens is a warning, and the last line does not call it fine."""
    document = worker.document("alice")
    if fault == "open keys":
        (worker.place / "keys").chmod(0o755)
    elif fault == "absent keys":
        (worker.place / "keys").rename(worker.place / "gone")
    else:
        document["google"] = {"ca_file": "/nowhere/ca.pem"}
    worker.write(document)

    done = worker.command("check")

    count = sum(line.startswith("warning: ") for line in done.stderr.splitlines())
    assert done.stdout.splitlines()[-1].endswith(
        f": not fine, 1 target, {count} warning{'s' if count > 1 else ''}: {UNFIXED}; {STATUS}"
    )
    assert fault != "absent authority" or "/nowhere/ca.pem cannot be used as trust" in done.stderr


def test_check_tells_of_files_that_are_not_there(worker: Worker) -> None:
    """`check` warns about absent files that suppliers must read or run."""
    suppliers = {
        "worker": {"kind": "self_issued", "issuer": ISSUER, "keys": "keys"},
        "program": {"kind": "command", "argv": ["/nonexistent/program"]},
        "somebody": {"kind": "file", "path": "nowhere"},
        "client": {"kind": "client_credentials", "issuer": ISSUER, "client_id": "c", "secret_file": "refresher.yaml"},
        "cluster": {"kind": "kubernetes"},
    }
    worker.write(worker.document(suppliers=suppliers))

    done = worker.command("check")

    count = sum(line.startswith("warning: ") for line in done.stderr.splitlines())
    assert done.stdout.splitlines()[-1].endswith(f": not fine, 0 targets, {count} warnings: {UNFIXED}; {STATUS}")
    told = [line.partition(" does not exist")[0] for line in done.stderr.splitlines()]
    assert told == [
        "warning: suppliers.program.argv: /nonexistent/program",
        f"warning: suppliers.somebody.path: {worker.place}/nowhere",
    ]


@pytest.mark.parametrize("command", ["check", "once", "run"])
def test_opaque_access_tokens_are_warned_of(worker: Worker, command: str) -> None:
    """`check`, `once` and the daemon warn about a supplier of access tokens, which the real STS refuses."""
    document = worker.document("alice")
    document["suppliers"] = {"machine": {"kind": "google_access_token", "accept_unsupported": True}}
    document["google"] = {"emulator": True, "endpoints": {"metadata": "http://127.0.0.1:9"}}
    worker.write(document)
    warning = "which the real STS refuses for workload pools"

    if command == "run":
        with worker.daemon() as log:
            until(lambda: any(warning in event["error"] for event in log.events("config.warning")), what="warned")
    else:
        assert warning in worker.command(command, status=None).stderr


def test_schema_is_the_committed_copy() -> None:
    """`schema` prints `configs/schema.json`, byte for byte."""
    done = subprocess.run([*COMMAND, "schema"], capture_output=True, check=True)

    assert done.stdout == (REPOSITORY / "configs" / "schema.json").read_bytes()


def test_keys_are_made_once_and_never_overwritten(tmp_path: Path) -> None:
    """A second `keys new` is refused with status 2 and the first key stays."""
    worker = Worker(place=tmp_path)
    jwks = worker.make_keys()

    done = worker.run("keys", "new", "--directory", str(tmp_path / "keys"), status=2)

    assert jwks["keys"][0]["kid"] in done.stderr
    assert json.loads(worker.run("keys", "jwks", "--directory", str(tmp_path / "keys")).stdout) == jwks
    assert jwks["keys"][0]["kid"] in worker.run("keys", "list", "--directory", str(tmp_path / "keys")).stdout


def test_closed_pipe_is_no_failure(worker: Worker) -> None:
    """If a reader stops early (`| head`), there is neither a traceback nor an error."""
    worker.configure("alice")

    done = subprocess.run(
        ["sh", "-c", f"{COMMAND[0]} status --json --config {worker.configuration} | true"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )

    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&-"])
def test_daemon_runs_without_its_standard_streams(worker: Worker, closed: str) -> None:
    """A daemon with closed streams publishes, and ends regularly: none of its files takes their place."""
    worker.configure("alice")
    script = f"exec {COMMAND[0]} run --config {worker.configuration} {closed}"

    daemon = subprocess.Popen(["sh", "-c", script], cwd=worker.place)
    until((worker.directory("alice") / "env").exists, what="the variables")
    daemon.terminate()

    assert daemon.wait(30) == 0
    assert worker.token("alice").count(".") == 2


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("{refresher} schema >/dev/full", "standard output cannot be written: No space left on device"),
        (
            "mkdir gone && cd gone && rmdir ../gone && {refresher} check --config refresher.yaml",
            "the current directory does not exist any more",
        ),
    ],
    ids=["full", "gone"],
)
def test_fault_of_the_surroundings_is_no_bug(tmp_path: Path, script: str, problem: str) -> None:
    """A full disk behind the output, or a missing directory, is reported with its remedy."""
    done = subprocess.run(
        ["sh", "-c", script.format(refresher=COMMAND[0])], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, problem in done.stderr, "remedy: " in done.stderr) == (2, True, True)


def test_discovery_document_names_the_signers_keys(worker: Worker) -> None:
    """`discovery` prints the document for the issuer of a sign_jwt supplier, and refuses other kinds of suppliers."""
    signer = "signer@my-project.iam.gserviceaccount.com"
    document = worker.document("alice")
    document["suppliers"]["fleet"] = {"kind": "sign_jwt", "issuer": "https://fleet.invalid", "service_account": signer}
    document["identities"]["alice"]["supplier"] = "fleet"
    worker.write(document)

    found = json.loads(worker.command("discovery", "fleet").stdout)

    assert found["issuer"] == "https://fleet.invalid"
    assert found["jwks_uri"] == f"https://www.googleapis.com/service_accounts/v1/metadata/jwk/{signer}"
    assert "use one of: fleet" in worker.command("discovery", "worker", status=2).stderr
