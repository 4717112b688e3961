"""Threads of the simulated machine: one runs at a time, and the seed decides which, and when it is interrupted.

A task is a greenlet, so that a switch is cheap and happens only where the simulation wants it: when a task waits, and
at system calls and locks after a number of them that is drawn. Time stands still while anything can run; when all tasks
wait, it moves on to the first moment that one of them waits for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from random import Random

from greenlet import GreenletExit, getcurrent, greenlet

_MOST_STEPS = 2_000_000
"""Switches in one moment: more mean that tasks keep each other busy."""


class KilledError(BaseException):
    """The process of the calling task has been killed: nothing that it still does has an effect."""


class StuckError(Exception):
    """No task can go on, or none lets the time move on."""


class Process:
    """What is killed as a whole: its tasks, and what the kernel keeps for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.tasks: dict[int, Task] = {}
        self.ended: Callable[[], None] = lambda: None


class Task:
    """One thread of a process."""

    __slots__ = ("greenlet", "is_done", "is_timed_out", "name", "number", "process", "waiting_in", "wake_number")

    def __init__(self, number: int, name: str, process: Process) -> None:
        self.number = number
        self.name = name
        self.process = process
        self.is_done = False
        self.is_timed_out = False
        self.wake_number = 0
        self.waiting_in: list[Task] | None = None
        self.greenlet: greenlet


class Scheduler:
    """All tasks of the machine."""

    def __init__(self) -> None:
        self.reset(Random(0), mean=50)

    def reset(self, random: Random, *, mean: float) -> None:
        """Begin again without a task; interruptions are so many calls apart on average."""
        self.random = random
        self.now = 1000.0
        self.switches = 0
        self._mean = mean
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, int, Task]] = []
        self._count = 0
        self.current: Task | None = None
        self._hub = getcurrent()
        self.fuel = self._draw_fuel()

    def _draw_fuel(self) -> int:
        return int(self.random.expovariate(1 / self._mean)) if self._mean else 1 << 60

    def spawn(self, process: Process, name: str, run: Callable[[], object]) -> Task:
        """Add a task that is ready to run."""
        self._count += 1
        task = Task(self._count, name, process)

        def main() -> None:
            try:
                run()
            except (GreenletExit, KilledError):
                pass
            finally:
                task.is_done = True
                process.tasks.pop(task.number, None)

        task.greenlet = greenlet(main, self._hub)
        process.tasks[task.number] = task
        self._ready.append(task)
        return task

    def kill(self, process: Process) -> None:
        """End a process: its tasks unwind, and find that nothing which they do has an effect."""
        process.is_alive = False
        for task in [*process.tasks.values()]:
            if task.waiting_in is not None and task in task.waiting_in:
                task.waiting_in.remove(task)
            if task in self._ready:
                self._ready.remove(task)
            task.wake_number += 1
            former, self.current = self.current, task
            if not task.greenlet.dead:
                task.greenlet.throw(GreenletExit)
            task.is_done = True
            self.current = former
        process.tasks.clear()
        process.ended, ended = lambda: None, process.ended
        ended()

    def step(self, until: float) -> bool:
        """Run one task until it waits, or move the time on; return False when that moment has come."""
        ready = self._ready
        if ready:
            index = int(self.random.random() * len(ready)) if len(ready) > 1 else 0
            task = ready[index]
            ready[index] = ready[-1]
            ready.pop()
            self.switches += 1
            self.current = task
            task.greenlet.switch()
            self.current = None
            if not task.process.is_alive:
                self.kill(task.process)
            return True
        while self._timers:
            at, _, number, task = self._timers[0]
            if number != task.wake_number or task.is_done:
                heappop(self._timers)
                continue
            if at > until:
                break
            heappop(self._timers)
            self.now = max(self.now, at)
            task.is_timed_out = True
            self.wake(task)
            return True
        self.now = max(self.now, until)
        return False

    def run(self, until: float) -> None:
        """Run tasks until a moment."""
        steps, now = 0, self.now
        while self.step(until):
            steps += 1
            if self.now != now:
                steps, now = 0, self.now
            elif steps > _MOST_STEPS:
                raise StuckError(f"tasks go on without end: {[task.name for task in self._ready]}")

    def wait(self, queue: list[Task] | None, timeout: float | None) -> bool:
        """Make the current task wait in a queue until it is woken; return False if its time was up before."""
        task = self.current
        if task is None:
            raise StuckError("what is not a task waits")
        if not task.process.is_alive:
            raise KilledError
        task.wake_number += 1
        task.is_timed_out = False
        if queue is not None:
            queue.append(task)
        task.waiting_in = queue
        if timeout is not None:
            self._count += 1
            heappush(self._timers, (self.now + max(timeout, 0.0), self._count, task.wake_number, task))
        self._hub.switch()
        if not task.process.is_alive:
            raise KilledError
        return not task.is_timed_out

    def wake(self, task: Task) -> None:
        """Make a task that waits ready."""
        task.wake_number += 1
        if task.waiting_in is not None and task in task.waiting_in:
            task.waiting_in.remove(task)
        task.waiting_in = None
        self._ready.append(task)

    def wake_one(self, queue: list[Task]) -> None:
        """Make one of the tasks in a queue ready."""
        if queue:
            self.wake(queue[int(self.random.random() * len(queue)) if len(queue) > 1 else 0])

    def interrupt(self) -> None:
        """Make others run before the current task goes on; called when the drawn number of calls is used up."""
        self.fuel = self._draw_fuel()
        task = self.current
        if task is None or not self._ready:
            return
        if not task.process.is_alive:
            raise KilledError
        self._ready.append(task)
        self._hub.switch()
        if not task.process.is_alive:
            raise KilledError

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Keep all other tasks from running for the length of a `with` block that does not wait."""
        former, self.fuel = self.fuel, 1 << 60
        try:
            yield
        finally:
            self.fuel = former


SCHEDULER = Scheduler()
"""Of this process; the locks that modules of the product create when they are imported know no other."""
