"""Verdicts as the JSON document that `status --json` prints and `/status.json` serves; its format is stable."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from refresher.observe.daemon_health import DaemonHealth
from refresher.observe.health import TargetHealth
from refresher.text import escape

_LONGEST_CLAIM = 1024


def as_document(health: TargetHealth, now: datetime) -> dict[str, Any]:
    """Return the entry of `status --json` for one target."""
    token = health.token
    claims = token and token.unverified_claims
    # the owner of the files may have chosen the claims; every reader of JSON accepts them so
    issuer, subject, audience = (
        value and escape(value, longest=_LONGEST_CLAIM)
        for value in ((claims.issuer, claims.subject, " ".join(claims.audience)) if claims else (None,) * 3)
    )
    return {
        "name": health.name,
        "state": health.state.value,
        "issued_at": token and f"{token.issued_at:%FT%TZ}",
        "expires_at": token and f"{token.expires_at:%FT%TZ}",
        "remaining_seconds": token and int((token.expires_at - now).total_seconds()),
        "runway_seconds": int(health.runway.total_seconds()),
        "issuer": issuer,
        "subject": subject,
        "audience": audience,
        "fingerprint": token and token.fingerprint,
        "path": health.path,
        "artifacts": [
            {
                "name": each.name,
                "state": each.state.value,
                "expires_at": each.expires_at and f"{each.expires_at:%FT%TZ}",
                "problem": each.problem,
                "remedy": each.remedy,
            }
            for each in health.artifacts
        ],
        "problem": health.problem,
        "remedy": health.remedy,
        "note": health.note,
    }


def as_report(
    verdicts: Sequence[TargetHealth],
    now: datetime,
    *,
    daemon: DaemonHealth | None = None,
    is_empty_fine: bool,
    problems: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the whole document of `status --json`, from one verdict per target, reached at a time of the wall clock.

    A node without targets counts as ready only if that is fine (it watches a directory of drop-ins), and never with
    problems of drop-ins: a target is missing then.
    """
    ready = all(health.find_shortage() is None for health in verdicts) if verdicts else is_empty_fine
    return {
        "ready": ready and not problems,
        "problems": list(problems),
        "daemon": daemon and _as_daemon_document(daemon),
        "targets": [as_document(health, now) for health in verdicts],
    }


def _as_daemon_document(daemon: DaemonHealth) -> dict[str, Any]:
    return {
        "running": daemon.is_running,
        "pid": daemon.pid,
        "stopped": daemon.is_stopped,
        "last_refresh_at": daemon.refreshed_at and f"{daemon.refreshed_at:%FT%TZ}",
        "problem": daemon.problem,
        "remedy": daemon.remedy,
    }
