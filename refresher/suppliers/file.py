"""A subject token that another program keeps fresh in a file: the `file` supplier.

Symbolic links are followed, since Kubernetes projects tokens through them. The content is trimmed of a byte order mark
and whitespace; it is the token, or a JSON object with the token in one of its fields (the `format` of an ADC document,
AIP-4117). Which claims the token must have is checked before it is published.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from refresher.errors import SupplyError
from refresher.files import explain_failure, read_regular
from refresher.settings.fields import Choice, ClientText
from refresher.settings.places import Problem
from refresher.settings.values import AbsolutePath
from refresher.suppliers.interface import FetchingSettings, Supplier, SupplierContext, Workshop, read_token
from refresher.tokens import MAXIMUM_SIZE, SubjectToken

_JSON_REMEDY = "set format: json and subject_token_field_name in the supplier"
_FAULTS = {
    "{": ("it is JSON", _JSON_REMEDY),
    "[": ("it is JSON", _JSON_REMEDY),
    '"': ("it is quoted", "make the program that renews it write the token without quotes"),
    "'": ("it is quoted", "make the program that renews it write the token without quotes"),
    "bearer": ("it begins with Bearer", "make the program that renews it write the token alone"),
}
"""What a file holds instead of a token, by how it begins, and what to do about it."""


class FileSettings(FetchingSettings):
    """A subject token that another program keeps fresh in a file."""

    kind: Annotated[Literal["file"], Choice()] = Field(description="Read from a file that another program renews.")
    path: AbsolutePath = Field(description="The file; relative to the file that names it.")
    format: Annotated[Literal["text", "json"], Choice()] = Field(
        default="text", description="Whether the file is the token, or a JSON object that holds it. Default: text."
    )
    subject_token_field_name: ClientText | None = Field(
        default=None, description="Which field of the JSON object holds the token; only with format: json."
    )

    def check(self) -> Iterator[Problem]:
        is_json, is_named = self.format == "json", "subject_token_field_name" in self.node
        if is_json and not is_named:
            yield self.problem("has no subject_token_field_name, which format: json needs", "add it, such as id_token")
        if is_named and not is_json and "format" not in self.broken:
            clause = "is used only with format: json"
            yield self.problem(clause, "add format: json", "subject_token_field_name", at_key=True)

    @property
    def is_local(self) -> bool:
        return True

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...]:
        return (self.kind, self.path, *filter(None, [self.subject_token_field_name]))

    def build(self, workshop: Workshop) -> Supplier:
        return FileSupplier(self)


class FileSupplier:
    """Returns the token that a file holds."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Read the token; each failure is retryable, since another program renews the file."""
        path = self._settings.path
        try:
            text = read_regular(path, most=MAXIMUM_SIZE)[0].decode("utf-8-sig").strip()
        except (OSError, ValueError) as error:
            problem = f"the source file {path} {explain_failure(error)}"
            remedy = "start the program that renews it, and make the file readable for the daemon's user"
            raise SupplyError(problem, remedy, retryable=True) from None
        problem = f"the source file {path} holds no subject token"
        fault = next((fault for begin, fault in _FAULTS.items() if text.lower().startswith(begin)), None)
        if not text:
            fault = "it is empty", "check the program that renews it"
        elif self._settings.format == "json":
            field = self._settings.subject_token_field_name or ""
            text = _read_field(text, field)
            fault = None if text else (f"it is not a JSON object with text in `{field}`", "correct the field's name")
        if fault is not None:
            raise SupplyError(f"{problem}: {fault[0]}", fault[1], retryable=True)
        token = read_token(text, problem, "make the program that renews it write a JWT there")
        if token.expires_at <= now:
            problem = f"the token in the source file {path} expired at {token.expires_at:%FT%TZ}"
            remedy = "check the program that renews it, and set this machine's clock (NTP)"
            raise SupplyError(problem, remedy, retryable=True)
        return token


def _read_field(text: str, name: str) -> str:
    """Return a text of a JSON object; an empty one if it has none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    found = document.get(name) if isinstance(document, dict) else None
    return found.strip() if isinstance(found, str) else ""
