"""One refresh of one target: open, read, assess, supply, check, publish. The use case that everything else serves.

A refresh either publishes a complete, checked token or changes nothing; only files of another identity, by the
target record, are taken away. `refresher.engine.agenda` decides when to call it, and `refresher.engine.minter` mints
optional artifacts.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from refresher.clock import Clock
from refresher.engine.artifacts import list_changed_keys, select_descriptions
from refresher.engine.assessment import Assessment, assess_token, check_unchanged, is_worth_publishing
from refresher.engine.metadata import MetadataEndpoints, NoMetadataEndpoints, is_env_wanted, serve_leading
from refresher.engine.outcome import Life, Outcome, Result
from refresher.engine.plan import Chain, Target
from refresher.engine.supplies import Supplies
from refresher.errors import ImpersonationError, PublishError, RefresherError, SupplyError
from refresher.policy import State
from refresher.publishing.artifacts import ARTIFACTS, DESCRIPTIONS, ENVIRONMENT, RECORD
from refresher.publishing.contents import PublishedFile, parse_descriptions, render_descriptions
from refresher.publishing.directory import (
    UNSEEN,
    DirectoryState,
    OccupiedDirectoryError,
    ReassignedDirectoryError,
    UnrecordedDirectoryError,
    is_in_place,
    lacks_any,
)
from refresher.publishing.lock import TURNS
from refresher.publishing.open_directory import OpenDirectory, open_to_publish
from refresher.suppliers.interface import Supplier
from refresher.tokens import MAXIMUM_SIZE, SubjectToken


class Refresher:
    """Refreshes targets; safe to use from several threads as long as each directory has one refresh at a time.

    Args:
        suppliers: By name.
        chain: Returns what mints access tokens for targets without a pool; asked when one is minted.
        clock: Where the time comes from.
        local: Names of the suppliers that wait for no other machine or program.
        may_take_over: Returns whether this process may take a directory from another identity now: only the daemon, or
            `once` while no daemon runs.
        endpoints: The metadata endpoints, for which `env` waits.
    """

    def __init__(
        self,
        *,
        suppliers: Mapping[str, Supplier],
        chain: Callable[[], Chain],
        clock: Clock,
        local: Collection[str] = (),
        may_take_over: Callable[[], bool] = lambda: True,
        endpoints: MetadataEndpoints | None = None,
    ) -> None:
        self._supplies = Supplies(suppliers=suppliers, local=local, chain=chain, clock=clock)
        self._clock = clock
        self._may_take_over = may_take_over
        self._endpoints = endpoints or NoMetadataEndpoints()

    def refresh(self, target: Target, *, force: bool = False, first: bool = False) -> Outcome:
        """Bring one target's directory to the configured state, with a token that is fresh.

        1. Open the directory, and read its record. If it is another identity's: withdraw everything, `env` first; if
           that identity has another name, replace the directory too; then write the record.
        2. If it has no record and files of an earlier version: prove that writing works. They stay until there is a
           token; only then are they withdrawn and the record written.
        3. Settle group and mode, then the static artifacts that come before the token. Next to a token that the
           configuration would not mint they wait for the new one, so that the two stay a pair until then.
        4. Unless the token is fresh: supply another; check, describe and publish it. The directory is released while a
           supplier may wait for an answer, and then looked at again.
        5. Put right what comes after the token, `env` last; withdraw optional artifacts that are no longer asked for.
        6. At the first visit of a directory in which nothing had to be written, prove that writing would work.

        With `force` a fresh token is replaced too; `first` means that this process has not succeeded there yet.
        Failures are in the outcome that is returned, and nothing but a bug is raised.
        """
        started = self._clock.monotonic()
        visit = _Visit(target, self._supplies, self._clock, self._may_take_over, force, first)
        error: RefresherError | None = None
        state: DirectoryState | None = None
        try:
            with TURNS.take(), open_to_publish(target.directory) as visit.directory:
                visit.wants_env = is_env_wanted(self._endpoints, target)
                error = visit.bring_up_to_date()
                state = visit.directory.read_state(visit.contents)
                needed = {target.leading, *target.static} - (set() if visit.wants_env else {ENVIRONMENT})
                if visit.token is not None and lacks_any(state, target.directory.artifacts, needed):
                    state = UNSEEN  # another process was there since: the next look finds a difference
        except PublishError as refused:
            error = refused
        serve_leading(self._endpoints, target, visit.token, error)
        return Outcome(
            result=visit.result if error is None else Result.FAILED,
            life=None if visit.token is None else Life.from_token(visit.token),
            repaired=tuple(visit.repaired),
            owned=tuple(name for name, is_owned in visit.repaired.items() if is_owned),
            damaged=visit.damaged,
            changed=visit.changed,
            error=error,
            duration=self._clock.monotonic() - started,
            state=state,
            left=target.directory.look() if isinstance(error, PublishError) else None,
            is_recreated=visit.is_recreated,
            lacked_record=visit.lacked_record,
            found_mode=None if error is not None else visit.directory.found_mode,
        )

    def forget(self, target: Target) -> None:
        """Drop the token that was supplied for a target last: no other target can share it."""
        self._supplies.forget(target)


@dataclass(eq=False)
class _Visit:
    """The state of one refresh while it goes on."""

    target: Target
    supplies: Supplies
    clock: Clock
    may_take_over: Callable[[], bool]
    force: bool
    first: bool
    directory: OpenDirectory = field(init=False)
    wants_env: bool | None = True
    is_claimed: bool = True
    wrote: bool = False
    contents: dict[str, PublishedFile] = field(default_factory=dict)
    repaired: dict[str, bool] = field(default_factory=dict)  # whether the owner or mode alone was another
    former: dict[str, PublishedFile] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    changed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_recreated: bool = False
    lacked_record: bool = False
    result: Result = Result.KEPT
    token: SubjectToken | None = None

    def bring_up_to_date(self) -> RefresherError | None:
        """Go through the steps of `Refresher.refresh`; return a supplier's failure after all else was put right."""
        try:
            with self.directory.held():
                self._claim()  # 1, 2
                present = self._look()
                if self.is_claimed:  # 3
                    self.directory.settle()
                    if present.is_ours or present.state is State.ABSENT:
                        self._settle_static(before_token=True)
                    if present.state is State.FRESH and not self.force:
                        self._finish()
                        return None
                if self.supplies.is_local(self.target):  # 4
                    return self._complete(self._try_to_supply(), present)
                seen = self.directory.read_state(self.contents)
            with TURNS.leave():
                supplied: SubjectToken | RefresherError | None = self._try_to_supply()
            with self.directory.held():
                if self.directory.read_state() != seen:
                    if self.directory.read_record() != (self.target.record if self.is_claimed else None):
                        self.token = None
                        raise ReassignedDirectoryError(str(self.target.directory.path))
                    former, present = self.token, self._look()
                    if present.state is State.FRESH and self.token != former:
                        supplied = None  # another process was faster, and its token is as good
                return self._complete(supplied, present)
        except PublishError:
            if not self.directory.is_complete:
                self.token = None
            raise

    def _try_to_supply(self) -> SubjectToken | RefresherError:
        try:
            return self.supplies.get(self.target, self.token)
        except (SupplyError, ImpersonationError) as error:
            return error

    def _complete(self, supplied: SubjectToken | RefresherError | None, present: Assessment) -> RefresherError | None:
        """Publish what was supplied, and put everything right; return why there was nothing to publish."""
        failure = self._publish(supplied, present) if isinstance(supplied, SubjectToken) else supplied
        if self.is_claimed:
            self._finish()
        return failure

    def _claim(self) -> None:
        """Make the directory this target's, or find out that it can't be yet."""
        record = self.directory.read_record()
        if self.first and record in (None, self.target.record):
            self.directory.sweep()
        if record == self.target.record:
            return
        if record is not None:
            if not self.may_take_over():
                raise OccupiedDirectoryError(str(self.target.directory.path), record)
            if record.identity == self.target.record.identity:
                with suppress(PublishError):
                    self.former = self.directory.read(self.target.static)  # containers that run on have read these
            self.directory.withdraw_all()
            if record.identity != self.target.record.identity:
                self.directory.replace()
                self.is_recreated = True
        else:
            ours, others = self.directory.list_entries()
            if others:
                raise UnrecordedDirectoryError(str(self.target.directory.path), others[0])
            if ours:
                self.directory.probe(MAXIMUM_SIZE)
                self.is_claimed, self.lacked_record = False, True
                return
        self._write_record()

    def _write_record(self) -> None:
        self.directory.publish(RECORD, self.target.record.render())
        self.wrote = self.is_claimed = True

    def _look(self) -> Assessment:
        self.contents = self.directory.read((*self.target.static, DESCRIPTIONS, self.target.leading))
        self.damaged |= {name: str(file.problem) for name, file in self.contents.items() if file.is_damaged}
        present = assess_token(self.target, self.contents, self.clock.now())
        if not self.is_claimed:
            return Assessment(state=State.FOREIGN)
        self.token = present.token if present.is_ours else None
        return present

    def _publish(self, token: SubjectToken, present: Assessment) -> RefresherError | None:
        """Publish a supplied token if it is worth it; return why the supplier is to blame if it is not."""
        try:
            if not is_worth_publishing(self.target, token, present, self.clock.now(), force=self.force):
                self.result = Result.UNCHANGED
                check_unchanged(self.target, present)
                return None
        except SupplyError as error:
            return error
        if not self.is_claimed:
            self.directory.withdraw_all()
            self._write_record()
            self.directory.settle()
            self._look()
        self._settle_static(before_token=True)
        self._settle_descriptions(token)
        self.directory.publish(self.target.leading, token.value.encode())
        del self.contents[self.target.leading]
        self.token, self.result = token, Result.PUBLISHED
        return None

    def _finish(self) -> None:
        """Put everything right next to our token, and prove at the first visit that writing works."""
        if self.token is not None:  # 5
            if self.result is not Result.PUBLISHED:
                self._settle(self.target.leading, self.contents[self.target.leading].content or b"")
                self._settle_descriptions(self.token)
            self._settle_static(before_token=False)
            wanted = {*self.target.directory.artifacts, RECORD, DESCRIPTIONS}
            if self.wants_env is False:
                wanted.remove(ENVIRONMENT)
                self.contents.pop(ENVIRONMENT, None)
            self.directory.withdraw(name for name in self.directory.list_entries()[0] if name not in wanted)
        if self.first and self.result is not Result.PUBLISHED and not self.wrote:
            self.directory.probe(max(map(len, self.target.static.values())))  # 6

    def _settle_static(self, *, before_token: bool) -> None:
        leading = self.target.leading
        names = [row.name for row in ARTIFACTS if row.name in self.target.static or row.name == leading]
        place = names.index(leading)
        for name in names[:place] if before_token else names[place + 1 :]:
            if name in self.contents and (name != ENVIRONMENT or self.wants_env):
                self._settle(name, self.target.static[name])

    def _settle(self, name: str, wanted: bytes) -> None:
        """Write an artifact unless it was written, or is in place with its owner and mode."""
        file = self.contents.get(name)
        if file is None or is_in_place(file, wanted, self.directory.ownership):
            return
        self.directory.publish(name, wanted)
        del self.contents[name]
        if (former := self.former.get(name, file).content) is not None and (keys := list_changed_keys(former, wanted)):
            self.changed[name] = keys
        self.wrote = True
        if name == ENVIRONMENT and self.target.metadata is not None and file.is_absent:
            return  # it waited for the listener
        if not file.is_absent or (self.token is not None and not self.first and self.result is not Result.PUBLISHED):
            self.repaired[name] = file.content == wanted

    def _settle_descriptions(self, token: SubjectToken) -> None:
        """Keep `artifacts.json` where it describes something; an opaque token before that is published."""
        file = self.contents[DESCRIPTIONS]
        present = parse_descriptions(file.content)
        wanted = select_descriptions(self.target, present, token)
        if not wanted:
            if not file.is_absent:
                self.directory.withdraw([DESCRIPTIONS])
        elif present != wanted or not is_in_place(file, render_descriptions(present), self.directory.ownership):
            self.directory.publish(DESCRIPTIONS, render_descriptions(wanted))
            del self.contents[DESCRIPTIONS]
            self.wrote = True
            self.repaired |= {DESCRIPTIONS: file.content == render_descriptions(wanted)} if present == wanted else {}
