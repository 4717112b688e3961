"""From what a refresh did to what is said about it: events on changes of state, and the board.

One line per change: a failure that goes on is told once, then at every doubling of its count, so that a log stays
readable for years. Life that runs out while nothing succeeds is told when it is overdue and when it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher import policy
from refresher.engine.events import Event, Severity
from refresher.engine.refresh import Result
from refresher.engine.status import TargetStatus
from refresher.errors import PublishError, TokenRejectedError
from refresher.policy import State
from refresher.text import escape

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.engine.artifact_agenda import ArtifactEntry
    from refresher.engine.artifacts import ArtifactOutcome
    from refresher.engine.events import Listener, Value
    from refresher.engine.refresh import Outcome, TokenFacts
    from refresher.engine.status import Board
    from refresher.engine.target import Target
    from refresher.errors import RefresherError


class Reporter:
    """Tells listeners and the board how refreshes end; each target is reported by one thread at a time."""

    def __init__(self, *, board: Board, listener: Listener) -> None:
        self._board = board
        self._listen = listener
        self._warned: dict[str, State] = {}
        self._advised: set[str] = set()

    def refreshed(self, target: Target, outcome: Outcome, now: datetime, next_at: datetime | None) -> None:
        """Report one refresh."""
        former = self._board.get(target.name)
        failures = former.consecutive_failures + 1 if outcome.error else 0
        self._board.record(
            target.name,
            TargetStatus(
                last_success_at=former.last_success_at if outcome.error else now,
                consecutive_failures=failures,
                problem=outcome.error.problem if outcome.error else None,
                remedy=outcome.error.remedy if outcome.error else None,
                next_attempt_at=next_at,
            ),
            outcome=outcome.result.value,
            stage=stage_of(outcome.error),
        )
        for name in outcome.repaired:
            self._say("artifact.repaired", Severity.WARNING, target, artifact=name)
        if outcome.result is Result.PUBLISHED and outcome.token is not None:
            self._say("token.published", Severity.INFO, target, outcome.token, duration_ms=_milliseconds(outcome))
        if outcome.token is not None:
            self._advise(target, outcome.token)
        if outcome.error is not None:
            self._failed(target, outcome, outcome.error, former, failures)
        elif former.consecutive_failures:
            self._say("token.recovered", Severity.INFO, target, outcome.token, failures=former.consecutive_failures)
            self._warned.pop(target.name, None)

    def artifact_refreshed(self, entry: ArtifactEntry, outcome: ArtifactOutcome) -> None:
        """Report one attempt at a further artifact; `entry` is as it was settled."""
        target, name, failures = entry.target, entry.artifact.name, entry.failures
        if outcome.result is Result.PUBLISHED and outcome.expires_at is not None:
            self._say(
                "artifact.published",
                Severity.INFO,
                target,
                artifact=name,
                expires_at=f"{outcome.expires_at:%FT%TZ}",
                duration_ms=_milliseconds(outcome),
            )
        if outcome.error is None:
            entry.problem = None
        elif outcome.error.problem != entry.problem or failures & (failures - 1) == 0:
            entry.problem = outcome.error.problem
            event = "token.publish_failed" if isinstance(outcome.error, PublishError) else "exchange.refused"
            self._say(
                event,
                Severity.WARNING,
                target,
                artifact=name,
                error=outcome.error.problem,
                remedy=outcome.error.remedy,
                failures=failures,
            )

    def watch(self, target: Target, token: TokenFacts, now: datetime) -> None:
        """Tell once when the life of a failing target's token is overdue, and once when it is over."""
        state = policy.state_of(target.name, token.issued_at, token.expires_at, now)
        if state in (State.OVERDUE, State.EXPIRED) and self._warned.get(target.name) is not state:
            self._warned[target.name] = state
            self._say(f"token.{state}", Severity.ERROR, target, token)

    def say(self, name: str, severity: Severity, **fields: Value) -> None:
        """Tell of something that concerns no single refresh."""
        self._listen(Event(name=name, severity=severity, fields=fields))

    def _advise(self, target: Target, token: TokenFacts) -> None:
        """Tell once for each supplier of direct access by tokens so short that some clients exchange at every call.

        Where the configuration sets their life, `check` and the start have said so.
        """
        is_ours = target.impersonation.service_account is not None or target.expected.maximum_lifetime is not None
        if is_ours or token.expires_at - token.issued_at > policy.SHORT_LIFETIME or target.supplier in self._advised:
            return
        self._advised.add(target.supplier)
        self._say(
            "token.short_lived",
            Severity.WARNING,
            target,
            token,
            error="acts directly, by tokens so short that Node, C++ and gcloud exchange one for every call",
            remedy="let the supplier's tokens live an hour, or add service_account: to the identity",
        )

    def _failed(
        self, target: Target, outcome: Outcome, error: RefresherError, former: TargetStatus, failures: int
    ) -> None:
        is_reminder = failures & (failures - 1) == 0
        if error.problem != former.problem or is_reminder:
            name = {"publish": "token.publish_failed", "check": "token.rejected"}.get(
                stage_of(error), "token.supply_failed"
            )
            self._say(
                name,
                Severity.WARNING,
                target,
                outcome.token,
                error=error.problem,
                remedy=error.remedy,
                failures=failures,
                duration_ms=_milliseconds(outcome),
            )

    def _say(
        self, name: str, severity: Severity, target: Target, token: TokenFacts | None = None, **more: Value
    ) -> None:
        fields: dict[str, Value] = {"target": target.name, "supplier": target.supplier}
        if token is not None:
            fields |= {
                "subject": None if token.subject is None else escape(token.subject),
                "issuer": None if token.issuer is None else escape(token.issuer),
                "expires_at": f"{token.expires_at:%FT%TZ}",
                "fingerprint": token.fingerprint,
            }
        self._listen(Event(name=name, severity=severity, fields=fields | more))


def stage_of(error: RefresherError | None) -> str:
    """Name the stage that an error belongs to, as the metrics do."""
    match error:
        case None:
            return "done"
        case PublishError():
            return "publish"
        case TokenRejectedError():
            return "check"
        case _:
            return "supply"


def _milliseconds(outcome: Outcome | ArtifactOutcome) -> int:
    return round(outcome.duration * 1000)
