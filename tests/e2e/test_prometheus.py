"""A real Prometheus scrapes the real daemon, and its alerts fire."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from tests.conftest import Need
from tests.docs.reference import REPOSITORY
from tests.program import Worker, until
from tests.status_socket import ask

ALERTS = REPOSITORY / "configs" / "observability" / "alerts.yaml"


def choose_port() -> int:
    """Return a port that no process uses at this moment."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


@contextmanager
def scraping(need: Need, place: Path, address: str) -> Iterator[str]:
    """Run Prometheus with our alerts, which fire at once here, for the length of a `with` block; yield its origin."""
    program = need.tool("prometheus", "apt-get install prometheus")
    rules = yaml.safe_load(ALERTS.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    (place / "alerts.yaml").write_text(yaml.safe_dump(rules))
    scrape = {"job_name": "refresher", "static_configs": [{"targets": [address]}]}
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [scrape],
    }
    (place / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    origin = f"127.0.0.1:{choose_port()}"
    options = [f"--config.file={place}/prometheus.yaml", f"--storage.tsdb.path={place}/data"]
    with (
        (place / "log").open("w") as log,
        subprocess.Popen([program, *options, f"--web.listen-address={origin}"], stdout=log, stderr=log) as process,
    ):
        try:
            yield f"http://{origin}"
        finally:
            process.kill()


def query(origin: str, expression: str) -> dict[str, float]:
    """Return the samples of a query by their first label that is not Prometheus' own."""
    with urlopen(f"{origin}/api/v1/query?{urlencode({'query': expression})}", timeout=20) as answer:  # noqa: S310 - our own
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    usual = {"__name__", "instance", "job"}
    return {
        next((value for label, value in each["metric"].items() if label not in usual), ""): float(each["value"][1])
        for each in result
    }


def list_alerts(origin: str) -> set[tuple[str, str]]:
    """Return the alerts that fire, each with its target; none while Prometheus starts."""
    try:
        with urlopen(f"{origin}/api/v1/alerts", timeout=20) as answer:  # noqa: S310 - our own
            alerts = json.load(answer)["data"]["alerts"]
    except OSError:
        return set()
    return {(each["labels"]["alertname"], each["labels"].get("target", "")) for each in alerts}


@pytest.mark.slow
def test_prometheus_scrapes_the_daemon_and_alerts(worker: Worker, need: Need) -> None:
    """All metrics arrive; a target without a token fires its own alert alone, and a daemon that is down another."""
    document = worker.document("alice", "bob", listen="127.0.0.1:0")
    document["suppliers"]["absent"] = {"kind": "file", "path": str(worker.place / "absent")}
    document["identities"]["bob"]["supplier"] = "absent"
    document["identities"]["alice"]["supplier"] = "worker"
    worker.write(document)

    place = worker.place / "prometheus"
    place.mkdir()
    with worker.daemon() as log:
        address = log.wait_for("daemon.listening")["address"]
        with scraping(need, place, address) as origin:
            until(lambda: ("RefresherTargetNotReady", "bob") in list_alerts(origin), what="the alert about bob")
            assert ("RefresherTargetNotReady", "alice") not in list_alerts(origin)
            assert query(origin, "up") == {"": 1.0}
            assert query(origin, "refresher_target_ready") == {"alice": 1.0, "bob": 0.0}
            assert 3000 < query(origin, "refresher_runway_seconds")["alice"] <= 3600
            assert query(origin, "sum(refresher_targets)") == {"": 2.0}
            log.process.kill()
            until(lambda: ("RefresherDown", "") in list_alerts(origin), what="the alert about the daemon")


@pytest.mark.slow
def test_promtool_finds_no_fault_with_the_metrics(worker: Worker, need: Need) -> None:
    """Names, units and help texts follow Prometheus' rules."""
    tool = need.tool("promtool", "apt-get install prometheus")
    path = worker.place / "status" / "http.sock"
    worker.configure("alice", listen=f"unix:{path}")
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        metrics = ask(path, "/metrics").body

    done = subprocess.run([tool, "check", "metrics"], input=metrics, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
