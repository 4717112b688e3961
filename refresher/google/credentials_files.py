"""Credentials files that google-auth can load, without a call to anybody while they are loaded.

google-auth's own loader exchanges a federated identity at once, to learn a project that nobody asked for, and begins a
thread beside it; hence those are built here by their kind.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import google.auth
from google.auth.exceptions import GoogleAuthError

from refresher.errors import SupplyError
from refresher.resources import CLOUD_PLATFORM_SCOPE

if TYPE_CHECKING:
    from pathlib import Path

    from google.auth.credentials import Credentials

SCOPES = (CLOUD_PLATFORM_SCOPE,)
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


def load(path: Path) -> Credentials:
    """Load credentials of any kind, with the scope cloud-platform.

    Raises:
        SupplyError: The file is absent, unreadable or not of a kind that google-auth knows.
    """
    try:
        document = json.loads(path.read_bytes())
        return _of_document(document)
    except OSError as error:
        raise SupplyError(
            f"the credentials file {path} cannot be read: {error.strerror}", "let the daemon's user read it"
        ) from error
    except FAILURES as error:
        # no cause: its text may quote the document, which holds a key
        raise SupplyError(
            f"the credentials file {path} cannot be used ({type(error).__name__})",
            "name a credentials file that google-auth can load, as gcloud writes it",
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
