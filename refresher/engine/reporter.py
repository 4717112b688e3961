"""From what a job did to what is reported about it: events on changes of state.

One line per change: a failure that goes on is reported once, then at every doubling of its count, so that a log stays
readable for years. A file that runs out while nothing succeeds is reported when it is overdue and when it has expired.
What befalls many targets within a tick for one cause (a full disk, an issuer that is down) is one line with their
number and the names of the first few.
"""

import shlex
from collections import Counter
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

from refresher import policy
from refresher.engine.agenda import Entry
from refresher.engine.causes import ReportedCauses, identify_cause
from refresher.engine.events import Event, Listener, Severity, Text, Value
from refresher.engine.exchanges import judge_failure
from refresher.engine.outcome import Outcome, Result
from refresher.errors import PublishError, RefresherError, TokenRejectedError
from refresher.policy import State
from refresher.publishing.artifacts import RECORD
from refresher.publishing.atomic import find_containers
from refresher.publishing.directory import KnownState, is_another_directory
from refresher.publishing.retirement import Retirement
from refresher.publishing.walk import UnusableRootError
from refresher.text import escape

_EVENTS = {
    "published": ("token.published", "artifact.published"),
    "recovered": ("token.recovered", "artifact.recovered"),
    "overdue": ("token.overdue", "artifact.overdue"),
    "expired": ("token.expired", "artifact.expired"),
}
"""Names of events, by what happened: of a token, and of an optional artifact."""


_ROUNDED_UP = timedelta(milliseconds=999)  # so that the next attempt is never before its line
_FEW = 3
"""Lines of one cause that are sent as they are, and names in the line that stands for more."""


