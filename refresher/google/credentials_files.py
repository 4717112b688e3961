"""Credentials files that google-auth can load, without a call to anybody while they are loaded.

google-auth's own loader exchanges a federated identity at once, to learn a project that nobody asked for, and begins a
thread beside it; hence those are built here by their kind.
"""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google.auth
from google.auth.exceptions import GoogleAuthError

from refresher.errors import SupplyError
from refresher.files import UnsuitableFileError, read_regular
from refresher.resources import CLOUD_PLATFORM_SCOPE

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

    from refresher.google.request_adapter import RequestAdapter

SCOPES = (CLOUD_PLATFORM_SCOPE,)
_LARGEST = 1024 * 1024
"""Bytes of a document, and of a file that one names as its source."""
_REMEDY = "name a credentials file that google-auth can load, as gcloud writes it"
_AWS = "urn:ietf:params:aws:token-type:aws4_request"

FAILURES = (
    GoogleAuthError,
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What google-auth raises at documents and answers that are not as it expects."""


def load(path: Path) -> Loaded:
    """Load credentials of any kind, with the scope cloud-platform.

    Raises:
        SupplyError: The file is absent, unreadable or not of a kind that google-auth knows.
    """
    try:
        document = json.loads(read_regular(path, most=_LARGEST)[0])
        return Loaded(path=path, credentials=_of_document(document), source_files=_source_files_of(document))
    except OSError as error:
        raise SupplyError(
            f"the credentials file {path} cannot be read: {error.strerror}", "let the daemon's user read it"
        ) from error
    except UnsuitableFileError as error:
        raise SupplyError(f"the credentials file {path} cannot be used: it is {error}", _REMEDY) from error
    except FAILURES as error:
        # no cause: its text may quote the document, which holds a key
        raise SupplyError(f"the credentials file {path} cannot be used ({type(error).__name__})", _REMEDY) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Credentials of a file.

    Attributes:
        path: The file.
        credentials: As google-auth has them.
        source_files: Which google-auth reads at each refresh, and would wait for where one is a FIFO.
    """

    path: Path
    credentials: Credentials
    source_files: tuple[Path, ...]

    def refresh(self, request: RequestAdapter) -> tuple[object, object]:
        """Have google-auth fetch an access token; give it and its end, or whatever else is in their place.

        Raises:
            SupplyError: What the credentials are had from on this machine cannot be used.
            Exception: One of `FAILURES`.
        """
        for file in self.source_files:
            self._check(file)
        try:
            self.credentials.refresh(request)  # type: ignore[no-untyped-call]  # google-auth types it half
        except subprocess.TimeoutExpired as error:
            # no cause: it holds what the program printed
            raise SupplyError(
                f"the program that the credentials in {self.path} name was not done after {error.timeout:g} s",
                "run it by hand as the daemon's user; timeout_millis in that file gives it longer",
                retryable=True,
            ) from None
        return self.credentials.token, self.credentials.expiry

    def _check(self, file: Path) -> None:
        try:
            read_regular(file, most=_LARGEST)
        except FileNotFoundError:
            return  # a program may not have written its own yet; of any other google-auth says that it is not there
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
            raise SupplyError(
                f"the source file {file} of the credentials in {self.path} cannot be used: {reason}",
                "start what renews it, and let the daemon's user read it",
                retryable=True,
            ) from None


def _of_document(document: dict[str, Any]) -> Credentials:
    if document["type"] == "external_account":
        kind = _federated(document)
        federated: Credentials = kind.from_info(document, scopes=SCOPES)
        return federated
    with warnings.catch_warnings():
        # google-auth warns of documents from strangers; this one is the operator's own, named in a trusted file
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="refresher|google")
        credentials: Credentials
        credentials, _ = google.auth.load_credentials_from_dict(document, scopes=list(SCOPES))  # type: ignore[no-untyped-call]  # google-auth types it half
        return credentials


def _federated(document: dict[str, Any]) -> Any:  # noqa: ANN401 - google-auth's classes share no typed constructor
    if document.get("subject_token_type") == _AWS:
        from google.auth import aws  # noqa: PLC0415 - imports much, and few need it

        return aws.Credentials
    if "executable" in document["credential_source"]:
        from google.auth import pluggable  # noqa: PLC0415 - same reason

        return pluggable.Credentials
    from google.auth import identity_pool  # noqa: PLC0415 - same reason

    return identity_pool.Credentials


def _source_files_of(document: dict[str, Any]) -> tuple[Path, ...]:
    source = document.get("credential_source")
    if not isinstance(source, dict):
        return ()
    program = source.get("executable")
    named = (source.get("file"), program.get("output_file") if isinstance(program, dict) else None)
    return tuple(Path(file) for file in named if isinstance(file, str))
