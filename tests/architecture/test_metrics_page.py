"""docs/reference/metrics.md names every metric there is, with its labels, and no other."""

import re
from pathlib import Path

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

import saga_monitor.metrics as monitors
from sagakit.kafka import topic_guard
from sagakit.messages import registry_guard
from sagakit.telemetry import metrics

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
OF_TOPICS = {name: {"participant", "topic"} for name in topic_guard.HELP}
OF_REGISTRY = {name: {"participant"} for name in registry_guard.HELP}
OF_TABLES = {f"saga_{name}": {"participant"} for name in metrics.HELP}
OF_DATABASE = {metrics.SNAPSHOT: {"participant", "holder"}}
OF_PROCESS: dict[str, set[str]] = {"saga_wait_s": set(), "saga_loop_age_s": {"loop"}}


def documented() -> dict[str, set[str]]:
    """Metric -> labels, as the page says."""
    found = {}
    for line in PAGE.read_text().splitlines():
        if row := re.fullmatch(r"\| .* \| `(saga_\w+)` \|(.*)\|", line):
            found[row[1]] = set(re.findall(r"`(\w+)`", row[2]))
    return found


def counted() -> dict[str, set[str]]:
    """Counters, gauges and histograms of this process, the services' and the monitor's."""
    found = {}
    for collector in {id(c): c for c in REGISTRY._names_to_collectors.values()}.values():
        if isinstance(collector, Counter | Gauge | Histogram) and collector._name.startswith(
            "saga_"
        ):
            total = "_total" if isinstance(collector, Counter) else ""
            found[collector._name + total] = set(collector._labelnames)
    return found


def test_the_page_names_every_metric_and_no_other() -> None:
    page = documented()
    of_tables = OF_TABLES.keys() | OF_DATABASE.keys()
    gauges = of_tables | OF_PROCESS.keys() | monitors.HELP.keys() | OF_TOPICS.keys()
    gauges |= OF_REGISTRY.keys()
    assert page.keys() == counted().keys() | gauges
    assert OF_PROCESS.keys() == metrics.PROCESS_HELP.keys()


def test_the_page_names_their_labels() -> None:
    page = documented()
    known = {**counted(), **OF_TABLES, **OF_DATABASE, **OF_PROCESS, **OF_TOPICS, **OF_REGISTRY}
    assert {name: page[name] for name in known} == known
    gauges = Path(monitors.__file__).read_text().partition("def read")[2]
    for name in monitors.HELP:
        assert f'"{name}"' in gauges
        assert all(f'"{label}"' in gauges for label in page[name]), name
