"""One optional artifact of one target: read, assess, mint, publish. The token file never waits for it.

Minting asks Google and may take long, so it is done with the directory closed; before publishing everything is looked
at again, since the directory may belong to another identity by then. When to call it is decided in
`refresher.engine.agenda`, what mints each artifact in `refresher.engine.artifacts`.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from refresher import policy
from refresher.clock import Clock
from refresher.engine.artifacts import MintedToken, Minting, compute_request, mint
from refresher.engine.assessment import assess_minted, assess_token
from refresher.engine.metadata import MetadataEndpoints, NoMetadataEndpoints
from refresher.engine.outcome import Life, Outcome, Result
from refresher.engine.plan import Chain, MintedArtifact, Target
from refresher.errors import ImpersonationError, RefresherError
from refresher.metadata.plan import EndpointPlan
from refresher.policy import State
from refresher.publishing.artifacts import ACCESS_TOKEN, DESCRIPTIONS, ENVIRONMENT, ID_TOKENS
from refresher.publishing.contents import describe, parse_descriptions, render_descriptions
from refresher.publishing.directory import is_in_place
from refresher.publishing.open_directory import open_to_publish
from refresher.shared_fetch import SharedFetch
from refresher.tokens import AccessToken, SubjectToken

LEAST_LIFE = timedelta(minutes=1)
"""That a federated token must have left to be used once more; it ends with its subject token at the latest."""


class _Look(NamedTuple):
    """What a directory or an endpoint holds of an artifact, and what there is to mint it with."""

    state: State
    present: MintedToken | None
    is_in_place: bool
    subject_token: SubjectToken | None
    damage: str | None

    @property
    def life(self) -> Life | None:
        """The life of what the file holds; None if that is unknown."""
        return None if self.present is None else Life(self.present.issued_at, self.present.expires_at)


class _Minted(NamedTuple):
    """What was minted, and whether by an exchange of its own."""

    token: MintedToken
    has_exchanged: bool


class Minter:
    """Brings optional artifacts up to date; safe to use from several threads.

    The artifacts of an identity share a federated token, which is kept in memory only.

    Args:
        chain: Returns what makes the calls; asked when something is minted.
        clock: Where the time comes from.
        endpoints: What serves access tokens next to the files, or instead of them.
    """

    def __init__(self, *, chain: Callable[[], Chain], clock: Clock, endpoints: MetadataEndpoints | None = None) -> None:
        self._chain = chain
        self._endpoints = endpoints or NoMetadataEndpoints()
        self._shares: dict[object, SharedFetch[AccessToken]] = {}
        self._clock = clock

    def refresh(self, target: Target, artifact: MintedArtifact, *, force: bool = False) -> Outcome:
        """Bring one artifact of a target to the configured state, fresh.

        1. Look. A fresh one is kept, and published again as it is if its owner or mode has drifted. Without our
           subject token there is nothing to mint another with.
        2. Mint, with the directory closed.
        3. Look again, and publish it with its description if the directory is still this identity's and complete.

        The metadata endpoint serves the access token in the file. If none is published, it serves one that is in no
        file, which is looked at and kept fresh in the same way.

        Returns:
            How it ended; failures are in it, and nothing but a bug is raised.
        """
        started = self._clock.monotonic()
        result, life, error, has_exchanged, repaired = Result.WAITING, None, None, False, tuple[str, ...]()
        damaged = dict[str, str]()
        endpoint = target.metadata if artifact.name == ACCESS_TOKEN else None
        try:
            look = self._look(target, artifact)  # 1
            if endpoint is not None and artifact not in target.minted:
                look = self._look_at_served(target, endpoint, look)
            elif endpoint is not None and look.present is not None:
                self._serve(target, endpoint, look.present)
            life, damaged = look.life, {} if look.damage is None else {artifact.name: look.damage}
            if look.state is State.FRESH and look.present is not None and not force:
                result = Result.KEPT
                if not look.is_in_place and self._publish(target, artifact, look.present):
                    repaired = (artifact.name,)
            elif look.subject_token is not None:
                minted, has_exchanged = self._mint(target, artifact, look.subject_token)  # 2
                is_done = artifact not in target.minted or self._publish(target, artifact, minted)  # 3
                if is_done and (endpoint is None or self._serve(target, endpoint, minted)):
                    result, life = Result.PUBLISHED, Life(minted.issued_at, minted.expires_at)
        except RefresherError as failure:
            result, error = Result.FAILED, failure
            if endpoint is not None:
                self._endpoints.note_problem(target.name, endpoint, failure.problem)
        return Outcome(
            result=result,
            life=life,
            repaired=repaired,
            owned=repaired,
            damaged=damaged,
            error=error,
            duration=self._clock.monotonic() - started,
            has_exchanged=has_exchanged,
        )

    def mint_id_token(self, target: Target, audience: str) -> MintedToken:
        """Return an ID token of a target's service account, with its e-mail, that is in no file.

        Raises:
            RefresherError: There is nothing to mint it with, or Google refused or did not answer.
        """
        artifact = MintedArtifact(name=f"{ID_TOKENS}/on-demand", options={"audience": audience, "include_email": True})
        subject_token = self._look(target, artifact).subject_token
        if subject_token is None:
            problem = f"target {target.name} has no usable token yet to mint an ID token with"
            raise ImpersonationError(problem, "read the daemon's log", retryable=True)
        return self._mint(target, artifact, subject_token).token

    def _serve(self, target: Target, endpoint: EndpointPlan, minted: MintedToken) -> bool:
        token = AccessToken(value=minted.content.decode("ascii", "replace"), expires_at=minted.expires_at)
        return self._endpoints.serve_token(target.name, endpoint, token, minted.issued_at)

    def _look_at_served(self, target: Target, endpoint: EndpointPlan, look: _Look) -> _Look:
        held = self._endpoints.find_token(target.name, endpoint)
        if held is None:
            return look._replace(state=State.ABSENT, present=None)
        content, end, now = held.token.value.encode(), held.token.expires_at, self._clock.now()
        state = policy.compute_state(f"{target.name}/{ACCESS_TOKEN}", held.issued_at, end, now)
        present = MintedToken(content=content, issued_at=held.issued_at, expires_at=end)
        return look._replace(state=state, present=present, is_in_place=True)

    def _look(self, target: Target, artifact: MintedArtifact) -> _Look:
        is_ours = target.directory.read_record() == target.record
        contents = target.directory.read((target.leading, DESCRIPTIONS, artifact.name))
        file, now = contents[artifact.name], self._clock.now()
        described = parse_descriptions(contents[DESCRIPTIONS].content).get(artifact.name)
        state = assess_minted(target, artifact, file, described, now)
        is_known = described is not None and state not in (State.ABSENT, State.UNREADABLE, State.FOREIGN)
        present = assess_token(target, contents, now)
        serves = is_ours and present.is_ours and present.state is not State.EXPIRED
        minted = None
        if is_known and described is not None and file.content is not None:
            times = {"issued_at": described.issued_at, "expires_at": described.expires_at}
            minted = MintedToken(content=file.content, **times)
        return _Look(
            state=state if is_ours else State.FOREIGN,
            present=minted,
            is_in_place=is_in_place(file, file.content or b"", target.directory.ownership),
            subject_token=present.token if serves else None,
            damage=file.problem if file.is_damaged else None,
        )

    def _mint(self, target: Target, artifact: MintedArtifact, subject_token: SubjectToken) -> _Minted:
        now, claims = self._clock.now(), subject_token.unverified_claims
        # a supplier that alone knows the subject may speak for another workload by now
        way = target.impersonation.for_subject(None if claims is None else claims.subject)
        key = (target.supply_key, way)
        fetched: list[AccessToken] = []

        def exchange(_: AccessToken | None) -> AccessToken:
            fetched.append(self._chain().exchange(way, subject_token.value, now))
            return fetched[0]

        federated = self._shares.setdefault(key, SharedFetch()).get(  # in one step, for all threads
            serves=lambda grant: grant.expires_at - now >= LEAST_LIFE, fetch=exchange
        )
        return _Minted(mint(artifact, Minting(self._chain(), way, federated, now)), bool(fetched))

    def _publish(self, target: Target, artifact: MintedArtifact, minted: MintedToken) -> bool:
        """Publish unless the directory changed meanwhile. A description that is missing only means due."""
        with open_to_publish(target.directory) as directory, directory.held():
            contents = directory.read((*target.static, target.leading, DESCRIPTIONS))
            needed = target.static.keys() - ({ENVIRONMENT} if target.metadata is not None else set())  # it may wait
            is_complete = all(contents[name].content == target.static[name] for name in needed)
            if directory.read_record() != target.record or not is_complete:
                return False
            if not assess_token(target, contents, self._clock.now()).is_ours:
                return False
            described = describe(
                minted.content,
                minted.issued_at,
                minted.expires_at,
                compute_request(artifact, target.impersonation),
            )
            directory.publish(artifact.name, minted.content)
            entries = parse_descriptions(contents[DESCRIPTIONS].content) | {artifact.name: described}
            directory.publish(DESCRIPTIONS, render_descriptions(entries))
        return True
