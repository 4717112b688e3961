"""The links in their order, and the walk along them: every link is reported, also after a broken one.

A new link is a function of `refresher.doctor.links` and one line here.
"""

from collections.abc import Callable
from typing import NamedTuple

from refresher.doctor.diagnosis import Finding
from refresher.doctor.facts import Facts
from refresher.doctor.links import cloud, host, inside, supply

CONFIGURATION, DAEMON, WORKER, GRANTS = "configuration", "daemon", "worker", "grants"
"""Links of the whole worker, not of one target."""


class Link(NamedTuple):
    """One link of a target's chain, what judges it, and whether it exists with a pool and without one."""

    name: str
    judge: Callable[[Facts], Finding]
    with_pool: bool = True
    without_pool: bool = True


LINKS = (
    Link(supply.CREDENTIALS, supply.judge_credentials, with_pool=False),
    Link(supply.SUPPLIER, supply.judge_supplier, without_pool=False),
    Link(supply.TOKEN, supply.judge_token, without_pool=False),
    Link(cloud.KEY, cloud.judge_key, without_pool=False),
    Link(cloud.AUDIENCE, cloud.judge_audience, without_pool=False),
    Link(cloud.CONDITION, cloud.judge_condition, without_pool=False),
    Link(cloud.EXCHANGE, cloud.judge_exchange, without_pool=False),
    Link(cloud.IMPERSONATION, cloud.judge_impersonation),
    Link(cloud.ARTIFACTS, cloud.judge_artifacts),
    Link(host.FILE, host.judge_file),
    Link(inside.CONTAINER, inside.judge_container),
    Link(inside.VARIABLES, inside.judge_variables),
    Link(inside.NETWORK, inside.judge_network, without_pool=False),
    Link(inside.METADATA, inside.judge_metadata),
)
_OF_TARGETS = [link.name for link in LINKS]
_FILE = _OF_TARGETS.index(host.FILE)
NAMES = (
    CONFIGURATION,
    *_OF_TARGETS[:_FILE],
    DAEMON,
    *_OF_TARGETS[_FILE:],
    WORKER,
    GRANTS,
)
"""All links, in their order: a cause stands before its effects."""


def walk(facts: Facts) -> tuple[Finding, ...]:
    """Return what is found about each link of a target, in order."""
    has_pool = not facts.target.impersonation.is_own
    return tuple(link.judge(facts) for link in LINKS if (link.with_pool if has_pool else link.without_pool))
