"""What must hold at every change of a name in a credentials directory, as its readers see it.

The rules are the contract's, in other words: whole files, in their order, each synchronised before the next; a token of
one identity in one inode; never a worse token; nothing taken from a container whose target goes on.
"""

import stat
import traceback
from collections import Counter
from collections.abc import Mapping

from tests.simulation.clocks import SimulatedClock
from tests.simulation.disk import Inode
from tests.simulation.facts import TokenFacts, is_whole, read_record, read_token, to_time
from tests.simulation.kernel import KERNEL
from tests.simulation.scheduler import SCHEDULER
from tests.simulation.site import ROOT, Site
from tests.simulation.troubles import Troubles

_NAMES = frozenset([".target", "credentials.json", "artifacts.json", "token", "access_token", "boto", "env"])
_NEEDED = ("token", "credentials.json")
_SKEW = 31.0
_GRACE = 600.0
_REPORTED = 60.0
"""Seconds within which it is reported that a directory is another one, where a call in it may hang."""


class BrokenInvariantError(BaseException):
    """The product did what it must not do; nothing in it may take that for a failure of its own."""


class Judge:
    """Watches the disk; raises at the first change that breaks a rule."""

    def __init__(self, site: Site, clock: SimulatedClock, troubles: Troubles) -> None:
        self._site = site
        self._clock = clock
        self._troubles = troubles
        self._tokens: dict[bytes, TokenFacts | None] = {}
        self.renewals = 0
        self.changes = 0
        self.published: Counter[int] = Counter()
        self.is_watching = True
        self.broken = ""
        self.stepped_at = 0.0
        self.released: set[str] = set()
        self.served: dict[int, str] = {}
        self.withdrawn_at: dict[str, float] = {}
        self._first_seen: dict[int, float] = {}
        self.disturbed_at: dict[str, float] = {}
        self._fingerprints: dict[str, str] = {}

    def read(self, content: bytes) -> TokenFacts | None:
        """Return what a token claims, each read once."""
        if content not in self._tokens:
            if len(self._tokens) > 4096:
                self._tokens.clear()
            self._tokens[content] = read_token(content)
        return self._tokens[content]

    def find_root(self) -> Inode | None:
        """Return the directory root as it is now."""
        return KERNEL.disk.find(ROOT)

    def observe(self, directory: Inode, name: str, before: Inode | None, after: Inode | None) -> None:
        """Judge a change of a name."""
        root = directory.parent
        if self.is_watching and after is not None and after.entries and directory is self.find_root():
            self.changes += 1
            if not name.startswith("."):
                self._judge_created(name, after)
        if not self.is_watching or root is None or directory.entries is None or root is not self.find_root():
            return
        self.changes += 1
        target = next((each for each, inode in (root.entries or {}).items() if inode is directory), None)
        if target is None or target.startswith(".") or name.endswith(".tmp"):
            return
        if after is not None:
            self._judge_written(target, directory, name, before, after)
        elif before is not None:
            self._judge_removed(target, directory, name)

    def fail(self, rule: str) -> None:
        """End the run: a rule is broken."""
        self.broken = self.broken or "".join(traceback.format_stack(limit=40))
        raise BrokenInvariantError(rule)

    def _judge_created(self, target: str, directory: Inode) -> None:
        """Judge a directory that appears with its files."""
        entries = directory.entries or {}
        if entries != directory.durable_entries:
            self.fail(f"{target} appears before the names in it are synchronised")
        for name in sorted(entries, key=lambda name: name == "env"):
            self._judge_written(target, directory, name, None, entries[name], is_new=True)

    def _judge_written(
        self, target: str, directory: Inode, name: str, before: Inode | None, after: Inode, *, is_new: bool = False
    ) -> None:
        place = f"{target}/{name}"
        if name not in _NAMES:
            return
        if not is_whole(name, after.content):
            self.fail(f"{place} is torn")
        if not after.is_intact_after_cut:
            self.fail(f"{place} has its name before its content is synchronised")
        mode = stat.S_IMODE(after.attributes.mode)
        if mode != (0o600 if name == ".target" else 0o400):
            self.fail(f"{place} has mode {mode:04o}")
        if name == ".target":
            self._judge_record(target, directory, after)
            return
        self._judge_order(target, directory, name, is_new=is_new)
        if name == "token":
            self._judge_token(target, directory, before, after)
        elif name == "env" and before is None:
            self.withdrawn_at.pop(target, None)

    def _judge_record(self, target: str, directory: Inode, after: Inode) -> None:
        """Judge whether a record appears next to a token of whom it is not about: no reader may see the two."""
        self._first_seen.setdefault(directory.number, SCHEDULER.now)
        token, record = (directory.entries or {}).get("token"), read_record(after.content)
        found = None if token is None else self.read(token.content)
        if found is None or record is None:
            return
        if self._fingerprints.get(found.subject, record[2]) != record[2]:
            self.fail(f"{target}/.target is written for {record[1]} next to a token of {found.subject}, another's")

    def _judge_order(self, target: str, directory: Inode, name: str, *, is_new: bool) -> None:
        """Judge what must be there before a name is written, and be synchronised."""
        if self._is_disturbed(target):
            return  # a file that was there may have been removed since
        entries, place, is_strict = directory.entries or {}, f"{target}/{name}", self._is_strict(target)
        record = (directory.durable_entries if is_strict else entries).get(".target")
        if record is None or entries.get(".target") is not record:
            self.fail(f"{place} is written before the target record is synchronised")
        elif (found := read_record(record.content)) is None or found[0] != target:
            self.fail(f"{place} is written next to a record of {found}")
        root = directory.parent
        if is_strict and not is_new and root is not None and root.durable_entries.get(target) is not directory:
            self.fail(f"{place} is written before its directory has a synchronised name")
        needed = {"env": ("token", "credentials.json"), "token": ("credentials.json",)}.get(name, ())
        for other in needed:
            if other not in entries or (is_strict and directory.durable_entries.get(other) is not entries[other]):
                self.fail(f"{place} is written before {other} is synchronised")

    def _is_strict(self, target: str) -> bool:
        """Return whether nothing has disturbed a target lately, so that each of its steps must be synchronised.

        After an error of fsync(2), or a kill before it, the order of the changes has to do.
        """
        return self._troubles.find_health(self._site.list_scopes(target)) < SCHEDULER.now

    def _is_disturbed(self, target: str) -> bool:
        """Return whether another process changed files there lately, perhaps while the daemon was at work."""
        return SCHEDULER.now - self.disturbed_at.get(target, -_REPORTED) < _REPORTED

    def check_claim(self, target: str) -> None:
        """Check that a token that is reported as published would survive a power cut."""
        root = self.find_root()
        directory = None if root is None else (root.entries or {}).get(target)
        if directory is None or directory.entries is None or not self.is_watching:
            return
        if directory.entries.get("token") is not directory.durable_entries.get("token") and self._is_strict(target):
            self.fail(f"{target}/token is reported as published before its name is synchronised")

    def check_event(self, name: str, fields: Mapping[str, object]) -> None:
        """Check what the log shows against what is known here."""
        target, problem = str(fields.get("target", "")), str(fields.get("error", ""))
        if name == "token.published":
            self.check_claim(target)
        if "as a bug" in str(fields.get("remedy", "")):
            self.fail(f"a refusal of the system is not a typed failure: {problem}")
        if "another daemon" in problem:
            self.fail(f"there is no other daemon: {problem}")
        if name == "directory.recreated":
            root = self.find_root()
            if not target:
                self.fail(f"the root is reported as another one, and is the one that it was: {problem}")
            directory = None if root is None else (root.entries or {}).get(target)
            seen = SCHEDULER.now if directory is None else self._first_seen.get(directory.number, SCHEDULER.now)
            if SCHEDULER.now - seen > _REPORTED:
                self.fail(f"{target} is reported as another directory, and is the one that it was")

    def _judge_token(self, target: str, directory: Inode, before: Inode | None, after: Inode) -> None:
        token, entry = self.read(after.content), (directory.entries or {}).get(".target")
        record = None if entry is None else read_record(entry.content)
        if token is None or record is None:
            return
        self.renewals += 1
        self.published[int(SCHEDULER.now)] += 1
        if token.identity != record[1]:
            self.fail(f"{target}/token is of {token.subject}, and the record names {record[1]}")
        self._fingerprints[token.subject] = record[2]
        served = self.served.setdefault(directory.number, token.identity)
        if served != token.identity:
            self.fail(f"{target}/token is of {token.identity} in a directory whose readers are {served}")
        now = to_time(self._clock.now())
        has_stepped = SCHEDULER.now - self.stepped_at < 30.0  # perhaps since it was checked
        is_repaired = self._is_disturbed(target)  # what another process damaged is written again as it was
        if (token.expires_at <= now or token.issued_at > now + _SKEW) and not (has_stepped or is_repaired):
            self.fail(
                f"{target}/token is published with a life from {token.issued_at - now:.0f} s on, "
                f"to {token.expires_at - now:.0f} s"
            )
        former = None if before is None else self.read(before.content)
        if former is None or former.subject != token.subject or former.issuer != token.issuer:
            return
        if former.life > self._site.life:
            return  # longer than is configured by now
        if former.kid != token.kid or former.issued_at > now + 29 or former.expires_at <= now:
            return
        self._compare(target, former, token, now)

    def _compare(self, target: str, former: TokenFacts, token: TokenFacts, now: float) -> None:
        left, had = token.expires_at - now, former.expires_at - now
        if token.expires_at < former.expires_at and token.issued_at <= former.issued_at:
            self.fail(f"{target}/token is worse: {left:.0f} s left, {had:.0f} s before")
        if now >= token.overdue_at:
            self.fail(f"{target}/token is overdue already, and {had:.0f} s were left before")
        scopes = self._site.list_scopes(target)
        since = SCHEDULER.now - (now - former.issued_at)
        if now < former.earliest_due - 1.5 and self._troubles.find_health(scopes) < since:
            self.fail(f"{target}/token is renewed {former.earliest_due - now:.1f} s before it can be due")

    def _judge_removed(self, target: str, directory: Inode, name: str) -> None:
        if name not in _NAMES:
            return
        if (
            target in self._site.targets
            and target not in self.released
            and name in ("token", "env", "credentials.json")
        ):
            self.fail(f"{target}/{name} is taken from a container whose target goes on")
        entries = directory.entries or {}
        self._judge_grace(target, name)
        if name == "env":
            self.withdrawn_at[target] = SCHEDULER.now
        elif name in _NEEDED and "env" in entries and not self._has_just_failed("unlink", "fsync"):
            self.fail(f"{target}/{name} is removed while env is there")
        elif name in _NEEDED and "env" in directory.durable_entries and self._is_strict(target):
            self.fail(f"{target}/{name} is removed before the removal of env is synchronised")
        if name == ".target" and _NAMES & entries.keys() - {".target"}:
            self.fail(f"{target}/.target is removed before what it is about")

    def _has_just_failed(self, *calls: str) -> bool:
        """Return whether a fault refused one of these calls lately: what comes next is removed all the same."""
        return any(SCHEDULER.now - KERNEL.refused_at.get(call, -_REPORTED) < _REPORTED for call in calls)

    def _judge_grace(self, target: str, name: str) -> None:
        """Judge whether a container of a target that was removed had its ten minutes."""
        gone = self.withdrawn_at.get(target, 0.0)
        since, is_settled = SCHEDULER.now - gone, self._troubles.find_end((target,)) < SCHEDULER.now - 8
        is_retired = target not in self._site.targets and name == "token"
        if is_retired and is_settled and self.stepped_at < gone and since < _GRACE - 10:
            self.fail(f"{target}/{name} is retired {since:.0f} s after env, and containers may still run")

    def inspect(self, moment: str) -> None:
        """Judge all that lies in the root at a moment at which no change has been seen: after a power cut."""
        root = self.find_root()
        for target, directory in ((root.entries or {}) if root is not None else {}).items():
            if target.startswith(".") or directory.entries is None:
                continue
            entries = directory.entries
            for name, inode in entries.items():
                if name in _NAMES and not is_whole(name, inode.content):
                    self.fail(f"{target}/{name} is torn {moment}")
            record = read_record(entries[".target"].content) if ".target" in entries else None
            token = self.read(entries["token"].content) if "token" in entries else None
            if token is not None and (record is None or record[1] != token.identity):
                self.fail(f"{target}/token is of {token.identity} next to the record {record} {moment}")
            if "env" in entries and not {"token", "credentials.json", ".target"} <= entries.keys():
                self.fail(f"{target}/env is there {moment} with no more than {sorted(entries)}")
