"""What must hold at every second: no target is forgotten or expires without a reason, no stampede, no leftover."""

from tests.simulation.clocks import SimulatedClock
from tests.simulation.disk import Inode
from tests.simulation.facts import TokenFacts, to_time
from tests.simulation.judge import Judge
from tests.simulation.scheduler import SCHEDULER
from tests.simulation.site import SIGNER_HOSTS, STS_HOST, Site
from tests.simulation.troubles import Troubles

MARGIN = 15.0
"""Seconds of life that a token must have had when the last trouble ended, so that its expiry is the product's fault."""
_PROMPT = 8.0
"""Seconds after which what is due has been renewed, where nothing is broken."""
_GRACE = 600.0
_SWEPT = 75.0
"""Seconds after which what a killed daemon left is gone: a first attempt may fail and wait a minute."""


class Health:
    """Looks at everything, once a second."""

    def __init__(self, site: Site, clock: SimulatedClock, troubles: Troubles, judge: Judge) -> None:
        self._site = site
        self._clock = clock
        self._troubles = troubles
        self._judge = judge
        self._reported: set[tuple[str, float]] = set()
        self.removed_at: dict[str, float] = {}
        self.expired = 0
        self.least_left = 1.0

    def look(self) -> None:
        """Look at all targets, and at what lies in the root."""
        root = self._judge.find_root()
        entries = {} if root is None or root.entries is None else root.entries
        now = to_time(self._clock.now())
        for name in self._site.targets:
            self._look_at(name, entries.get(name), now)
        for name, directory in entries.items():
            if directory.entries is not None and name not in self._site.targets:
                self._look_at_stray(name, directory)
        self._look_at_crowd()

    def _look_at(self, name: str, directory: Inode | None, now: float) -> None:
        scopes = self._site.list_scopes(name)
        is_healthy = self._troubles.find_health(scopes) < SCHEDULER.now
        files = {} if directory is None or directory.entries is None else directory.entries
        token = self._judge.read(files["token"].content) if "token" in files else None
        left = [each for each in files if each.endswith(".tmp")]
        if left and self._troubles.find_end(scopes) < SCHEDULER.now - _SWEPT:
            self._judge.fail(f"{name} holds {', '.join(left)}, and nothing is broken")
        if is_healthy:
            self._look_at_healthy(name, files, token, now)
        if token is not None and now >= token.expires_at and (name, token.expires_at) not in self._reported:
            self._reported.add((name, token.expires_at))
            self.expired += 1
            end, expired_at = self._troubles.find_end(scopes), SCHEDULER.now - (now - token.expires_at)
            if expired_at - end >= MARGIN:
                self._judge.fail(f"{name}/token expired {expired_at - end:.0f} s after all troubles had ended")

    def _look_at_healthy(self, name: str, files: dict[str, Inode], token: TokenFacts | None, now: float) -> None:
        fail = self._judge.fail
        missing = {".target", "credentials.json", "token", "env"} - files.keys()
        if missing:
            fail(f"{name} lacks {', '.join(sorted(missing))}, and nothing is broken")
        if token is None:
            return fail(f"{name}/token is torn")
        if token.subject != self._site.get_subject(name):
            fail(f"{name}/token is of {token.subject}, not of {self._site.get_subject(name)}")
        self._judge.released.discard(name)
        since = self._troubles.find_health((name, STS_HOST, *SIGNER_HOSTS))
        is_wanted = self._site.targets[name].has_access_token and since < SCHEDULER.now - 60
        if is_wanted and "access_token" not in files:
            fail(f"{name}/access_token is absent, and nothing is broken")
        if token.kid in self._site.revoked:
            fail(f"{name}/token is signed with a key that was revoked")
        if now > token.latest_due + _PROMPT:
            fail(f"{name} is forgotten: its token was due {now - token.latest_due:.0f} s ago, and nothing is broken")
        if token.issued_at > now + 31:
            fail(f"{name}/token is from the future, and nothing is broken")
        self.least_left = min(self.least_left, (token.expires_at - now) / token.life)
        return None

    def _look_at_stray(self, name: str, directory: Inode) -> None:
        if self._troubles.find_health(()) > SCHEDULER.now:
            return
        if name.endswith(".tmp"):
            self._judge.fail(f"{name} is left in the root, and nothing is broken")
        removed_at = self.removed_at.get(name)
        if removed_at is None or self._troubles.find_health((name,)) > SCHEDULER.now:
            return
        since = SCHEDULER.now - max(removed_at, self._troubles.find_health((name,)) - 10.0)
        if "env" in (directory.entries or {}) and since > 20:
            self._judge.fail(f"{name}/env is there {since:.0f} s after its target was removed")
        gone_at = self._judge.withdrawn_at.get(name, removed_at)
        if SCHEDULER.now - max(gone_at, self._troubles.find_health((name,))) > _GRACE + 30:
            self._judge.fail(f"{name} is not retired {SCHEDULER.now - gone_at:.0f} s after its env went")

    def _look_at_crowd(self) -> None:
        second = int(SCHEDULER.now) - 1
        count = self._judge.published.pop(second, 0)
        life = self._site.life
        if self._troubles.find_any_end() > SCHEDULER.now - 3 * life or SCHEDULER.now < 1000 + 3 * life:
            return
        mean = len(self._site.targets) / (life / 10)
        if count > 2 * mean + 6 * mean**0.5 + 8:
            self._judge.fail(f"{count} targets are renewed in one second, and {mean:.1f} are due")
