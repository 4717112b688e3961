"""The alerts and the dashboard that are shipped: valid, and only about metrics that the daemon writes."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from refresher.observe.metrics import METRICS
from tests.conftest import Need
from tests.docs.reference import REPOSITORY

PLACE = REPOSITORY / "configs" / "observability"
ALERTS = yaml.safe_load((PLACE / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((PLACE / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
NAME = re.compile(r"\b(?:refresher|process)_[a-z_]+\b")
RUNBOOK = REPOSITORY / "docs" / "operations.md"


def list_names(expression: str) -> set[str]:
    """Return the metrics in a query, without what a histogram adds to its name."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in NAME.findall(expression)}


def check_rules(need: Need, place: Path, rules: list[dict[str, str]]) -> str:
    """Check rules with the tool of Prometheus, and return what it prints about those that are not valid."""
    tool = need.tool("promtool", "apt-get install prometheus")
    file = place / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "test", "rules": rules}]}))
    done = subprocess.run([tool, "check", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr if done.returncode else "valid"


@pytest.mark.parametrize("query", [*QUERIES, *(alert["expr"] for alert in ALERTS)])
def test_queries_name_metrics_of_the_daemon(query: str) -> None:
    """Every metric in an alert or a panel is one that the daemon writes."""
    assert list_names(query) or query.startswith("up{")
    assert list_names(query) <= set(METRICS)


def test_dashboard_shows_every_promised_metric() -> None:
    """Each metric of the daemon's own that is per target, per identity or of the whole is in some panel."""
    shown = {name for query in QUERIES for name in list_names(query)}

    missing = set(METRICS) - shown
    assert missing == {
        "refresher_artifact_expiry_timestamp_seconds",
        "refresher_exchange_consecutive_failures",
        "process_start_time_seconds",
    }


def test_alerts_are_valid(need: Need, tmp_path: Path) -> None:
    """Prometheus accepts the alerts."""
    assert check_rules(need, tmp_path, ALERTS) == "valid"


def test_queries_of_the_dashboard_are_valid(need: Need, tmp_path: Path) -> None:
    """Prometheus accepts the query of each panel."""
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]

    assert check_rules(need, tmp_path, rules) == "valid"


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    """Each panel has a place of its own on the 24 columns, and an id of its own."""
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_its_part_of_the_runbook(alert: dict[str, object]) -> None:
    """Each alert leads to a heading of the runbook with its name."""
    name = str(alert["alert"])

    assert f"\n### {name}\n" in RUNBOOK.read_text()
    assert alert["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"  # type: ignore[index]  # a map of YAML
