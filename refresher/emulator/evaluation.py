"""Evaluation of slow expressions in a separate process with limits, so that no other request has to wait.

The result of a mapping or condition can grow without end (`replace` of `replace`), and the library that evaluates it
has no limit of time or memory. So every expression that is not clearly quick goes to
`refresher.emulator.evaluation_worker`. The system ends that process when it reaches a limit; the next evaluation starts
another one.
"""

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from refresher.emulator.errors import Refusal, api_refusal, sts_refusal
from refresher.emulator.mapping import Identity
from refresher.emulator.state import Provider

WORKER = "refresher.emulator.evaluation_worker"


class IdentityNeeded(Exception):  # noqa: N818 - not a failure: the rule runs again with the result
    """The claims of a subject token must be mapped in the other process: here, other requests would have to wait."""

    def __init__(self, provider: Provider, claims: dict[str, Any]) -> None:
        super().__init__(provider.issuer)
        self.provider = provider
        self.claims = claims


class Evaluator:
    """Maps claims in another process, one token after the other. The process starts at the first token."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evaluator")
        self._worker: subprocess.Popen[bytes] | None = None

    async def map_identity(self, provider: Provider, claims: dict[str, Any]) -> Identity | Refusal:
        """Return the identity or the refusal of `mapping.map_identity`; beyond a limit the token is rejected."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._map_identity, provider, claims)

    def close(self) -> None:
        """End the other process."""
        self._thread.shutdown(cancel_futures=True)
        self._end()

    def _map_identity(self, provider: Provider, claims: dict[str, Any]) -> Identity | Refusal:
        question = {"mapping": provider.mapping, "condition": provider.condition, "claims": claims}
        try:
            answer = self._ask(json.dumps(question).encode() + b"\n")
        except OSError:
            return api_refusal("internal")
        if not answer:
            self._end()
            return sts_refusal("E12" if provider.condition else "E14")
        found = json.loads(answer)
        if "refusal" in found:
            return Refusal(**found["refusal"])
        return Identity(subject=found["subject"], groups=tuple(found["groups"]), attributes=found["attributes"])

    def _ask(self, question: bytes) -> bytes:
        """Return the line with the answer; nothing if the other process ended instead.

        Raises:
            OSError: The process cannot be started.
        """
        if self._worker is None or self._worker.poll() is not None:
            self._end()
            self._worker = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        asked, answered = self._worker.stdin, self._worker.stdout
        if asked is None or answered is None:
            raise OSError
        try:
            asked.write(question)
            asked.flush()
        except BrokenPipeError:
            return b""
        return answered.readline()

    def _end(self) -> None:
        if self._worker is None:
            return
        self._worker.kill()
        self._worker.communicate()
        self._worker = None
