"""A reader of all files while the clients run: it reads every file again and again and records what must never happen.

A client that keeps its access token rarely reads the file, and can miss a mistake. This reader finds a file that is
empty between truncation and write, a file that was written in place at any time, and a token that is replaced late.
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
"""Seconds between two reads of all files."""
LEFT_AT_LEAST = 1 / 3
"""The smallest part of a token's lifetime: the daemon replaces it after half of it, or a little later when busy."""


class Watch:
    """Reads files and records mistakes.

    Args:
        files: All files. A file `token` must contain a subject token, other files must not be empty.
        keys: The JWKS that verifies subject tokens.

    Attributes:
        wrong: The mistakes, with the number of times.
        looks: How often all files were read.
    """

    def __init__(self, files: Sequence[Path], keys: Mapping[str, Any]) -> None:
        self._files = files
        self._keys = jwt.PyJWKSet.from_dict(dict(keys))
        self._seen: dict[Path, tuple[int, bytes]] = {}
        self._claims: dict[bytes, dict[str, Any]] = {}
        self.wrong: Counter[str] = Counter()
        self.looks = 0

    def look(self, now: float) -> None:
        """Read all files once."""
        for file in self._files:
            found = self._find_problem(file, now)
            if found:
                self.wrong[f"{file.parent.name}/{file.name} {found}"] += 1
        self.looks += 1

    @contextmanager
    def run_in_background(self) -> Iterator[None]:
        """Read all files again and again in a thread, for the length of a `with` block."""
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

    def _find_problem(self, file: Path, now: float) -> str:
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
