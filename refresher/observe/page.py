"""The status page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from refresher.observe.board import Board
from refresher.observe.survey import Verdict

SECURITY_HEADERS = (("X-Frame-Options", "DENY"),)


def write_page(
    board: Board, verdicts: Sequence[Verdict], as_of: datetime | None, now: datetime, query: Mapping[str, str]
) -> str:
    """Return the page."""
    rows = "".join(f"<tr><td>{escape(each.name)}<td>{each.state}" for each in verdicts)
    return f"<!doctype html><title>refresher</title><table>{rows}</table>"
