"""The link of the host's files: are they there, ours, as configured, and good for long enough?"""

from refresher.doctor.diagnosis import Finding, State, ok
from refresher.doctor.facts import Facts
from refresher.durations import format_span
from refresher.errors import ExitStatus

FILE = "file"
_ENTRIES = {
    "absent": ("file-absent", ExitStatus.NOT_READY),
    "overdue": ("file-expired", ExitStatus.NOT_READY),
    "expired": ("file-expired", ExitStatus.NOT_READY),
    "foreign": ("file-foreign", ExitStatus.PUBLISH),
}
"""Entry of the catalogue and exit status by the state of the token file; `unreadable` is any other."""


def judge_file(facts: Facts) -> Finding:
    """Check what is published, as `refresher status` does."""
    health = facts.health
    if health.problem is None:
        note = "" if health.note is None else f" ({health.note})"
        if health.state not in ("fresh", "due"):
            return _fail(facts, f"{health.path} is {health.state}{note}")
        return ok(FILE, f"{health.path} is {health.state}, runway {format_span(health.runway)}{note}")
    return _fail(facts, health.problem)


def _fail(facts: Facts, evidence: str) -> Finding:
    health = facts.health
    named = {"target": health.name, "directory": str(facts.target.directory.path)}
    if "this user may not" in evidence:
        return Finding.of_entry(FILE, "file-hidden", evidence, named, stage=ExitStatus.DONE, state=State.UNKNOWN)
    entry, stage = _ENTRIES.get(health.state, ("file-unreadable", ExitStatus.PUBLISH))
    if "is not as configured" in evidence:
        entry = "file-foreign"
    return Finding.of_entry(FILE, entry, evidence, named, stage=stage)
