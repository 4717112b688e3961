"""The process of `refresher.emulator.evaluation`: it reads questions and writes answers as lines of JSON.

The system enforces limits for each question, whatever the library does: memory by a resource limit, time by a signal
that ends the process.
"""

import json
import resource
import signal
import sys
from contextlib import suppress
from typing import BinaryIO

from refresher.emulator.errors import Refusal
from refresher.emulator.mapping import map_identity
from refresher.emulator.state import Provider

SECONDS = 1.0
"""The limit for all expressions of one exchange."""

MEMORY = 1 << 30
"""The limit of the address space, in bytes."""


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer questions until the input ends."""
    with suppress(ValueError, OSError):  # a system without this limit, or with a lower one
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for question in questions:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        answer = _answer(question)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(answer + b"\n")
        answers.flush()


def _answer(question: bytes) -> bytes:
    asked = json.loads(question)
    provider = Provider(mapping=asked["mapping"], condition=asked["condition"])
    try:
        identity = map_identity(provider, asked["claims"])
    except Refusal as refusal:
        refused = {"status": refusal.status, "document": refusal.document, "entry": refusal.entry}
        return json.dumps({"refusal": refused}).encode()
    found = {"subject": identity.subject, "groups": identity.groups, "attributes": identity.attributes}
    return json.dumps(found).encode()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
