"""What a failure shows about Google's side: a refusal, or nothing."""

from __future__ import annotations

import pytest

from refresher.engine.exchanges import ExchangeState, judge_failure
from refresher.errors import ExchangeError


@pytest.mark.parametrize(
    ("status", "is_retryable", "state"),
    [
        (400, False, ExchangeState.REFUSED),
        (403, False, ExchangeState.REFUSED),
        (429, True, ExchangeState.UNANSWERED),
        (503, True, ExchangeState.UNANSWERED),
        (None, True, ExchangeState.UNANSWERED),
        (None, False, ExchangeState.UNANSWERED),
    ],
    ids=["bad request", "forbidden", "throttled", "server error", "silence", "this machine can't ask"],
)
def test_only_an_answer_that_no_retry_changes_is_a_refusal(
    status: int | None, *, is_retryable: bool, state: ExchangeState
) -> None:
    """An identity is accused for what a server decided about it, and not for a limit, an outage or this machine."""
    error = ExchangeError("the exchange failed", "wait", retryable=is_retryable)
    error.http_status = status

    assert judge_failure(error) is state
