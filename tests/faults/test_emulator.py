from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import yaml

from refresher.emulator.http import Call
from refresher.emulator.persistence import STATE
from refresher.emulator.routes import answer
from tests.program import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LoadCloud

KILLED = Path(__file__).with_name("killed_emulator.py")
KILLS = 40
ALICE = "task-alice@my-project.iam.gserviceaccount.com"
SEED = Path(__file__).parents[2] / "configs" / "emulator-seed.yaml"


@contextmanager
def running(directory: Path, *options: str, end: int = signal.SIGKILL) -> Iterator[dict[str, str]]:
    """Run the command on a directory and end it with a signal; yield its ready line."""
    command = [str(Path(sys.executable).with_name("refresher")), "emulator", "--directory", str(directory), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(end)
            _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == (-end if end == signal.SIGKILL else 0)
        assert "not Google" in said
        assert "Traceback" not in said


def ask(url: str, document: Any = None, bearer: str = "anything", **more: Any) -> Any:  # noqa: ANN401 - JSON
    """Send a request and return the JSON of the answer."""
    body = None if document is None else json.dumps(document).encode()
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    with urlopen(Request(url, data=body, headers=headers), timeout=20, **more) as answer:  # noqa: S310 - our own emulator
        return json.load(answer)


def test_two_emulators_do_not_share_a_directory(tmp_path: Path) -> None:
    """The second one shows what to do and changes nothing; a killed one leaves no lock behind."""
    command = [str(Path(sys.executable).with_name("refresher")), "emulator", "--directory", str(tmp_path)]
    with running(tmp_path):
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)

    assert (second.returncode != 0, second.stdout) == (True, "")
    assert f"another emulator already runs on {tmp_path}" in second.stderr
    assert "start this one with another --directory" in second.stderr
    with running(tmp_path, end=signal.SIGTERM) as ready:
        assert ready["http"]


def test_sigkill_while_writing_loses_the_request_in_flight_at_most(tmp_path: Path) -> None:
    """After many kills at random moments every answered request is saved, and nothing that was not begun."""
    done = subprocess.run(
        [sys.executable, str(KILLED), str(tmp_path), str(KILLS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=Path(__file__).parents[2],
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["answered"] > KILLS
    assert found["between"] > KILLS / 20


def test_restart_of_the_program_restores_the_state(tmp_path: Path) -> None:
    """After a SIGKILL a start on the same directory restores resources, tokens, keys, clock and certificates."""
    member = {"member": f"serviceAccount:{ALICE}"}
    seed = Path(shutil.copy(SEED, tmp_path))
    jwks = yaml.safe_load(seed.read_text())["pools"][0]["providers"]["retired"]["jwks"]
    (tmp_path / "jwks.json").write_text(json.dumps(jwks))
    with running(tmp_path, "--seed", str(seed)) as google:
        http = google["http"]
        made = ask(f"{http}/v1/projects/my-project/serviceAccounts", {"accountId": "made-here"})
        jwks = ask(f"{http}/oauth2/v3/certs")
        own = ask(f"{http}/service_accounts/v1/jwk/{ALICE}")
        token = ask(f"{http}/emulator/token", member)["access_token"]
        ask(f"{http}/emulator/clock", {"advance_seconds": 600})
        authority = Path(google["ca_file"]).read_bytes()

    with running(tmp_path, end=signal.SIGTERM) as google:
        http = google["http"]
        assert ask(f"{http}/v1/projects/my-project/serviceAccounts/{made['email']}") == made
        assert ask(f"{http}/oauth2/v3/certs") == jwks
        assert ask(f"{http}/service_accounts/v1/jwk/{ALICE}") == own
        assert ask(f"{http}/emulator/whoami", bearer=token)["service_account"] == ALICE
        assert ask(f"{http}/emulator/clock")["offset_seconds"] == 600.0
        trusting = ssl.create_default_context(cadata=authority.decode())
        assert ask(f"{google['https']}/emulator/clock", context=trusting)["offset_seconds"] == 600.0


def test_request_is_refused_when_the_state_cannot_be_written(tmp_path: Path, load_cloud: LoadCloud) -> None:
    """While the disk refuses, a request gets a 500 in Google's shape; its change is saved once the disk works again."""
    cloud = load_cloud(tmp_path)

    def make(name: str) -> int:
        body = json.dumps({"accountId": name}).encode()
        path = "/v1/projects/my-project/serviceAccounts"
        call = Call(method="POST", path=path, headers={"authorization": "Bearer anything"}, body=body)
        reply = answer(cloud, call)
        assert reply.status == 200 or reply.document["error"]["status"] == "INTERNAL"
        return reply.status

    with closing(sqlite3.connect(tmp_path / STATE)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert make("while-locked") == 500
        other.execute("ROLLBACK")
    assert make("afterwards") == 200

    found = {email.partition("@")[0] for email in load_cloud(tmp_path).state.service_accounts}
    assert found == {"while-locked", "afterwards"}


def test_journal_has_every_request_and_no_secret(tmp_path: Path) -> None:
    """With `--journal` each request is a line of JSON, across restarts, without tokens or queries."""
    journal = tmp_path / "journal"
    for _ in range(2):
        with running(tmp_path / "google", "--journal", str(journal)) as google:
            token = ask(f"{google['http']}/emulator/token", {"member": "user:carol@example.com"})["access_token"]
            ask(f"{google['http']}/v1/projects?secret=query-7", bearer=token)

    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["path"] for line in lines] == ["/emulator/token", "/v1/projects"] * 2
    assert all(line["status"] == 200 and "time" in line for line in lines)
    assert "ya29." not in journal.read_text()
    assert "query-7" not in journal.read_text()
