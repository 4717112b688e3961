"""The links of the worker's side: does the supplier answer, and is its token one that STS can accept?"""

from datetime import timedelta

from refresher.catalogue.entries import get_entry
from refresher.doctor.diagnosis import Finding, State, ok, skip
from refresher.doctor.facts import Facts
from refresher.durations import format_span
from refresher.errors import ExitStatus
from refresher.google.call import ClockFault
from refresher.inspection import list_refusals
from refresher.policy import CLOCK_SKEW, is_from_the_future
from refresher.text import escape
from refresher.tokens import SubjectToken

CREDENTIALS, SUPPLIER, TOKEN = "worker's credentials", "supplier", "subject token"
_SHORTEST = timedelta(minutes=5)
"""Below it Node, C++ and gcloud exchange on every call (docs/clients.md)."""
_SKEW_LIMIT = timedelta(seconds=60)
"""What STS accepts (facts measured against it); a difference above `CLOCK_SKEW` is worth a warning."""


def judge_credentials(facts: Facts) -> Finding:
    """Check whether the worker has credentials of its own, with which it impersonates where there is no pool."""
    attempt = facts.trial.exchange
    if attempt.error is not None:
        return Finding.of_error(CREDENTIALS, attempt.error)
    if attempt.result is None:
        return skip(CREDENTIALS, attempt.reason)
    return ok(CREDENTIALS, f"{facts.target.impersonation.principal} has an access token, in {attempt.milliseconds} ms")


def judge_supplier(facts: Facts) -> Finding:
    """Check whether the supplier answers."""
    trial, kind = facts.trial, "" if facts.settings is None else facts.settings.kind
    attempt = trial.supplied
    if attempt.error is not None:
        return Finding.of_error(SUPPLIER, attempt.error)
    if attempt.result is None and trial.command:
        evidence = f"supplier {facts.target.supplier} is not asked by this user"
        return Finding.of_entry(
            SUPPLIER, "not-allowed", evidence, {"command": trial.command}, stage=ExitStatus.SUPPLY, state=State.UNKNOWN
        )
    if attempt.result is None:
        return skip(SUPPLIER, attempt.reason)
    return ok(SUPPLIER, f"{facts.target.supplier} ({kind}) supplied a token in {attempt.milliseconds} ms")


def judge_token(facts: Facts) -> Finding:
    """Check claims and life of the subject token by the rules of STS, and the clock by its answers."""
    trial, token = facts.trial, facts.trial.token
    if token is None:
        return skip(TOKEN, "because there is no token: see supplier and file")
    skew, refusal = facts.skew, trial.exchange.error
    if skew is not None and abs(skew) >= _SKEW_LIMIT:
        clock = ClockFault.of_lead(-skew, "Google's")
        return Finding.of_entry(TOKEN, clock.name, clock.evidence, stage=ExitStatus.EXCHANGE)
    known = get_entry(refusal.entry) if refusal is not None else None
    if refusal is not None and known is not None and known.link == TOKEN:
        return Finding.of_error(TOKEN, refusal)
    return _judge_claims(facts, token) or _judge_skew(facts) or ok(TOKEN, _describe(facts, token))


def _judge_claims(facts: Facts, token: SubjectToken) -> Finding | None:
    stage, place = ExitStatus.SUPPLY, {"directory": str(facts.target.directory.path)}
    if token.expires_at <= facts.now:
        evidence = f"it expired {format_span(facts.now - token.expires_at)} ago"
        return Finding.of_entry(TOKEN, "token-expired", evidence, stage=stage)
    if is_from_the_future(token.issued_at, facts.now):
        evidence = f"it is issued {format_span(token.issued_at - facts.now)} from now"
        return Finding.of_entry(TOKEN, "token-future", evidence, stage=stage)
    refusals = [text for text in list_refusals(token, facts.now) if "unless" not in text and "if sub" not in text]
    accepted = facts.trial.exchange.result is not None
    if refusals:
        entry = "token-life" if "24 h is the most" in refusals[0] else "token-claims"
        state = State.WARNING if accepted else State.FAILED
        return Finding.of_entry(TOKEN, entry, "; ".join(refusals), place, stage=stage, state=state)
    if mismatches := facts.target.expected.mismatches(token) if facts.trial.is_new else ():
        return Finding.of_entry(TOKEN, "token-foreign", "; ".join(mismatches), stage=stage)
    if facts.trial.is_new and token.expires_at - facts.now < min(_SHORTEST, token.lifetime / 2):
        evidence = f"it lives only {format_span(token.expires_at - facts.now)} longer"
        return Finding.of_entry(TOKEN, "token-short", evidence, stage=stage, state=State.WARNING)
    return None


def _judge_skew(facts: Facts) -> Finding | None:
    if facts.skew is None or abs(facts.skew) <= CLOCK_SKEW:
        return None
    clock = ClockFault.of_lead(-facts.skew, "Google's")
    return Finding.of_entry(TOKEN, clock.name, clock.evidence, stage=ExitStatus.EXCHANGE, state=State.WARNING)


def _describe(facts: Facts, token: SubjectToken) -> str:
    origin = "new" if facts.trial.is_new else "the published one"
    left = f"{format_span(token.expires_at - facts.now)} left of {format_span(token.lifetime)}"
    claims = token.unverified_claims
    if claims is None:
        return f"{origin}, opaque, {left}"
    shown = f"iss {escape(claims.issuer or '-')}, sub {escape(claims.subject or '-')}"
    return f"{origin}, {shown}, {left}{_describe_clock(facts)}"


def _describe_clock(facts: Facts) -> str:
    if facts.skew is None:
        return ""
    seconds = round(facts.skew.total_seconds())
    if not seconds:
        return ", clock as Google's"
    return f", clock {abs(seconds)} s {'behind' if seconds > 0 else 'ahead of'} Google's"
