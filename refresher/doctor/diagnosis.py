"""What was found about one link of the chain: its state, the evidence, and where it is broken cause and remedy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from refresher.catalogue.entries import compose_remedy, get_entry
from refresher.errors import ExitStatus, RefresherError


class State(StrEnum):
    """What a link is worth; `unknown` is what this user may not look at, `skipped` what was not checked."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found about a link.

    Attributes:
        link: Its name, one of `refresher.doctor.chain`.
        evidence: What was seen, or why nothing was; never a secret.
        cause: Why it is so, in plain words; empty if nothing is wrong or the cause is in the evidence.
        remedy: An imperative; empty if there is nothing to do.
        entry: The entry of `refresher.catalogue` that knows it; empty for none.
        source: Where cause and remedy are documented, or `measured`; empty for none.
        is_verified: Whether the source shows what was seen; None without a source.
        stage: The exit status of a failure.
    """

    link: str
    state: State
    evidence: str
    cause: str = ""
    remedy: str = ""
    entry: str = ""
    source: str = ""
    is_verified: bool | None = None
    stage: ExitStatus = ExitStatus.DONE

    @property
    def is_wrong(self) -> bool:
        """Whether there is something to do."""
        return self.state in (State.FAILED, State.WARNING)

    @classmethod
    def of_entry(
        cls,
        link: str,
        name: str,
        evidence: str,
        facts: Mapping[str, str] | None = None,
        *,
        stage: ExitStatus,
        state: State = State.FAILED,
    ) -> Self:
        """Return a finding with cause and remedy of an entry of the catalogue; `facts` are those of its remedy."""
        entry = get_entry(name)
        if entry is None:
            raise LookupError(name)
        return cls(
            link=link,
            state=state,
            evidence=evidence,
            cause=entry.cause,
            remedy=compose_remedy(entry, evidence, **(facts or {})),
            entry=name,
            source=entry.source,
            is_verified=entry.is_verified,
            stage=stage,
        )

    @classmethod
    def of_error(cls, link: str, error: RefresherError, state: State = State.FAILED) -> Self:
        """Return the finding that an error is: with the cause, if the catalogue recognised a server's refusal."""
        entry = get_entry(error.entry)
        return cls(
            link=link,
            state=state,
            evidence=error.problem,
            cause=entry.cause if entry else "",
            remedy=error.remedy,
            entry=error.entry,
            source=entry.source if entry else "",
            is_verified=entry.is_verified if entry else None,
            stage=error.exit_status,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object; what is empty is null."""
        found = asdict(self)
        found["verified"], stage = found.pop("is_verified"), found.pop("stage")
        found["exit_status"] = int(stage) if self.state is State.FAILED else None
        return {name: None if value == "" else value for name, value in found.items()}


def ok(link: str, evidence: str) -> Finding:
    """Return that nothing is wrong with a link."""
    return Finding(link=link, state=State.OK, evidence=evidence)


def skip(link: str, reason: str) -> Finding:
    """Return that a link was not checked."""
    return Finding(link=link, state=State.SKIPPED, evidence=reason)
