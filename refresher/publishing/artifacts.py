"""The table of all that a credentials directory can hold: what writes each file, and in which order.

The order of the rows is the order of writing; files are withdrawn in the opposite order. The record comes first and
goes last, since it names the directory's owner; `env` comes last and goes first, since a container that has it must
find everything else. Health, withdrawal, retirement and the probe walk this table; how each row's
content is built is decided in `refresher.engine.artifacts`. Standard library only: the exec probe reads it.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Origin = Literal["record", "static", "supplied", "minted", "description"]
"""Where the content of an artifact comes from; plain words, since the probe has no time to import an enumeration."""


class Artifact(NamedTuple):
    """One row.

    Attributes:
        name: The file, or the folder that holds one file for each name that a target asks for.
        origin: Where its content comes from.
        is_optional: Whether only targets that ask for it have it.
        is_folder: Whether it is a folder.
        variable: The variable of `env` that holds its path; for a folder, the beginning of each; empty for none.
        needs_pool: Whether it is of no use without a workload identity pool, so that a target without one has none.
    """

    name: str
    origin: Origin
    is_optional: bool = False
    is_folder: bool = False
    variable: str = ""
    needs_pool: bool = False


RECORD = ".target"
CREDENTIALS = "credentials.json"
DESCRIPTIONS = "artifacts.json"
TOKEN = "token"  # noqa: S105 - a file name
ACCESS_TOKEN = "access_token"  # noqa: S105 - a file name
ID_TOKENS = "id_tokens"
BOTO = "boto"
ENVIRONMENT = "env"

ARTIFACTS = (
    Artifact(RECORD, "record"),
    Artifact(CREDENTIALS, "static", needs_pool=True),
    Artifact(DESCRIPTIONS, "description"),
    Artifact(TOKEN, "supplied", needs_pool=True),
    Artifact(ACCESS_TOKEN, "minted", is_optional=True, variable="REFRESHER_ACCESS_TOKEN_FILE"),
    Artifact(ID_TOKENS, "minted", is_optional=True, is_folder=True, variable="REFRESHER_ID_TOKEN_FILE_"),
    Artifact(BOTO, "static", is_optional=True, variable="BOTO_CONFIG", needs_pool=True),
    Artifact(ENVIRONMENT, "static"),
)
"""In the order of writing."""

LEADING = (TOKEN, ACCESS_TOKEN)
"""The artifacts that can lead a directory: the file that the refresher renews first, and that readiness is about.

With a pool it is the subject token; without one the access token takes its place.
"""

_REQUIRED = tuple(row for row in ARTIFACTS if not row.is_optional and row.origin in ("static", "supplied"))


def list_required(leading: str) -> tuple[str, ...]:
    """Return the names that every container needs whose directory this artifact leads, in the order of writing."""
    has_pool = leading == TOKEN
    return tuple(sort_for_writing({leading, *(row.name for row in _REQUIRED if has_pool or not row.needs_pool)}))


NAMES = frozenset(row.name for row in ARTIFACTS)
"""All that we ever put into a credentials directory, apart from temporary files."""

OPTIONAL = tuple(f"{row.name}/NAME" if row.is_folder else row.name for row in ARTIFACTS if row.is_optional)
"""The optional artifacts as a person names them."""

_PLACES = {row.name: place for place, row in enumerate(ARTIFACTS)}


def get_row(name: str) -> Artifact:
    """Return the row of an artifact.

    Args:
        name: The artifact, with its folder: `token`, `id_tokens/NAME`.

    Raises:
        KeyError: There is no such artifact.
    """
    return ARTIFACTS[_PLACES[name.partition("/")[0]]]


def is_minted(name: str) -> bool:
    """Return whether a name, which any user may have chosen, is that of a minted artifact: never a path elsewhere."""
    folder, _, file = name.rpartition("/")
    place = _PLACES.get(name.partition("/")[0])
    if place is None or ARTIFACTS[place].origin != "minted":
        return False
    is_plain = file.isprintable() and not file.startswith(".") and file != ""
    return is_plain and (folder == ARTIFACTS[place].name) is ARTIFACTS[place].is_folder


def sort_for_writing(names: Iterable[str]) -> list[str]:
    """Return names of artifacts in the order of writing; files of one folder by name."""
    return sorted(names, key=lambda name: (_PLACES[name.partition("/")[0]], name))


def sort_for_withdrawal(names: Iterable[str]) -> list[str]:
    """Return names of artifacts in the order of withdrawal."""
    return sort_for_writing(names)[::-1]
