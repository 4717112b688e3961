"""The links of the cloud's side: key, audience, condition, exchange, impersonation.

STS answers once, for all that it checks, and the catalogue knows which link each of its refusals breaks. What STS did
not complain about is fine only if it accepted the exchange: in which order it checks is not documented.
"""

from dataclasses import replace

from refresher.catalogue.entries import get_entry
from refresher.doctor.diagnosis import Finding, ok, skip
from refresher.doctor.facts import Facts
from refresher.doctor.links.host import name_once
from refresher.doctor.links.supply import CREDENTIALS, TOKEN
from refresher.durations import format_span
from refresher.errors import ExitStatus
from refresher.google.chain import QUOTA_PROJECT
from refresher.text import escape

KEY, AUDIENCE, CONDITION = "key", "audience", "attribute condition"
EXCHANGE, IMPERSONATION, ARTIFACTS = "exchange", "impersonation", "optional artifacts"
_OF_STS = (TOKEN, KEY, AUDIENCE, CONDITION)
"""The links that a refusal of STS may break; any other refusal breaks the exchange itself."""


def find_broken(facts: Facts) -> str:
    """Return the link that the refusal of STS breaks; empty if it accepted, or was not asked."""
    if facts.trial.exchange.error is None or facts.target.impersonation.is_own:
        return ""
    entry = get_entry(facts.trial.exchange.error.entry)
    return entry.link if entry is not None and entry.link in _OF_STS else EXCHANGE


def _judge(facts: Facts, link: str, evidence: str) -> Finding:
    exchange, broken = facts.trial.exchange, find_broken(facts)
    if broken == link and exchange.error is not None:
        found = Finding.of_error(link, exchange.error)
        return replace(found, evidence=f"{found.evidence}; {evidence}" if evidence else found.evidence)
    if exchange.error is not None:
        return skip(link, f"because STS did not accept the exchange: see {broken}")
    if exchange.result is None:
        return skip(link, exchange.reason)
    return ok(link, evidence or "STS accepts it")


def judge_key(facts: Facts) -> Finding:
    """Check whether the key that signed the token is published, and known to the provider."""
    token = facts.trial.token
    claims = token.unverified_claims if token else None
    if claims is None:
        return _judge(facts, KEY, "")
    evidence = f"signed with key {escape(claims.key_id or 'without an id')} ({escape(claims.algorithm or 'no alg')})"
    if facts.trial.keys.result is not None:
        known = ", ".join(map(escape, facts.trial.keys.result)) or "none"
        directory = None if facts.settings is None else facts.settings.keys_directory
        evidence += f"; {directory or 'its issuer'} publishes {known}"
    elif facts.trial.keys.error is not None:
        evidence += f"; {facts.trial.keys.error.problem}"
    return _judge(facts, KEY, evidence)


def judge_audience(facts: Facts) -> Finding:
    """Check whether the provider accepts the token's audience."""
    token = facts.trial.token
    claims = token.unverified_claims if token else None
    return _judge(facts, AUDIENCE, f"aud is {escape(', '.join(claims.audience))}" if claims else "")


def judge_condition(facts: Facts) -> Finding:
    """Check whether the provider's mapping and condition accept the token's claims."""
    token = facts.trial.token
    claims = token.unverified_claims if token else None
    if claims is None:
        return _judge(facts, CONDITION, "")
    configured = facts.target.expected.constants or {}
    others = "".join(f", {name} {escape(str(claims.other.get(name)))}" for name in sorted(configured))
    return _judge(facts, CONDITION, f"sub is {escape(claims.subject or 'absent')}{others}")


def judge_exchange(facts: Facts) -> Finding:
    """Check whether STS exchanges the token."""
    trial, resource = facts.trial, facts.target.impersonation.facts.get("resource")
    evidence = ""
    if trial.exchange.result is not None:
        lives = format_span(trial.exchange.result.expires_at - facts.now)
        evidence = f"STS accepts the token at {resource} in {trial.exchange.milliseconds} ms, for {lives}"
    return _judge(facts, EXCHANGE, evidence)


def judge_impersonation(facts: Facts) -> Finding:
    """Check whether the principal may act as the service account, and both may use the quota project."""
    way, attempt = facts.target.impersonation, facts.trial.impersonation
    if attempt.error is not None:
        return Finding.of_error(IMPERSONATION, attempt.error)
    refused = facts.trial.quota.error
    if refused is not None and refused.entry == QUOTA_PROJECT:
        return Finding.of_error(IMPERSONATION, refused)
    unknown = (
        f"; whether it may use quota project {way.quota_project} is not known: {refused.problem}" if refused else ""
    )
    if attempt.result is None:
        is_unasked = way.is_own and facts.trial.exchange.error is not None
        reason = f"because nothing can ask for it: see {CREDENTIALS}" if is_unasked else attempt.reason
        return skip(IMPERSONATION, f"{reason}{unknown}")
    chain = f" through {', '.join(way.delegates)}" if way.delegates else ""
    lives = format_span(attempt.result.expires_at - facts.now)
    return ok(IMPERSONATION, f"acts as {way.service_account}{chain} for {lives}, in {attempt.milliseconds} ms{unknown}")


def judge_artifacts(facts: Facts) -> Finding:
    """Check whether the optional artifacts serve; what does not was minted again, to see why."""
    if not facts.health.artifacts:
        return skip(ARTIFACTS, "the target asks for none")
    broken = {name: attempt.error for name, attempt in facts.artifacts.items() if attempt.error is not None}
    states = ", ".join(f"{each.name} {each.state}" for each in facts.health.artifacts)
    former = facts.trial.impersonation.error
    for name, error in broken.items():
        if former is not None and former.remedy == error.remedy:  # one cause is one finding
            return skip(ARTIFACTS, f"for the same reason: see {IMPERSONATION} ({states})")
        found = Finding.of_error(ARTIFACTS, error)
        return replace(found, evidence=f"{name}: {found.evidence} ({states})")
    lacking = [each for each in facts.health.artifacts if each.state not in ("fresh", "due")]
    if not lacking:
        return ok(ARTIFACTS, states)
    if facts.trial.impersonation.result is None and not facts.artifacts:
        return skip(ARTIFACTS, f"because nothing can be minted: see {IMPERSONATION} ({states})")
    return Finding.of_entry(ARTIFACTS, "artifact-missing", states, name_once(facts), stage=ExitStatus.NOT_READY)
