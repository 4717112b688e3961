"""The parts of a tick: a failing one is reported and keeps none of the others, and one that hangs is not waited for.

A file system whose server is gone answers neither with success nor with an error, and what asked it can't be stopped.
So what touches one is done on a thread of its own, which the tick, the logs and the end of the daemon wait for only so
long. What each part does is in `refresher.engine.daemon`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from threading import Thread

from refresher.clock import Clock
from refresher.engine.events import Severity
from refresher.engine.reporter import Reporter
from refresher.errors import PublishError, RefresherError, describe_bug

PATIENCE = 3.0
"""Seconds that a tick waits for a part that may hang: once, and not again until that part has ended."""

_SLICE = 0.002
"""Seconds between two looks whether something else has to be done meanwhile."""

_LONGEST = 10.0
"""Seconds after which a part that goes on is a fault: loading a large configuration takes a while too."""

_HANGING = (
    "find the mount in /proc/mounts; bring its server or FUSE process back, or detach it (umount --lazy); until then "
    "nothing is renewed there"
)


class Parts:
    """Does parts of a tick by name and reports their faults, each once until it changes.

    Args:
        reporter: What faults are sent by.
        clock: Where the time comes from.
        patience: Seconds to wait for a part that may hang.
    """

    def __init__(self, reporter: Reporter, clock: Clock, *, patience: float) -> None:
        self._reporter = reporter
        self._clock = clock
        self._patience = patience
        self._faults: dict[str, RefresherError] = {}
        self._threads: dict[str, Thread] = {}
        self._begun: dict[str, float] = {}

    def do(self, part: str, work: Callable[[], object]) -> bool:
        """Do a part, and return whether it was done; its failure is reported."""
        try:
            work()
        except PublishError as error:
            self.report(part, error)
        except Exception as bug:  # noqa: BLE001 - around one part of a tick: the others must go on
            self.report(part, describe_bug(f"the daemon's part {part}", bug))
        else:
            self.clear(part)
            return True
        return False

    def do_in_time(
        self, part: str, work: Callable[[], object], *, place: str, meanwhile: Callable[[], None] | None = None
    ) -> bool:
        """Do a part that touches the file systems of a place, and return whether it has ended.

        While it goes on it is not begun again, and after a while that is a fault of its own. What is to be done
        `meanwhile` is called often on the caller's thread, until the part ends or its time is up.
        """
        thread = self._threads.get(part)
        if thread is None or not thread.is_alive():
            if not self.do(f"thread for {part}", partial(self._begin, part, work)):
                return False
            thread = self._threads[part]
            slices = round(self._patience / _SLICE) if meanwhile is not None else 1
            for _ in range(slices):
                thread.join(self._patience / slices)
                if not thread.is_alive():
                    break
                if meanwhile is not None:
                    meanwhile()
        if not thread.is_alive():
            self.clear(f"{part} in time")
            return True
        if self._clock.monotonic() - self._begun[part] >= _LONGEST:
            problem = f"{place} does not answer: the daemon's {part} has been waiting for more than {_LONGEST:.0f} s"
            self.report(f"{part} in time", PublishError(problem, _HANGING))
        return False

    def note(self, part: str, errors: Iterable[RefresherError]) -> None:
        """Report all that a part found to be wrong, and the end of what it found before and does not find now."""
        found = {f"{part}: {error.problem}": error for error in errors}
        for former in [each for each in self._faults if each.startswith(f"{part}: ") and each not in found]:
            self.clear(former)
        for name, error in found.items():
            self.report(name, error)

    def report(self, part: str, error: RefresherError) -> None:
        """Report once what goes wrong in a part, and again when it changes."""
        former, self._faults[part] = self._faults.get(part), error
        if former is None or former.problem != error.problem:
            self._reporter.send("daemon.fault", Severity.ERROR, error=error.problem, remedy=error.remedy)

    def clear(self, part: str) -> None:
        """Note that a part goes well: the end of its fault is reported, and so will be its next one."""
        former = self._faults.pop(part, None)
        if former is not None:
            self._reporter.send("daemon.recovered", Severity.INFO, error=former.problem)

    def list_faults(self) -> list[tuple[str, str]]:
        """Return problem and remedy of what goes wrong now."""
        return [(error.problem, error.remedy) for error in tuple(self._faults.values())]

    def _begin(self, part: str, work: Callable[[], object]) -> None:
        thread = Thread(target=self.do, args=(part, work), name=f"part-{part}", daemon=True)
        thread.start()
        self._threads[part], self._begun[part] = thread, self._clock.monotonic()
