"""What the product finds as `threading`, `queue` and `time`: the same faces over tasks of the scheduler."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Self

from tests.simulation.scheduler import SCHEDULER, KilledError, Process, Task


class Lock:
    """A lock; the scheduler may interrupt the task that takes it."""

    __slots__ = ("_owner", "_waiting")

    def __init__(self) -> None:
        self._owner: object = None
        self._waiting: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - threading's
        """Take it."""
        SCHEDULER.fuel -= 1
        if SCHEDULER.fuel < 0:
            SCHEDULER.interrupt()
        if self._owner is None:
            self._owner = SCHEDULER.current or self
            return True
        if not blocking:
            return False
        until = None if timeout < 0 else SCHEDULER.now + timeout
        while self._owner is not None:
            left = None if until is None else until - SCHEDULER.now
            if not SCHEDULER.wait(self._waiting, left):
                return False
        self._owner = SCHEDULER.current
        return True

    def release(self) -> None:
        """Release it; a task that was killed releases only its own."""
        task = SCHEDULER.current
        if task is not None and not task.process.is_alive and self._owner is not task:
            return
        if self._owner is None:
            raise RuntimeError("release unlocked lock")
        self._owner = None
        if self._waiting:
            SCHEDULER.wake_one(self._waiting)

    def locked(self) -> bool:
        """Return whether it is taken."""
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_error: object) -> None:
        self.release()


class RLock(Lock):
    """A lock that its owner may take again."""

    __slots__ = ("_depth",)

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - threading's
        """Take it once more."""
        if self._owner is not None and self._owner is SCHEDULER.current:
            self._depth += 1
            return True
        if super().acquire(blocking, timeout):
            self._depth = 1
            return True
        return False

    def release(self) -> None:
        """Release it as often as it was taken."""
        self._depth -= 1
        if self._depth <= 0:
            super().release()


class Condition:
    """A condition over a lock of its own or another's."""

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or RLock()
        self._waiting: list[Task] = []

    def acquire(self) -> bool:
        """Take the lock."""
        return self._lock.acquire()

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock until woken."""
        self._lock.release()
        woken = SCHEDULER.wait(self._waiting, timeout)
        self._lock.acquire()
        return woken

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something is true."""
        until = None if timeout is None else SCHEDULER.now + timeout
        while not (found := predicate()):
            left = None if until is None else until - SCHEDULER.now
            if left is not None and left <= 0:
                break
            self.wait(left)
        return found

    def notify(self, n: int = 1) -> None:
        """Wake so many."""
        for _ in range(min(n, len(self._waiting))):
            SCHEDULER.wake_one(self._waiting)

    def notify_all(self) -> None:
        """Wake all."""
        self.notify(len(self._waiting))


class Event:
    """A flag to wait for."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        """Return the flag."""
        return self._is_set

    def set(self) -> None:
        """Set it."""
        self._is_set = True
        for task in [*self._waiting]:
            SCHEDULER.wake(task)

    def clear(self) -> None:
        """Clear it."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it."""
        if not self._is_set:
            SCHEDULER.wait(self._waiting, timeout)
        return self._is_set


class Thread:
    """A thread of the process of the task that starts it."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or "thread"
        self.daemon = daemon
        self._call = target, args, kwargs or {}
        self._task: Task | None = None
        self._joining: list[Task] = []

    def start(self) -> None:
        """Start it."""
        starter = SCHEDULER.current
        if starter is None:
            raise RuntimeError("a thread is started by a task")
        if not starter.process.is_alive:
            raise KilledError
        self._task = SCHEDULER.spawn(starter.process, self.name, self._run)

    def _run(self) -> None:
        try:
            target, args, kwargs = self._call
            if target is not None:
                target(*args, **kwargs)
        finally:
            self._task = None
            for task in [*self._joining]:
                SCHEDULER.wake(task)

    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self._task is not None

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self._task is not None:
            SCHEDULER.wait(self._joining, timeout)


class Local:
    """Attributes of each task."""

    def __init__(self) -> None:
        object.__setattr__(self, "_values", {})

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[SCHEDULER.current, name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: object) -> None:
        if value is None:
            self._values.pop((SCHEDULER.current, name), None)
        else:
            self._values[SCHEDULER.current, name] = value


class SimpleQueue:
    """A queue without a limit."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiting: list[Task] = []

    def put(self, item: object) -> None:
        """Add an item."""
        self._items.append(item)
        SCHEDULER.wake_one(self._waiting)

    def get(self) -> Any:
        """Take the first item, or wait for one."""
        while not self._items:
            SCHEDULER.wait(self._waiting, None)
        return self._items.popleft()

    @classmethod
    def __class_getitem__(cls, _item: object) -> type[Self]:
        return cls


def sleep(seconds: float) -> None:
    """Wait so long."""
    SCHEDULER.wait(None, seconds)


def monotonic() -> float:
    """Return the seconds of the machine's monotonic clock."""
    return SCHEDULER.now


def run_in(process: Process, name: str, work: Callable[[], object]) -> Task:
    """Run something as a task of a process."""
    return SCHEDULER.spawn(process, name, work)


def build_modules() -> dict[str, ModuleType]:
    """Return the modules by name; what is not simulated is left as it is."""
    threads, queues, times = ModuleType("threading"), ModuleType("queue"), ModuleType("time")
    vars(threads).update(vars(threading))
    vars(queues).update(vars(queue))
    vars(times).update(vars(time))
    vars(threads).update(
        Lock=Lock,
        RLock=RLock,
        Condition=Condition,
        Event=Event,
        Thread=Thread,
        local=Local,
        Timer=None,
        Semaphore=None,
        BoundedSemaphore=None,
        Barrier=None,
    )
    vars(queues).update(SimpleQueue=SimpleQueue, Queue=None)
    vars(times).update(sleep=sleep, monotonic=monotonic, time=None, clock_gettime=None)
    return {"threading": threads, "queue": queues, "time": times}
