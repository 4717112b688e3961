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


def test_runbook_covers_every_event_that_asks_for_something() -> None:
    """Each event of the operator's guide is in the runbook, except those that are information."""
    event = re.compile(r"`((?:artifact|clock|config|daemon|directory|exchange|keys|log|target|token)\.[a-z_]+)`")
    listed = {
        name for name in event.findall((REPOSITORY / "docs" / "operating.md").read_text()) if "daemon." not in name
    }

    assert listed - set(event.findall(RUNBOOK.read_text())) == {
        "artifact.published",
        "config.reloaded",
        "target.added",
        "target.removed",
        "token.published",
    }


HEALTHY = {
    "up": "1x60",
    "refresher_last_tick_seconds": "0.5x60",
    "refresher_verdicts_age_seconds": "2x60",
    "refresher_configuration_problems": "0x60",
    'refresher_target_ready{target="alice"}': "1x60",
    'refresher_runway_seconds{target="alice"}': "3000-60x60",
    'refresher_consecutive_failures{target="alice"}': "0x60",
    'refresher_exchange_refused{identity="alice"}': "0x60",
    'refresher_exchange_consecutive_failures{identity="alice"}': "0x60",
    'refresher_refreshes_total{outcome="failed",stage="supply"}': "0x60",
    'refresher_throttled_total{stage="exchange"}': "0x60",
}
"""Series of a daemon that works, a value a minute; a token that nothing renews runs down in fifty minutes."""

HARMS: dict[str, dict[str, str]] = {
    "RefresherDown": {"up": "0x60"},
    "RefresherStuck": {"refresher_last_tick_seconds": "0+60x60"},
    "RefresherTargetNotReady": {'refresher_target_ready{target="alice"}': "0x60"},
    "RefresherIdentityRefused": {'refresher_exchange_refused{identity="alice"}': "1x60"},
    "RefresherGoogleUnanswered": {'refresher_exchange_consecutive_failures{identity="alice"}': "0+1x60"},
    "RefresherThrottled": {'refresher_throttled_total{stage="exchange"}': "0+1x60"},
    "RefresherRunwayShort": {'refresher_consecutive_failures{target="alice"}': "0+1x60"},
    "RefresherRefreshesFail": {'refresher_refreshes_total{outcome="failed",stage="supply"}': "0+10x60"},
    "RefresherConfigurationRefused": {"refresher_configuration_problems": "1x60"},
    "RefresherViewStale": {"refresher_verdicts_age_seconds": "0+60x60"},
}
"""For each alert, what differs while it fires."""


def label(series: str) -> str:
    """Return a series with the labels that a scrape adds."""
    name, _, labels = series.partition("{")
    return f'{name}{{{"".join((labels.removesuffix("}"), "," if labels else ""))}job="refresher",instance="w"}}'


def test_each_alert_fires_for_its_harm_alone(need: Need, tmp_path: Path) -> None:
    """A healthy daemon fires nothing in 45 minutes, and each harm fires the alert about it and no other."""
    tool = need.tool("promtool", "apt-get install prometheus")
    (tmp_path / "alerts.yaml").write_text((PLACE / "alerts.yaml").read_text())
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": label(name), "values": values} for name, values in {**HEALTHY, **harm}.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "45m",
                    "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if harm else [],
                }
            ],
        }
        for alert, harm in {"": {}, **HARMS}.items()
    ]
    document = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))

    done = subprocess.run(
        [tool, "test", "rules", str(tmp_path / "tests.yaml")], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert set(HARMS) == {alert["alert"] for alert in ALERTS}
