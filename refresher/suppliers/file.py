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

_FAULTS = {"{": "is JSON", "[": "is JSON", '"': "is quoted", "'": "is quoted", "bearer": "begins with Bearer"}
"""What a file holds instead of a token, by how it begins."""


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
        return self

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Read the token; each failure is retryable, since another program renews the file."""
        try:
            text = read_regular(self.path, most=MAXIMUM_SIZE)[0].decode("utf-8-sig").strip()
        except (OSError, ValueError) as error:
            problem = f"the source file {self.path} {explain_failure(error)}"
            remedy = "start the program that renews it, and make the file readable for the daemon's user"
            raise SupplyError(problem, remedy, retryable=True) from None
        problem = f"the source file {self.path} holds no subject token"
        fault = next((fault for begin, fault in _FAULTS.items() if text.lower().startswith(begin)), None)
        remedy = "make its writer store the token alone, or set format: json and subject_token_field_name"
        if not text:
            fault, remedy = "is empty", "check the program that renews it"
        elif self.format == "json":
            text = self._read_field(text)
            fault = None if text else f"is not a JSON object with text in `{self.subject_token_field_name}`"
            remedy = "correct subject_token_field_name, or the program that renews it"
        if fault is not None:
            raise SupplyError(f"{problem}: it {fault}", remedy, retryable=True)
        token = read_token(text, problem, "make the program that renews it write a JWT there")
        if token.expires_at <= now:
            problem = f"the token in the source file {self.path} expired at {token.expires_at:%FT%TZ}"
            remedy = "set this machine's clock (NTP) if it is wrong; else check the program that renews it"
            raise SupplyError(problem, remedy, retryable=True)
        return token

    def _read_field(self, text: str) -> str:
        """Return the token in a JSON object; an empty text if it has none."""
        try:
            found = json.loads(text)[self.subject_token_field_name]
        except (ValueError, LookupError, TypeError, RecursionError):
            return ""
        return found.strip() if isinstance(found, str) else ""
