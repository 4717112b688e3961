"""A reader beside the clients: looks at every file again and again, and tells what no client may ever find there.

A client that keeps its access token looks at the file once in a while, and is lucky. This one is not: it finds a file
that is empty between truncation and write, one that was written in place though no look fell into that moment, and a
token that is replaced late.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import jwt

from tests.clients.client import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

INTERVAL = 0.03
"""Seconds between two looks at all files."""
LEFT_AT_LEAST = 1 / 3
"""Of a token's life: the daemon replaces it at half its life, and may be a little late on a machine that is busy."""


class Watch:
    """Looks at files.

    Args:
        files: All of them; those named `token` hold subject tokens, of others only that they are not empty is known.
        keys: The JWKS that subject tokens are signed by.

    Attributes:
        wrong: What was found and must not be, with how often.
        looks: How often all files were looked at.
    """

    def __init__(self, files: Sequence[Path], keys: Mapping[str, Any]) -> None:
        self._files = files
        self._keys = jwt.PyJWKSet.from_dict(dict(keys))
        self._seen: dict[Path, tuple[int, bytes]] = {}
        self._claims: dict[bytes, dict[str, Any]] = {}
        self.wrong: Counter[str] = Counter()
        self.looks = 0

    def look(self, now: float) -> None:
        """Look at all files once."""
        for file in self._files:
            found = self._judged(file, now)
            if found:
                self.wrong[f"{file.parent.name}/{file.name} {found}"] += 1
        self.looks += 1

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look on and on in a thread for the length of a `with` block."""
        ended = Event()

        def watch() -> None:
            while not ended.wait(INTERVAL):
                self.look(time.time())

        with ThreadPoolExecutor(1) as pool:
            watcher = pool.submit(watch)
            try:
                yield
            finally:
                ended.set()
            watcher.result()

    def _judged(self, file: Path, now: float) -> str:
        try:
            with file.open("rb") as opened:
                number, content = os.fstat(opened.fileno()).st_ino, opened.read()
        except FileNotFoundError:
            return "is absent"
        if not content:
            return "is empty"
        before, self._seen[file] = self._seen.get(file), (number, content)
        if before is not None and before[0] == number and before[1] != content:
            return "was written in place"
        if file.name != TOKEN:
            return ""
        try:
            claims = self._claims.get(content) or self._verified(content)
        except jwt.PyJWTError:
            return "holds no whole token"
        left = (claims["exp"] - now) / (claims["exp"] - claims["iat"])
        return f"has less than {LEFT_AT_LEAST:.0%} of its life left" if left < LEFT_AT_LEAST else ""

    def _verified(self, content: bytes) -> dict[str, Any]:
        key = self._keys[jwt.get_unverified_header(content)["kid"]]
        options: Any = {"verify_exp": False, "verify_aud": False}
        claims: dict[str, Any] = jwt.decode(content, key, options=options)
        self._claims[content] = claims
        return claims
