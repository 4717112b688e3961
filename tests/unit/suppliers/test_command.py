from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.errors import SupplyError
from refresher.suppliers.command import CommandSettings, CommandSupplier
from refresher.suppliers.interface import SupplierContext
from tests.contract.cases import ContractCase
from tests.failures import is_retryable
from tests.program import until
from tests.tokens import AUDIENCE, NOW, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow  # starts programs that hang
CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)


def prepare(directory: Path) -> None:
    """Create the file that the program prints, with a token that is issued now."""
    (directory / "source-token").write_text(make_jwt(issued_at=datetime.now(UTC)))


CONTRACT = {
    "command": ContractCase(
        supplier="{kind: command, argv: [/bin/cat, PLACE/source-token]}",
        prepare=prepare,
        subject_keys=frozenset({"argv"}),
        other_keys=frozenset({"environment", "issuer", "timeout"}),
    ),
}
TOKEN = make_jwt()


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Return a maker of programs: shell scripts that only their owner can write to."""

    def make(script: str) -> Path:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return path

    return make


def make_supplier(path: Path, *arguments: str, seconds: float = 20, **environment: str) -> CommandSupplier:
    """Return the supplier that runs a program."""
    return CommandSupplier(
        argv=[str(path), *arguments],
        timeout=timedelta(seconds=seconds),
        environment={"PATH": os.environ["PATH"], **environment},
    )


@pytest.mark.parametrize(
    "output",
    [
        TOKEN,
        f"{TOKEN}\n",
        f"\ufeff  {TOKEN}\r\n",
        json.dumps({"token": TOKEN, "expires_at": "2026-01-01T01:00:00Z"}),
        json.dumps(
            {
                "version": 1,
                "success": True,
                "token_type": "urn:ietf:params:oauth:token-type:id_token",
                "id_token": TOKEN,
                "expiration_time": 1767229200,
            },
            indent=2,
        ),
    ],
    ids=["text", "line", "bom", "json", "aip-4117"],
)
def test_printed_token_is_read(tmp_path: Path, program: Callable[[str], Path], output: str) -> None:
    """A token alone, with whitespace around it, or in either form of JSON is read."""
    (tmp_path / "output").write_text(output)

    assert make_supplier(program(f"cat {tmp_path}/output")).supply(CONTEXT, NOW).value == TOKEN


def test_program_gets_the_identity(tmp_path: Path, program: Callable[[str], Path]) -> None:
    """Arguments and variables hold identity, subject and audience; no other variable of the daemon's is passed on."""
    script = f'echo "$@" > {tmp_path}/said; env >> {tmp_path}/said; echo {TOKEN}'

    make_supplier(program(script), "--for={subject}", "{audience} {identity} {other}", MORE="x").supply(CONTEXT, NOW)

    arguments, *variables = (tmp_path / "said").read_text().splitlines()
    assert arguments == f"--for=user-1 {AUDIENCE} alice {{other}}"
    names = {line.partition("=")[0] for line in variables} - {"PWD", "SHLVL", "_", "OLDPWD"}
    assert names == {"PATH", "MORE", "REFRESHER_IDENTITY", "REFRESHER_SUBJECT", "REFRESHER_AUDIENCE"}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "ended with exit status 3"),
        ("kill -9 $$", "ended with signal 9"),
        ("true", "printed no subject token"),
        ("echo rubbish", "printed no subject token"),
        ("printf '\\377\\376'", "it is not text"),
        ("echo '{'", "it is broken JSON"),
        ("echo '{}'", "neither token nor id_token"),
        ("echo '{\"token\": 5}'", "neither token nor id_token"),
        ('echo \'{"success": false, "message": "shh"}\'', "success is false"),
        ("yes", "printed more than"),
    ],
)
def test_failure_is_reported_without_its_output(program: Callable[[str], Path], script: str, reason: str) -> None:
    """Each failure of a program is retryable, and reported without quoting what it printed."""
    with pytest.raises(SupplyError, match=reason, check=is_retryable) as caught:
        make_supplier(program(f"echo eyJzZWNyZXQ >&2; {script}")).supply(CONTEXT, NOW)

    assert caught.value.remedy
    assert "shh" not in str(caught.value)
    assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize(
    "script", ["sleep 600", "sleep 600 & sleep 600 & wait", "exec >&-; sleep 600"], ids=["alone", "forks", "closes"]
)
def test_program_that_hangs_is_ended_with_its_children(
    tmp_path: Path, program: Callable[[str], Path], script: str
) -> None:
    """When its time limit is reached, a program and all processes that it started are ended."""
    path = program(f"echo $$ > {tmp_path}/pid; {script}")

    with pytest.raises(SupplyError, match=r"did not end within 0\.5 s", check=is_retryable):
        make_supplier(path, seconds=0.5).supply(CONTEXT, NOW)

    group = int((tmp_path / "pid").read_text())
    until(lambda: not _is_alive(group), what="the process group is gone")