class Reporter:
    """Sends events about jobs to a listener; each job is reported by one thread at a time."""

    def __init__(self, listener: Listener) -> None:
        self._listen = listener
        self._advised: set[str] = set()
        self._collected: dict[tuple[str, Severity, str, int], list[dict[str, Value]]] = {}
        self._lock = Lock()
        self.causes = ReportedCauses()

    def report(self, entry: Entry, outcome: Outcome, former: Entry, now: datetime) -> None:
        """Report how a settled job ended, compared with the entry as it was before this attempt."""
        duration_ms, kind = round(outcome.duration * 1000), entry.artifact is not None
        path = str(entry.target.directory.path)
        self._report_files(entry, outcome, former, now)
        if outcome.result is Result.PUBLISHED:
            self._send(entry, _EVENTS["published"][kind], Severity.INFO, **_describe(entry), duration_ms=duration_ms)
        if entry.artifact is None and outcome.life is not None:
            self._advise(entry, outcome)
        if outcome.error is not None:
            is_due = outcome.error.problem != former.problem or entry.failures & (entry.failures - 1) == 0
            if is_due and self._is_news(entry, outcome.error):
                fields = _name_job(entry) | _describe(entry)
                fields |= {
                    "error": outcome.error.problem,
                    "remedy": outcome.error.remedy,
                    "next_at": None if entry.next_at is None else f"{entry.next_at + _ROUNDED_UP:%FT%TZ}",
                    "failures": entry.failures,
                    "duration_ms": duration_ms,
                }
                cause = outcome.error.remedy.replace(path, "…")
                few = 1 if isinstance(outcome.error, UnusableRootError) else _FEW
                self._collect((_name_failure(entry, outcome.error), Severity.WARNING, cause, few), fields)
        elif former.failures and outcome.result is not Result.WAITING:
            entry.warned = None
            self.causes.forget(entry.target.context.identity)
            recovered = _EVENTS["recovered"][kind]
            self.collect(recovered, Severity.INFO, **_name_job(entry), **_describe(entry), failures=former.failures)

    def watch(self, entry: Entry, now: datetime) -> None:
        """Report once when a failing job's file is overdue, and once when it has expired."""
        state = entry.compute_state(now)
        if state in (State.OVERDUE, State.EXPIRED) and entry.warned is not state:
            entry.warned = state
            name = _EVENTS[state][entry.artifact is not None]
            self.collect(name, Severity.ERROR, **_name_job(entry), **_describe(entry))

    def send(self, name: str, severity: Severity, **fields: Value) -> None:
        """Send an event that concerns no single job."""
        self._listen(Event(name=name, severity=severity, fields=fields))

    def report_texts(
        self, name: str, severity: Severity, texts: Collection[Text], *, known: Collection[Text] = ()
    ) -> None:
        """Send an event for each problem with its remedy, unless it is known already."""
        for problem, remedy in texts:
            if (problem, remedy) not in known:
                self.send(name, severity, error=problem, remedy=remedy)

    def report_lost_root(self, root: Path) -> None:
        """Report that `directory_root` is another one than before, and what to do about the containers."""
        self.send(
            "directory.recreated",
            Severity.ERROR,
            path=str(root),
            error=f"directory_root {root} was unmounted, mounted over or removed: containers hold the former one",
            remedy=f"start every container again that was started before; for each target, "
            f"`docker ps --filter volume={shlex.quote(str(root))}/TARGET` lists them; mount the root before the daemon "
            "starts",
        )

    def report_targets(self, former: AbstractSet[str], present: AbstractSet[str]) -> None:
        """Report which targets came and went; what their jobs did before is sent first."""
        if former - present:
            self.flush()
            self.causes.clear()  # who spoke for others may be gone
        for name in sorted(present - former):
            self.send("target.added", Severity.INFO, target=name)
        for name in sorted(former - present):
            self.send("target.removed", Severity.INFO, target=name)

    def report_retirement(self, root: Path, retirement: Retirement) -> None:
        """Report each directory below `directory_root` that lost its `env`."""
        for name in retirement.withdrawn:
            self.send("target.retired", Severity.INFO, target=name, path=str(root / name))
        for name, identity in retirement.without_identity:
            error = f"identity {escape(identity)} no longer exists: env was removed, the other files stay"
            remedy = f"delete the drop-in {name}.yaml, and the other files follow; or restore the identity"
            place = str(root / name)
            self.send("target.retired", Severity.WARNING, target=name, path=place, error=error, remedy=remedy)

    def _report_files(self, entry: Entry, outcome: Outcome, former: Entry, now: datetime) -> None:
        """Report what was found otherwise than it was left, and what an edit changed under running containers."""
        path = str(entry.target.directory.path)
        state = None if outcome.state is None else KnownState.from_state(outcome.state)
        is_another = state is not None and is_another_directory(state, entry.former_state)
        if outcome.is_recreated or is_another:
            self._send(
                entry,
                "directory.recreated",
                Severity.WARNING,
                path=path,
                error=f"{path} is another directory now: containers that were started before see nothing new",
                remedy=f"{find_containers(path)}; as root, `refresher status` lists processes that hold the former",
            )
        elif outcome.result is Result.PUBLISHED and former.compute_state(now) is State.FRESH and not outcome.damaged:
            artifact, writer = entry.key[1] or entry.target.leading, "the files' owner"
            if outcome.lacked_record:
                artifact, writer = RECORD, "the daemon's user"
            error = f"another process changed or removed {path}/{artifact}; a new one is in place"
            remedy = f"find out who changed {path}/{artifact}: {writer}, or root"
            self._send(entry, "artifact.tampered", Severity.WARNING, artifact=artifact, error=error, remedy=remedy)
        for name, problem in outcome.damaged.items() if outcome.error is None else ():
            error, remedy = (
                f"{path}: {problem}; a new one is in place",
                "check that disk (dmesg): no process changed it",
            )
            self._send(entry, "artifact.repaired", Severity.WARNING, artifact=name, error=error, remedy=remedy)
        is_first = former.life is None  # under a plan, or below a root; what differs later was changed by a process
        changed = outcome.changed if is_first else {}
        for name, keys in changed.items():
            self._send(
                entry,
                "artifact.changed",
                Severity.WARNING,
                artifact=name,
                keys=", ".join(keys),
                error=f"{path}/{name} has changed ({', '.join(keys)}): running containers keep the former values",
                remedy=f"see first that Google accepts them: refresher wait --exchange {entry.target.name}; then "
                + find_containers(path),
            )
        owned, owner = set(outcome.owned), entry.target.directory.ownership
        others = [name for name in outcome.repaired if name not in changed and name not in outcome.damaged]
        repaired = {name: f"{path}/{name} was changed or removed" for name in others}
        for name in owned & repaired.keys():
            whose = "" if is_first else f"another process changed the owner or mode of {path}/{name}; it "
            repaired[name] = f"{whose or f'{path}/{name} '}now belongs to {owner}, as configured"
        if outcome.found_mode is not None:
            repaired["directory"] = f"{path} had mode {outcome.found_mode:04o}"
        advice = {"remedy": f"find out who changes {path}: the daemon's user, or root"}
        severity, more = (Severity.INFO, {}) if is_first else (Severity.WARNING, advice)
        for name, error in repaired.items():
            self._send(entry, "artifact.repaired", severity, artifact=name, error=error, **more)

    def _advise(self, entry: Entry, outcome: Outcome) -> None:
        """Warn once for each supplier of direct access by tokens so short that some clients exchange at every call.

        Where the configuration sets their life, `check` and the start have warned already.
        """
        target, life = entry.target, outcome.life
        is_known = target.impersonation.service_account is not None or target.expected.maximum_lifetime is not None
        if is_known or life is None or target.supplier is None or target.supplier in self._advised:
            return
        if life.expires_at - life.issued_at <= policy.SHORT_LIFETIME:
            self._advised.add(target.supplier)
            self._send(
                entry,
                "token.short_lived",
                Severity.WARNING,
                **_describe(entry),
                error="it acts directly, with tokens so short that Node, C++ and gcloud exchange on every call",
                remedy="make the supplier's tokens live an hour, or add service_account: to the identity",
            )

    def flush(self) -> None:
        """Send what was collected since the last call, one line for each cause that more than a few targets share."""
        with self._lock:
            collected, self._collected = self._collected, {}
        for (name, severity, _, few), lines in collected.items():
            if len(lines) <= few:
                for line in lines:
                    self.send(name, severity, **line)
                continue
            names = list(dict.fromkeys(str(line["target"]) for line in lines))
            facts = {fact: value for fact, value in lines[0].items() if fact in ("error", "cause", "remedy", "next_at")}
            self.send(name, severity, targets=len(names), first=", ".join(names[:_FEW]), **facts)

    def collect(self, name: str, severity: Severity, few: int = _FEW, /, **fields: Value) -> None:
        """Keep a line for the next `flush`, with others of the same remedy, which is what stays to be done.

        Its `fields` name a `target`; up to a `few` are sent as they are.
        """
        self._collect((name, severity, str(fields.get("remedy")), few), fields)

    def _collect(self, kind: tuple[str, Severity, str, int], fields: dict[str, Value]) -> None:
        """Keep a line with others of its kind: name, severity, cause, and how many are sent as they are."""
        with self._lock:
            self._collected.setdefault(kind, []).append(fields)

    def _is_news(self, entry: Entry, error: RefresherError) -> bool:
        """Return whether a failure is not in the log yet: the canary, or another artifact, may have met the same."""
        if entry.artifact is None or isinstance(error, PublishError):
            return True
        target, name = entry.target, entry.artifact.name
        cause = identify_cause(error.entry, error.problem, error.remedy, target.name, name)
        return self.causes.is_news(target.context.identity, cause, f"{target.name}/{name}", entry.failures)

    def _send(self, entry: Entry, name: str, severity: Severity, **more: Value) -> None:
        self._listen(Event(name=name, severity=severity, fields=_name_job(entry) | more))


