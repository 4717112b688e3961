"""A running client: a program that reads on request until it is closed, or a tool that runs again for each read."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

CALL_SECONDS = 100.0
"""How many seconds one call may take on a machine that is busy with all clients."""
_SHOWN = 400


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The outcome of one call.

    Attributes:
        content: The content that was read; None if the call failed.
        error: The kind of the error that the client's user got.
        message: The whole error message.
    """

    content: str | None = None
    error: str = ""
    message: str = ""

    def __str__(self) -> str:
        """Return it as one line for a report."""
        if self.content is not None:
            return self.content
        return f"{self.error}: {' '.join(self.message.split())[:_SHOWN]}"


class Probe(Protocol):
    """A client that reads on request."""

    def read(self, bucket: str) -> Answer:
        """Read the object of a bucket."""
        ...

    def close(self) -> None:
        """Stop the client."""
        ...


class Program:
    """A program that starts once, and answers each line of its input with one line of JSON."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                env=dict(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=log.parent,
            )
        self._lines: Queue[str] = Queue()
        self._reader = Thread(target=self._listen, daemon=True)
        self._reader.start()

    def read(self, bucket: str) -> Answer:
        """Request a read and wait for the answer. If the program ended or hangs, the answer is an error."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{bucket}\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=CALL_SECONDS)
        except BrokenPipeError:
            line = ""
        except Empty:
            return Answer(error="hangs", message=f"no answer within {CALL_SECONDS:.0f} s")
        if not line:
            return Answer(error=f"ended with status {self._process.wait()}", message=self._log.read_text()[-_SHOWN:])
        return Answer(**json.loads(line))

    def close(self) -> None:
        """Close its input, which ends it; kill it if it does not end."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


class Tool:
    """A tool that runs again for each read, and prints what it read.

    Args:
        command: Returns the command that reads a bucket.
        variables: All its environment variables.
        place: Its working directory.
        shape: Turns its output into the answer.
        first: A command that must run once before the reads of a bucket; None without one.
    """

    def __init__(
        self,
        command: Callable[[str], Sequence[str]],
        variables: Mapping[str, str],
        place: Path,
        *,
        shape: Callable[[str], str] = str.strip,
        first: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self._first = first
        self._told = ""
        self._command = command
        self._shape = shape
        self._variables = dict(variables)
        self._place = place

    def read(self, bucket: str) -> Answer:
        """Run it once, after its first command if necessary."""
        if self._first is not None and self._told != bucket:
            answer = self._run(self._first(bucket))
            if answer.content is None:
                return answer
            self._told = bucket
        return self._run(self._command(bucket))

    def close(self) -> None:
        """Do nothing: no process is left."""

    def _run(self, command: Sequence[str]) -> Answer:
        try:
            done = subprocess.run(
                command,
                env=self._variables,
                capture_output=True,
                text=True,
                check=False,
                timeout=CALL_SECONDS,
                cwd=self._place,
            )
        except subprocess.TimeoutExpired:
            return Answer(error="hangs", message=f"not done within {CALL_SECONDS:.0f} s")
        if done.returncode:
            return Answer(error=f"exit status {done.returncode}", message=done.stderr.strip() or done.stdout.strip())
        return Answer(content=self._shape(done.stdout))