def test_program_holds_no_right_of_the_daemon(tmp_path: Path, program: Callable[[str], Path]) -> None:
    """A program has no capability, can gain none, and cannot read the daemon's memory; the daemon keeps its own."""
    before = _read_capabilities(Path("/proc/self/status").read_text())
    path = program(
        f"cat /proc/self/status > {tmp_path}/status; cat /proc/$PPID/environ 2> {tmp_path}/refusal; echo {TOKEN}"
    )

    token = make_supplier(path).supply(CONTEXT, NOW)

    status = (tmp_path / "status").read_text()
    assert token.value == TOKEN
    assert set(_read_capabilities(status).values()) == {0}
    assert "NoNewPrivs:\t1\n" in status
    assert "Permission denied" in (tmp_path / "refusal").read_text()
    assert _read_capabilities(Path("/proc/self/status").read_text()) == before


def _read_capabilities(status: str) -> dict[str, int]:
    return {name: int(bits, 16) for name, bits in re.findall(r"^(Cap\w+):\s(\w+)$", status, re.MULTILINE)}


def test_child_that_holds_the_output_does_not_delay(tmp_path: Path, program: Callable[[str], Path]) -> None:
    """The token is available when the program has ended, though a child keeps the pipe open; the child is ended."""
    path = program(f"echo $$ > {tmp_path}/pid; sleep 600 & echo {TOKEN}")
    began = time.monotonic()

    assert make_supplier(path).supply(CONTEXT, NOW).value == TOKEN

    assert time.monotonic() - began < 15
    until(lambda: not _is_alive(int((tmp_path / "pid").read_text())), what="the process group is gone")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.chmod(0o722), "could have been written by other users"),
        (lambda path: path.chmod(0o600), "cannot be run"),
        (lambda path: path.write_bytes(b"\x7fELF rubbish"), "cannot be run"),
    ],
    ids=["absent", "writable", "not-executable", "not-a-program"],
)
def test_program_that_cannot_be_run(
    program: Callable[[str], Path], spoil: Callable[[Path], object], reason: str
) -> None:
    """A program that cannot be run, or that others could have written, is a permanent failure."""
    path = program(f"echo {TOKEN}")
    spoil(path)

    with pytest.raises(SupplyError, match=reason) as caught:
        make_supplier(path).supply(CONTEXT, NOW)

    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("argv", "has_subject", "source"),
    [
        (["/bin/print", "{audience}"], True, ("command", Path("/bin"), "print", "{audience}")),
        (["/bin/print", "--for={identity}"], True, None),
        (["/bin/print", "{subject}"], True, None),
        (["/bin/print", "{subject}"], False, ("command", Path("/bin"), "print", "{subject}")),
    ],
    ids=["same-for-all", "identity", "subject", "no-subject"],
)
def test_command_line_chooses_the_subject(
    argv: list[str],
    has_subject: bool,  # noqa: FBT001 - a table's column
    source: tuple[object, ...] | None,
) -> None:
    """A command line that is the same for every identity chooses one subject; a placeholder means one subject each."""
    settings = CommandSettings.model_validate({"kind": "command", "argv": tuple(argv)})

    assert settings.subject_source(has_subject=has_subject) == source


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