def summarize(entries: Iterable[Entry], now: datetime) -> str:
    """Return how many targets are in which state, in words, such as "12 targets: 11 fresh, 1 absent, 1 failing"."""
    states, failing = Counter[str](), 0
    for entry in entries:
        failing += entry.failures > 0
        if entry.artifact is None:
            states[entry.compute_state(now)] += 1
    count = states.total()
    counted = [f"{states[state]} {state}" for state in State if states[state]]
    counted += [f"{failing} failing"] if failing else []
    return f"{count} target{'' if count == 1 else 's'}{': ' if counted else ''}{', '.join(counted)}"


def _name_job(entry: Entry) -> dict[str, Value]:
    facts = {"target": entry.target.name, "supplier": entry.target.supplier, "artifact": entry.key[1] or None}
    return {name: value for name, value in facts.items() if value is not None}


def _describe(entry: Entry) -> dict[str, Value]:
    life = entry.life
    if life is None:
        return {}
    fields: dict[str, Value] = {"expires_at": f"{life.expires_at:%FT%TZ}"}
    if entry.artifact is None:
        fields = {
            "subject": None if life.subject is None else escape(life.subject),
            "issuer": None if life.issuer is None else escape(life.issuer),
            **fields,
            "fingerprint": life.fingerprint,
        }
    return fields


def _name_failure(entry: Entry, error: RefresherError) -> str:
    if isinstance(error, PublishError):
        return "token.publish_failed"
    if entry.artifact is not None:
        return f"exchange.{judge_failure(error)}"
    return "token.rejected" if isinstance(error, TokenRejectedError) else "token.supply_failed"
