"""A subject token that somebody else keeps fresh in a file: the `file` supplier.

Links are followed, since Kubernetes projects tokens through them. The content is trimmed of a byte order mark and white
space; what claims it must have is checked before it is published.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from refresher.errors import SupplyError
from refresher.files import UnsuitableFileError, read_regular
from refresher.tokens import MAXIMUM_SIZE, SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from refresher.suppliers.interface import SupplierContext


class FileSupplier:
    """Gives what a file holds."""

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:  # noqa: ARG002 - the file is for all
        """Read the token; every failure may pass, since somebody renews the file.

        Raises:
            SupplyError: The file is absent, unreadable or holds no token that lives.
        """
        token = self._token()
        if token.expires_at <= now:
            raise SupplyError(
                f"the token in the source file {self._path} ended at {token.expires_at:%FT%TZ}",
                "see why what renews it does not, and set this machine's clock (NTP)",
                retryable=True,
            )
        return token

    def _token(self) -> SubjectToken:
        try:
            text = read_regular(self._path, most=MAXIMUM_SIZE)[0].decode("utf-8-sig").strip()
        except OSError as error:
            raise SupplyError(
                f"the source file {self._path} cannot be read: {os.strerror(error.errno or 0)}",
                "start what renews it, and let the daemon's user read it",
                retryable=True,
            ) from error
        except UnicodeDecodeError:
            raise self._useless("it is not text") from None
        except UnsuitableFileError as error:
            raise self._useless(f"it is {error}") from error
        try:
            return peek(text)
        except UnreadableTokenError as error:
            raise self._useless(str(error)) from error

    def _useless(self, reason: str) -> SupplyError:
        return SupplyError(
            f"the source file {self._path} holds no subject token: {reason}",
            "see what renews it write a JWT there",
            retryable=True,
        )
