"""A subject token that another program keeps fresh in a file: the `file` supplier.

Symbolic links are followed, since Kubernetes projects tokens through them. The content is trimmed of a byte order mark
and whitespace; which claims it must have is checked before it is published.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from refresher.errors import SupplyError
from refresher.files import explain_failure, read_regular
from refresher.settings.fields import Choice
from refresher.settings.values import AbsolutePath
from refresher.suppliers.interface import FetchingSettings, Supplier, SupplierContext, Workshop, read_token
from refresher.tokens import MAXIMUM_SIZE, SubjectToken


class FileSettings(FetchingSettings):
    """A subject token that another program keeps fresh in a file."""

    kind: Annotated[Literal["file"], Choice()] = Field(description="Read from a file that another program renews.")
    path: AbsolutePath = Field(description="The file; relative to the file that names it.")

    @property
    def is_local(self) -> bool:
        return True

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...]:
        return (self.kind, self.path)

    def build(self, workshop: Workshop) -> Supplier:
        return FileSupplier(path=self.path)


class FileSupplier:
    """Returns the token that a file holds."""

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Read the token; each failure is retryable, since another program renews the file."""
        try:
            text = read_regular(self._path, most=MAXIMUM_SIZE)[0].decode("utf-8-sig").strip()
        except (OSError, ValueError) as error:
            problem = f"the source file {self._path} {explain_failure(error)}"
            remedy = "start the program that renews it, and make the file readable for the daemon's user"
            raise SupplyError(problem, remedy, retryable=True) from None
        problem = f"the source file {self._path} holds no subject token"
        token = read_token(text, problem, "make the program that renews it write a JWT there")
        if token.expires_at <= now:
            problem = f"the token in the source file {self._path} expired at {token.expires_at:%FT%TZ}"
            remedy = "check the program that renews it, and set this machine's clock (NTP)"
            raise SupplyError(problem, remedy, retryable=True)
        return token
