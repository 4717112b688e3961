"""Metrics in Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

Written by hand: five gauges of 10,000 labels take the client library ten times as long. Tests read what is written with
that library's parser. Labels are names of the configuration, which need no escaping; what leaves it leaves no series.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import BytesIO

from refresher import __version__
from refresher.engine.exchanges import ExchangeState
from refresher.metadata.plan import ListenerState
from refresher.observe.board import BUCKETS, Board
from refresher.observe.survey import Verdict
from refresher.policy import State

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

METRICS = {
    "refresher_build_info": ("gauge", "Always 1; the label is the version."),
    "refresher_targets": ("gauge", "Number of targets by the state of the token file."),
    "refresher_target_ready": ("gauge", "1 if the target's token and optional artifacts serve, else 0."),
    "refresher_token_expiry_timestamp_seconds": ("gauge", "When the token in the file expires."),
    "refresher_token_issued_timestamp_seconds": ("gauge", "When the token in the file was issued."),
    "refresher_runway_seconds": ("gauge", "How long what is in the file still serves; 0 if it does not."),
    "refresher_artifact_expiry_timestamp_seconds": ("gauge", "When an optional artifact expires."),
    "refresher_last_success_timestamp_seconds": ("gauge", "When the target's token was last refreshed or found good."),
    "refresher_consecutive_failures": ("gauge", "Failed attempts in a row, of the token or of an optional artifact."),
    "refresher_exchange_last_success_timestamp_seconds": ("gauge", "When Google last accepted the identity."),
    "refresher_exchange_refused": ("gauge", "1 if Google refused the identity when it was last tried, else 0."),
    "refresher_exchange_consecutive_failures": ("gauge", "Probes of an identity in a row that Google did not accept."),
    "refresher_metadata_endpoint_open": ("gauge", "1 if the target's metadata endpoint listens, else 0."),
    "refresher_metadata_connections": ("gauge", "Connections to all metadata endpoints."),
    "refresher_metadata_requests_total": ("counter", "Requests to metadata endpoints by how they ended."),
    "refresher_refreshes_total": ("counter", "Attempts by how they ended; `stage` is the one that failed, or done."),
    "refresher_throttled_total": ("counter", "Attempts, and probes of identities, that met HTTP 429, by stage."),
    "refresher_refresh_duration_seconds": ("histogram", "Duration of attempts."),
    "refresher_configuration_problems": ("gauge", "Problems that keep the configuration or drop-ins from being used."),
    "refresher_last_tick_seconds": ("gauge", "How long ago the daemon's last tick ended; one is due each second."),
    "refresher_verdicts_age_seconds": (
        "gauge",
        "How long ago the oldest of the verdicts in these metrics was found to hold.",
    ),
    "process_resident_memory_bytes": ("gauge", "Resident memory."),
    "process_cpu_seconds_total": ("counter", "Processor time, user and system."),
    "process_start_time_seconds": ("gauge", "When the daemon started."),
}
"""Type and help of each metric."""


def write_metrics(board: Board, verdicts: Sequence[Verdict], as_of: datetime | None, now: datetime) -> bytes:
    """Return all metrics; `as_of` is the age of the oldest verdict (UTC), None if not all targets were looked at."""
    written = BytesIO()  # a buffer that grows: of a large fleet, a list of lines would be twice their size
    for name, lines in _list_series(board, verdicts, as_of, now):
        kind, text = METRICS[name]
        written.write("\n".join((f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines, "")).encode())
    return written.getvalue()


def _list_series(
    board: Board, verdicts: Sequence[Verdict], as_of: datetime | None, now: datetime
) -> Iterator[tuple[str, list[str]]]:
    """Return the lines of each metric, in the order of `METRICS`."""
    moment = now.timestamp()
    yield (name := "refresher_build_info"), [f'{name}{{version="{__version__}"}} 1']
    states = Counter(each.state for each in verdicts)
    yield (name := "refresher_targets"), [f'{name}{{state="{state}"}} {states[state]}' for state in State]
    yield (
        (name := "refresher_target_ready"),
        [f'{name}{{target="{each.name}"}} {0 if each.shortages else 1}' for each in verdicts],
    )
    alive = [each for each in verdicts if each.expires_at is not None]
    yield (
        (name := "refresher_token_expiry_timestamp_seconds"),
        [f'{name}{{target="{each.name}"}} {each.expires_at:.0f}' for each in alive],
    )
    yield (
        (name := "refresher_token_issued_timestamp_seconds"),
        [f'{name}{{target="{each.name}"}} {each.issued_at:.0f}' for each in alive],
    )
    yield (
        (name := "refresher_runway_seconds"),
        [f'{name}{{target="{each.name}"}} {each.compute_runway(moment):.0f}' for each in verdicts],
    )
    yield (
        (name := "refresher_artifact_expiry_timestamp_seconds"),
        [
            f'{name}{{target="{each.name}",artifact="{artifact.name}"}} {artifact.expires_at.timestamp():.0f}'
            for each in verdicts
            for artifact in each.artifacts
            if artifact.expires_at is not None
        ],
    )
    yield from _list_jobs(board, verdicts)
    yield from _list_exchanges(board)
    yield from _list_endpoints(board)
    yield from _list_daemon(board, as_of, now)


def _list_jobs(board: Board, verdicts: Sequence[Verdict]) -> Iterator[tuple[str, list[str]]]:
    tokens = [(each.name, board.get_job(each.name)) for each in verdicts]
    yield (
        (name := "refresher_last_success_timestamp_seconds"),
        [
            f'{name}{{target="{target}"}} {job.succeeded_at:.0f}'
            for target, job in tokens
            if job.succeeded_at is not None
        ],
    )
    failures = {target: job.failures for target, job in tokens}
    for each in verdicts:
        for artifact in each.target.minted:
            failures[each.name] = max(failures[each.name], board.get_job(each.name, artifact.name).failures)
    yield (
        (name := "refresher_consecutive_failures"),
        [f'{name}{{target="{target}"}} {count}' for target, count in failures.items()],
    )


def _list_exchanges(board: Board) -> Iterator[tuple[str, list[str]]]:
    tried = board.exchanges.items()
    yield (
        (name := "refresher_exchange_last_success_timestamp_seconds"),
        [
            f'{name}{{identity="{identity}"}} {found.accepted_at.timestamp():.0f}'
            for identity, found in tried
            if found.accepted_at is not None
        ],
    )
    yield (
        (name := "refresher_exchange_refused"),
        [
            f'{name}{{identity="{identity}"}} {1 if found.state is ExchangeState.REFUSED else 0}'
            for identity, found in tried
        ],
    )
    yield (
        (name := "refresher_exchange_consecutive_failures"),
        [f'{name}{{identity="{identity}"}} {found.failures}' for identity, found in tried],
    )


def _list_endpoints(board: Board) -> Iterator[tuple[str, list[str]]]:
    found = board.describe_endpoints()
    yield (
        (name := "refresher_metadata_endpoint_open"),
        [
            f'{name}{{target="{each.target}"}} {1 if each.listener.state is ListenerState.SERVING else 0}'
            for each in found.endpoints
        ],
    )
    connections = sum(each.connections for each in found.endpoints)
    yield (name := "refresher_metadata_connections"), [f"{name} {connections}"]
    yield (
        (name := "refresher_metadata_requests_total"),
        [f'{name}{{outcome="{outcome}"}} {count}' for outcome, count in found.requests.items()],
    )


def _list_daemon(board: Board, as_of: datetime | None, now: datetime) -> Iterator[tuple[str, list[str]]]:
    tally, plan = board.count_jobs(), board.plan
    yield (
        (name := "refresher_refreshes_total"),
        [f'{name}{{outcome="{outcome}",stage="{stage}"}} {count}' for (outcome, stage), count in tally.ended.items()],
    )
    name = "refresher_throttled_total"
    yield name, [f'{name}{{stage="{stage}"}} {count}' for stage, count in tally.throttled.items()]
    name, lines, count = "refresher_refresh_duration_seconds", list[str](), 0
    for bound, more in zip((*BUCKETS, "+Inf"), tally.durations, strict=True):
        count += more
        lines.append(f'{name}_bucket{{le="{bound}"}} {count}')
    yield name, [*lines, f"{name}_sum {tally.seconds:.6f}", f"{name}_count {count}"]
    problems = 0 if plan is None else len(plan.complaints) + len(plan.refusal)
    yield (name := "refresher_configuration_problems"), [f"{name} {problems}"]
    yield (name := "refresher_last_tick_seconds"), [f"{name} {board.seconds_since_tick:.3f}"]
    age = now - (as_of or board.started_at)
    yield (name := "refresher_verdicts_age_seconds"), [f"{name} {max(0.0, age.total_seconds()):.3f}"]
    yield (name := "process_resident_memory_bytes"), [f"{name} {_read_resident_bytes()}"]
    yield (name := "process_cpu_seconds_total"), [f"{name} {time.process_time():.3f}"]
    yield (name := "process_start_time_seconds"), [f"{name} {board.started_at.timestamp():.3f}"]


def _read_resident_bytes() -> int:
    """Return the resident memory of this process (proc(5), `statm`)."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a pseudo file of the kernel's
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
