"""A subject token that a program prints: the `command` supplier. SPIFFE, AWS and Azure are such commands.

The program is called without a shell, with a bound on its time and its output, in a process group of its own that is
ended with it and with the daemon; a process that has left for a session of its own runs on. It is the daemon's user,
but holds none of its capabilities, can gain none and cannot read its memory; what that user may read, it may read. It
may print the token alone, `{"token": …}`, or what an executable credential source prints (AIP-4117). Its standard error
is thrown away, since it may quote anything.
"""

import atexit
import json
import os
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from refresher.durations import format_seconds
from refresher.errors import SupplyError
from refresher.settings.fields import Choice, VariableName
from refresher.settings.values import Argv, CommandTimeout
from refresher.suppliers.interface import FetchingSettings, Supplier, SupplierContext, Workshop
from refresher.tokens import MAXIMUM_SIZE, SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from subprocess import Popen

_MOST_OUTPUT = 2 * MAXIMUM_SIZE
"""Bytes: a token and what JSON adds to it."""

_KILL_SECONDS = 5.0
"""How long a killed program may take to end."""

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH

_SET_DUMPABLE, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _CLEAR_ALL = 4, 24, 38, 47, 4
_CAPABILITY_VERSION = 0x20080522
"""Of prctl(2) and of capset(2)."""


class CommandSettings(FetchingSettings):
    """A subject token that a program prints."""

    kind: Annotated[Literal["command"], Choice()] = Field(description="Printed by a program.")
    argv: Argv = Field(
        description="Absolute path of the program and its arguments; {identity}, {subject}, {audience} are filled in."
    )
    timeout: CommandTimeout = Field(
        default="10s", validate_default=True, description="How long it may take, 1s to 2m. Default: 10s."
    )
    environment: tuple[VariableName, ...] = Field(
        default=(), description="Names of the daemon's variables to pass to it, in addition to PATH, HOME and LANG."
    )

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:
        """Return the command line, the program by its directory and the name it is called by.

        None if an argument differs with the identity.
        """
        text = "\n".join(self.argv)
        if "{identity}" in text or ("{subject}" in text and has_subject):
            return None
        program = Path(self.argv[0])
        return (self.kind, program.parent, program.name, *self.argv[1:])

    def file_paths(self) -> tuple[tuple[str, Path], ...]:
        return (("argv", Path(self.argv[0])),)

    def build(self, workshop: Workshop) -> Supplier:
        names = ("PATH", "HOME", "LANG", *self.environment)
        environment = {name: workshop.environment[name] for name in names if name in workshop.environment}
        return CommandSupplier(argv=self.argv, timeout=self.timeout, environment=environment)


