"""A subject token that a program prints: the `command` supplier.

The program is called without a shell, with a bound on its time and its output, in a process group of its own that is
ended with it and with the daemon, as far as the daemon may: what has become another user, or left for a session of its
own, runs on. It may print the token alone, `{"token": …}`, or what an executable credential source prints (AIP-4117).
Its standard error is thrown away: nobody knows what it quotes. SPIFFE, AWS and Azure are such commands.
"""

from __future__ import annotations

import json
import os
import selectors
import stat
import subprocess
import time
from threading import Lock
from typing import TYPE_CHECKING, Any

from refresher.errors import SupplyError
from refresher.suppliers.processes import kill, start
from refresher.tokens import MAXIMUM_SIZE, SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from typing import IO

    from refresher.suppliers.interface import SupplierContext

_MOST_OUTPUT = 2 * MAXIMUM_SIZE
"""Bytes: a token and what JSON adds to it."""

_DYING = 5.0
"""Seconds that a killed program may take to be gone."""

_MOST_LEFT = 8
"""Programs that could not be ended, beside which no more are started."""

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_TOKEN_KEYS = ("token", "id_token")


class CommandSupplier:
    """Gives what a program prints; safe to use from several threads.

    Args:
        argv: Absolute path of the program and its arguments; `{identity}`, `{subject}` and `{audience}` in an argument
            stand for those of the token that is wanted.
        timeout: How long it may take.
        environment: All variables it gets, beside REFRESHER_IDENTITY, REFRESHER_SUBJECT and REFRESHER_AUDIENCE.
    """

    def __init__(self, *, argv: Sequence[str], timeout: timedelta, environment: Mapping[str, str]) -> None:
        self._argv = tuple(argv)
        self._seconds = timeout.total_seconds()
        self._environment = dict(environment)
        self._lock = Lock()
        self._left: list[subprocess.Popen[bytes]] = []

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:  # noqa: ARG002 - the program has a clock
        """Run the program and read what it printed.

        Raises:
            SupplyError: It cannot be run or cannot be ended, or others could have written it.
            SupplyError: It failed, took too long, printed too much or no token.
        """
        self._check_program()
        self._check_left()
        facts = {"identity": context.identity, "subject": context.subject or "", "audience": context.audience}
        output = self._run([_filled(argument, facts) for argument in self._argv], facts)
        try:
            return peek(_token_in(output))
        except (UnreadableTokenError, ValueError) as error:
            raise self._failed(f"printed no subject token: {error}") from None

    def _check_program(self) -> None:
        program = self._argv[0]
        try:
            status = os.stat(program)  # noqa: PTH116 - as it is named
        except OSError as error:
            raise SupplyError(
                f"the command {program} cannot be run: {error.strerror}", "install it, or mend argv"
            ) from error
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_MAY_WRITE:
            raise SupplyError(
                f"the command {program} could have been written by others than root and the daemon",
                f"read it through, then: chown root {program} and chmod go-w {program}",
            )

    def _run(self, argv: Sequence[str], facts: Mapping[str, str]) -> bytes:
        variables = {f"REFRESHER_{name.upper()}": value for name, value in facts.items()}
        try:
            process = start(argv, self._environment | variables)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "an argument holds a null byte"
            raise SupplyError(
                f"the command {self._argv[0]} cannot be run: {reason}", "let the daemon's user execute it"
            ) from None
        try:
            output = self._output_of(process)
        finally:
            self._end(process)
        if process.returncode != 0:
            ended = process.returncode
            raise self._failed(f"ended with exit status {ended}" if ended > 0 else f"ended with signal {-ended}")
        return output

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End whatever still runs of a program, and never wait for what cannot be ended.

        Raises:
            SupplyError: The program itself cannot be ended.
        """
        if process.stdout is not None:
            process.stdout.close()
        try:
            kill(process)
            seconds, reason = _DYING, "it does not end when it is killed"
        except PermissionError:
            seconds, reason = 0.0, "it has become another user"
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with self._lock:
                self._left.append(process)
            raise self._cannot_end(f"runs on beyond its bounds (process {process.pid}): {reason}") from None

    def _check_left(self) -> None:
        """Forget those that ended after all, and start no more where many did not."""
        with self._lock:
            self._left = [process for process in self._left if process.poll() is None]
            count = len(self._left)
        if count >= _MOST_LEFT:
            raise self._cannot_end(f"is not started again: {count} of it cannot be ended")

    def _cannot_end(self, what: str) -> SupplyError:
        return SupplyError(
            f"the command {self._argv[0]} {what}",
            "end it by hand, and let argv name what ends by itself or stays the daemon's user: no setuid, no sudo",
        )

    def _output_of(self, process: subprocess.Popen[bytes]) -> bytes:
        """Read until the program has ended, whoever else still holds its output open."""
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
                        raise self._failed(f"printed more than {_MOST_OUTPUT} bytes")
                    if end in ready:
                        return bytes(output)
                    if not is_open and process.stdout.fileno() in selector.get_map():
                        selector.unregister(process.stdout)
            finally:
                os.close(end)
        raise self._failed(f"was not done after {self._seconds:g} s")

    def _failed(self, what: str) -> SupplyError:
        return SupplyError(
            f"the command {self._argv[0]} {what}",
            "run it by hand as the daemon's user, with the daemon's environment",
            retryable=True,
        )


def _filled(argument: str, facts: Mapping[str, str]) -> str:
    for name, value in facts.items():
        argument = argument.replace(f"{{{name}}}", value)
    return argument


def _read_into(output: bytearray, stream: IO[bytes]) -> bool:
    """Read what is there now; tell whether more may come."""
    try:
        while part := os.read(stream.fileno(), _MOST_OUTPUT):
            output += part
            if len(output) > _MOST_OUTPUT:
                return True
    except BlockingIOError:
        return True
    return False


def _token_in(output: bytes) -> str:
    """Give the token in an output.

    Raises:
        ValueError: There is none; the message does not repeat the output.
    """
    try:
        text = output.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    if not text.startswith("{"):
        return text
    try:
        document: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is broken JSON") from None
    if document.get("success") is False:
        raise ValueError("it says that it failed (success is false)")
    token = next((document[key] for key in _TOKEN_KEYS if key in document), None)
    if not isinstance(token, str):
        raise ValueError("its JSON has neither token nor id_token")  # noqa: TRY004 - bad content, whatever its type
    return token
