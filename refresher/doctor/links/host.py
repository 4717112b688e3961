"""The link of the host's files: are they there, ours, as configured, and good for long enough?"""

from dataclasses import replace

from refresher.doctor.diagnosis import Finding, State, ok
from refresher.doctor.facts import Facts
from refresher.durations import format_span
from refresher.errors import ExitStatus
from refresher.observe.remedies import find_root_fault
from refresher.users import recommend_root

FILE = "file"
_ENTRIES = {
    "absent": ("file-absent", ExitStatus.NOT_READY),
    "overdue": ("file-expired", ExitStatus.NOT_READY),
    "expired": ("file-expired", ExitStatus.NOT_READY),
    "foreign": ("file-foreign", ExitStatus.PUBLISH),
}
"""Entry of the catalogue and exit status by the state of the token file; `unreadable` is any other."""


def name_once(facts: Facts) -> dict[str, str]:
    """Return the fact of a remedy that is the command for one pass over a target, as the daemon's user."""
    return {"once": facts.daemon.compose(f"once {facts.target.name}")}


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
    root = facts.target.directory.root
    named = {"target": health.name, "directory": str(facts.target.directory.path), **name_once(facts)}
    if health.state == "absent" and (fault := find_root_fault(root, facts.daemon)) is not None:
        named |= {"root": str(root), "user": str(facts.daemon.uid or "UID"), "once": facts.daemon.compose("once")}
        return Finding.of_entry(FILE, "root-lost", fault, named, stage=ExitStatus.NOT_READY)
    if "this user may not" in evidence:
        hidden = Finding.of_entry(FILE, "file-hidden", evidence, named, stage=ExitStatus.DONE, state=State.UNKNOWN)
        return replace(hidden, remedy=recommend_root())
    entry, stage = _ENTRIES.get(health.state, ("file-unreadable", ExitStatus.PUBLISH))
    if entry == "file-unreadable" and health.state in ("fresh", "due"):  # the token is good, another file is not
        entry = "file-foreign"
    found = Finding.of_entry(FILE, entry, evidence, named, stage=stage)
    # the verdict knows best what to do about a file in the way, and that of another identity
    return replace(found, remedy=health.remedy) if health.remedy and stage is ExitStatus.PUBLISH else found
