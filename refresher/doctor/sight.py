"""What a process in a container sees of its credentials directory; `refresher.doctor.container` collects it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["file", "directory", "other", "absent", "denied", "large", "error"]
"""What stands at a path: a regular file, a directory, something else, nothing; or why that is not known."""

Reach = Literal["open", "closed", "silent", "unknown"]
"""Whether a connection was accepted, refused, or not answered in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What stands at a path: its place in its file system, how many names it has, and of a file the SHA-256 in hex."""

    kind: Kind
    device: int = 0
    inode: int = 0
    links: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the process sees.

    Attributes:
        uid: Its user id on the host.
        gid: Its group id on the host.
        is_privileged: Whether it reads files whatever their mode (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH), which what
            looks in its place does not.
        directory: What stands at the target's `container_directory`.
        files: What stands at each artifact in it, by name.
        paths: What stands at each path that its variables hold, and those of trusted certificates.
        variables: Those of its variables that clients read.
        alone: Artifacts that are mounted by themselves.
        is_replaced: Whether its mount is of a directory that was removed on the host.
        target: Name of the target whose directory it has, the present or a former one; empty if that is unknown.
        whole: Where it has the whole directory root mounted; empty for nowhere.
        metadata: Whether it reaches the metadata server.
        trust: Those of its variables that name trusted certificates.
        proxy: Its proxy for STS, as host and port; empty for none.
        google: Whether it reaches STS, or its proxy for it.
        untried: Why that is unknown.
        is_hanging: Whether looking did not end in time; then the rest is what was known before.
    """

    uid: int = 0
    gid: int = 0
    is_privileged: bool = False
    directory: Thing = Thing(kind="error")
    files: Mapping[str, Thing] = field(default_factory=dict)
    paths: Mapping[str, Thing] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    alone: tuple[str, ...] = ()
    is_replaced: bool = False
    target: str = ""
    whole: str = ""
    metadata: Reach = "unknown"
    trust: Mapping[str, str] = field(default_factory=dict)
    proxy: str = ""
    google: Reach = "unknown"
    untried: str = ""
    is_hanging: bool = False


def parse_thing(value: object) -> Thing:
    """Return a thing of what the process inside reported; that may be anything, and is a `ValueError` then."""
    if not isinstance(value, list) or len(value) != 5:  # noqa: PLR2004 - the fields of a thing
        raise ValueError("not a thing")
    kind, device, inode, links, digest = value
    if kind not in get_args(Kind) or not all(type(number) is int for number in (device, inode, links)):
        raise ValueError("not a thing")
    if not isinstance(digest, str) or len(digest) not in (0, 64) or not set(digest) <= set("0123456789abcdef"):
        raise ValueError("not a digest")
    return Thing(kind=kind, device=device, inode=inode, links=links, digest=digest)


def parse_reach(value: object) -> Reach:
    """Return whether something is reached; a `ValueError` for any other value."""
    for reach in get_args(Reach):
        if value == reach:
            found: Reach = reach
            return found
    raise ValueError("not a reach")
