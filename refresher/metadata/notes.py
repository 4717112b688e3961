"""The note of a target that the helper keeps: the token that is served, for the daemon that comes after a restart.

Else each restart would leave all containers without a token until all are minted again, and some clients do not ask
twice. The note is in memory only, and is used for nothing but what it was minted for.
"""

import json
from datetime import UTC, datetime

from refresher.metadata.plan import EndpointPlan, HeldToken
from refresher.tokens import AccessToken

LONGEST_NOTE = 12_000
"""What the helper takes; a longer token is minted again after a restart."""


def write_note(plan: EndpointPlan, held: HeldToken) -> str | None:
    """Return the note about a token that is served by a plan; None if it is too long."""
    issued, expires = held.issued_at.timestamp(), held.token.expires_at.timestamp()
    note = json.dumps([plan.minted_for, held.token.value, issued, expires])
    return note if len(note) <= LONGEST_NOTE else None


def read_note(note: str, plan: EndpointPlan, now: datetime) -> HeldToken | None:
    """Return the token in a note; None if it has none that this plan would mint and that is still valid."""
    try:
        match json.loads(note or "null"):
            case [plan.minted_for, str(value), float(issued), float(expires)] if now.timestamp() < expires:
                token = AccessToken(value=value, expires_at=datetime.fromtimestamp(expires, UTC))
                return HeldToken(token, datetime.fromtimestamp(issued, UTC))
    except (ValueError, OverflowError, OSError, RecursionError):
        pass
    return None