class CommandSupplier:
    """Returns what a program prints; safe to use from several threads.

    `environment` holds all variables it gets, in addition to REFRESHER_IDENTITY, REFRESHER_SUBJECT, REFRESHER_AUDIENCE.
    """

    def __init__(self, *, argv: Sequence[str], timeout: timedelta, environment: Mapping[str, str]) -> None:
        self._argv = tuple(argv)
        self._seconds = timeout.total_seconds()
        self._environment = environment

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Run the program and read what it printed; a failure is retryable unless it can't be run or ended."""
        self._check_program()
        facts = {"identity": context.identity, "subject": context.subject or "", "audience": context.audience}
        output = self._run(facts)
        try:
            return peek(_find_token(output))
        except (UnreadableTokenError, ValueError) as error:
            raise self._fail(f"printed no subject token: {error}") from None

    def _check_program(self) -> None:
        program = self._argv[0]
        try:
            status = os.stat(program)  # noqa: PTH116 - as it is configured
        except OSError as error:
            problem = f"the command {program} cannot be run: {error.strerror}"
            raise SupplyError(problem, "install it, or correct argv") from error
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_MAY_WRITE:
            problem = f"the command {program} could have been written by other users than root and the daemon's"
            raise SupplyError(problem, f"read it through, then: chown root {program} and chmod go-w {program}")

    def _run(self, facts: Mapping[str, str]) -> bytes:
        argv, environment = list(self._argv), dict(self._environment)
        for name, value in facts.items():
            argv = [argument.replace(f"{{{name}}}", value) for argument in argv]
            environment[f"REFRESHER_{name.upper()}"] = value
        try:
            process = _start(argv, environment)
        except (OSError, RuntimeError, ValueError) as error:
            reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
            problem = f"the command {self._argv[0]} cannot be run: {reason}"
            raise SupplyError(problem, "make it executable for the daemon's user") from None
        try:
            output = self._read_output(process)
        finally:
            self._end(process)
        if (status := process.returncode) != 0:
            raise self._fail(f"ended with exit status {status}" if status > 0 else f"ended with signal {-status}")
        return output

    def _read_output(self, process: "Popen[bytes]") -> bytes:
        """Read until the program has ended, even if another process still holds its output open."""
        import selectors

        if process.stdout is None:
            raise AssertionError("the output is a pipe")
        output = bytearray()
        deadline = time.monotonic() + self._seconds
        with selectors.DefaultSelector() as selector:
            end = os.pidfd_open(process.pid)
            try:
                os.set_blocking(process.stdout.fileno(), False)
                selector.register(process.stdout, selectors.EVENT_READ)
                selector.register(end, selectors.EVENT_READ)
                while (left := deadline - time.monotonic()) > 0:
                    ready = {key.fd for key, _ in selector.select(left)}
                    is_open = _read_into(output, process.stdout)
                    if len(output) > _MOST_OUTPUT:
                        raise self._fail(f"printed more than {_MOST_OUTPUT} bytes")
                    if end in ready:
                        return bytes(output)
                    if not is_open and process.stdout.fileno() in selector.get_map():
                        selector.unregister(process.stdout)
            finally:
                os.close(end)
        raise self._fail(f"did not end within {format_seconds(self._seconds)}")

    def _end(self, process: "Popen[bytes]") -> None:
        """End what still runs of a program; if the program can't be ended, raise a SupplyError."""
        from subprocess import TimeoutExpired

        if process.stdout is not None:
            process.stdout.close()
        _kill(process)
        try:
            process.wait(_KILL_SECONDS)
        except TimeoutExpired:
            # not retryable: what is not ended is reaped when it ends, and meanwhile there are few attempts
            problem = f"the command {self._argv[0]} does not end when it is killed (process {process.pid})"
            raise SupplyError(problem, "check what it waits for, such as a file system that hangs") from None

    def _fail(self, what: str) -> SupplyError:
        remedy = "run it by hand as the daemon's user, with the daemon's environment"
        return SupplyError(f"the command {self._argv[0]} {what}", remedy, retryable=True)


def _read_into(output: bytearray, stream: IO[bytes]) -> bool:
    """Read what is there now; return whether more may come."""
    try:
        while part := os.read(stream.fileno(), _MOST_OUTPUT):
            output += part
            if len(output) > _MOST_OUTPUT:
                return True
    except BlockingIOError:
        return True
    return False


def _find_token(output: bytes) -> str:
    """Return the token in an output, or raise a ValueError whose message does not repeat the output."""
    try:
        text = output.decode("utf-8-sig").strip()
        document: dict[str, Any] = json.loads(text) if text.startswith("{") else {"token": text}
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    except (ValueError, RecursionError):
        raise ValueError("it is broken JSON") from None
    if document.get("success") is False:
        raise ValueError("it reports a failure (success is false)")
    token = document.get("token", document.get("id_token"))
    if not isinstance(token, str):
        raise ValueError("its JSON has neither token nor id_token")  # noqa: TRY004 - bad content, whatever its type
    return token


_running: set["Popen[bytes]"] = set()
"""All programs that run now, ended with the interpreter: the threads that hold them to their bounds end with it."""
_running_lock = RLock()


def _start(argv: Sequence[str], environment: Mapping[str, str]) -> "Popen[bytes]":
    """Start a program without a shell, a terminal or any variables but those given; its output is a pipe.

    A program has the capabilities of the thread that starts it, so that a thread of its own drops them first. The
    caller must `_kill` it before it waits for it, even if it has ended by itself.
    """
    from concurrent.futures import ThreadPoolExecutor
    from subprocess import DEVNULL, PIPE, Popen

    def start() -> "Popen[bytes]":
        _give_up_rights()
        process = Popen(  # noqa: S603 - argv of a trusted configuration, no shell
            argv,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
        with _running_lock:
            _running.add(process)
        return process

    with ThreadPoolExecutor(1) as thread:  # refuses when the interpreter ends
        return thread.submit(start).result()


def _give_up_rights() -> None:
    """Take every capability from this thread for good (capabilities(7)), and hide this process's memory (prctl(2))."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    for number in range(64):  # beyond the last one, and without CAP_SETPCAP, it changes nothing
        libc.prctl(_CAPBSET_DROP, number, 0, 0, 0)
    libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)())


def _kill(process: "Popen[bytes]") -> None:
    """Kill a program that was not waited for, and its process group."""
    with _running_lock:  # once it is waited for, its number may be another process's
        _running.discard(process)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        os.kill(process.pid, signal.SIGKILL)


@atexit.register
def _end_all() -> None:
    with _running_lock:
        for process in tuple(_running):
            _kill(process)
