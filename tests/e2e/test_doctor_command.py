"""The command `refresher doctor`: what it prints, in which form, and what else it can do."""

import json
import os
import pty
import subprocess
import tarfile
from pathlib import Path

from refresher.doctor.chain import NAMES
from refresher.doctor.links.supply import CREDENTIALS
from tests.e2e.doctor_site import Site
from tests.program import COMMAND, account_of, secret_in


def test_command_shows_what_is_wrong_first(site: Site) -> None:
    """The command prints the problem with cause, remedy and source before the chain, and exits as its stage."""
    site.google.state.service_accounts[account_of("alice")].policy.bindings.clear()

    done = site.worker.command("doctor", status=5)

    lines = done.stdout.splitlines()
    assert lines[0].startswith("✗ impersonation: generateAccessToken of alice@")
    assert [line.split()[0] for line in lines[1:5]] == ["cause:", "remedy:", "source:", "targets:"]
    assert lines[-1] == "1 target checked, 1 broken, 2 links unknown"
    assert secret_in(done.stdout + done.stderr) is None


def test_json_has_every_link_of_every_target(site: Site) -> None:
    """The JSON lists all findings with their fields, whatever is wrong."""
    site.provider.disabled = True

    document = json.loads(site.worker.command("doctor", "--json", "alice", status=5).stdout)

    assert (document["ok"], document["exit_status"]) == (False, 5)
    (target,) = document["targets"]
    broken = next(each for each in target["findings"] if each["link"] == "exchange")
    assert broken.keys() == {
        *("link", "state", "evidence", "cause", "remedy", "entry", "source", "verified", "exit_status"),
    }
    assert (broken["entry"], broken["exit_status"], broken["verified"]) == ("E4", 5, True)
    assert [each["link"] for each in (*document["worker"], *target["findings"])] != []
    assert {each["link"] for each in (*document["worker"], *target["findings"])} == set(NAMES) - {CREDENTIALS}


def test_container_is_looked_into_by_name(site: Site) -> None:
    """With --container the engine is asked for the process, whose variables are missing here; exit 6."""
    programs = site.worker.place / "bin"
    programs.mkdir()
    (programs / "podman").write_text(f"#!/bin/sh\necho {os.getpid()}\n")
    (programs / "podman").chmod(0o755)
    site.worker.environment = {"PATH": f"{programs}:{os.environ['PATH']}"}

    done = site.worker.command("doctor", "--container", "box", "--json", status=6)

    (target,) = json.loads(done.stdout)["targets"]
    found = {each["link"]: each for each in target["findings"]}
    assert found["container"]["state"] == "ok", found["container"]
    assert found["variables"]["entry"] == "variables-unset"


def test_message_of_a_client_is_explained(site: Site) -> None:
    """With --explain a message leads to cause, remedy and source, and an unknown one to an error."""
    known = site.worker.run("doctor", "--explain", "RefreshError: Missing subject_token in the credential_source file")
    unknown = site.worker.run("doctor", "--explain", "something else", status=2)

    assert [line.split()[0] for line in known.stdout.splitlines()] == ["cause:", "remedy:", "source:"]
    assert "not in the catalogue" in unknown.stderr


def test_bundle_has_what_a_ticket_needs_and_no_secret(site: Site) -> None:
    """The archive holds the commands' output, versions and the given log, in which tokens and keys are blanked."""
    bundle, log = site.worker.place / "ticket.tar.gz", site.worker.place / "log"
    key = (next((site.worker.place / "keys").glob("*.pem"))).read_text()
    log.write_text(f"a line\n{site.worker.token('alice')}\n{key}ya29.c.b0Aa\nthe end\n")

    site.worker.command("doctor", "--bundle", str(bundle), "--log", str(log))

    with tarfile.open(bundle) as archive:
        files = {name: archive.extractfile(name) for name in archive.getnames()}
        texts = {Path(name).name: file.read().decode() for name, file in files.items() if file is not None}
    assert texts.keys() == {"doctor.json", "status.json", "status.txt", "check.txt", "versions.json", "log.txt"}
    assert json.loads(texts["doctor.json"])["ok"]
    assert json.loads(texts["status.json"])["ready"]
    assert texts["log.txt"].split() == ["a", "line", "…", "…", "…", "the", "end"]
    assert secret_in("".join(texts.values())) is None
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert "cannot be written: File exists" in site.worker.command("doctor", "--bundle", str(bundle), status=2).stderr


def test_progress_is_shown_on_a_terminal_alone(site: Site) -> None:
    """On a terminal standard error counts the targets; in a file it stays empty."""
    main, terminal = pty.openpty()
    command = [*COMMAND, "doctor", "--config", str(site.worker.configuration)]
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, check=True)
        shown = os.read(main, 4096).decode()
    finally:
        os.close(main)
        os.close(terminal)

    assert "1 of 1 targets tried" in shown
    assert site.worker.command("doctor").stderr == ""
