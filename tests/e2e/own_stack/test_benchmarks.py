"""The benchmarks' commands run through on real servers. Their figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import PATIENCE_S

COMPARISON = ("--only", "platform", "--rounds", "1", "--scale", "0.01", "--seconds", "2")
FEW = ("--scale", "0.07", "--seconds", "3", "--steady", "10", "--no-below-saturation")
PEERS = ("--only", "plain,fast", "--rounds", "1")
COUNTED = ("--only", "platform,plain", "--rate", "10", "--seconds", "3")
PARTS = ("--orders", "60", "--open", "200", "--rounds", "1")


def run(module: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_comparison_measures_the_platform_in_every_mode(tmp_path: Path) -> None:
    """Given a hundred orders, when they are compared, then every mode has its figures."""
    file = tmp_path / "figures.json"

    run("benchmarks", *COMPARISON, "--json", str(file))

    modes = json.loads(file.read_text())["runs"]["platform"]
    rates = {f"steady {rate}/s" for rate in (1, 10, 50, 100)}
    assert set(modes) == {"saturation", "burst", *rates, "80 % of own saturation"}
    assert all(runs[0]["orders"] > 0 for runs in modes.values())


@pytest.mark.parametrize("name", ["platform", "plain", "fast"])
def test_orders_over_http_are_measured_with_the_fakes_apart(name: str, tmp_path: Path) -> None:
    """Given some orders over HTTP, when they end, then the fakes' CPU is not the contender's."""
    file = tmp_path / "figures.json"

    run("benchmarks", "--over-http", "--only", name, "--rounds", "1", "--json", str(file), *FEW)

    modes = json.loads(file.read_text())["runs"][name]
    assert set(modes) == {"saturation", "burst", "steady 10/s"}
    for (figures,) in modes.values():
        assert figures["outside_ms"] > 0
        assert not {"provider", "carrier", "mail"} & set(figures["cpu_ms_an_order"])
        assert {"order", "payment", "kafka"} <= set(figures["cpu_ms_an_order"])


def test_choreographies_of_others_run_in_every_mode(tmp_path: Path) -> None:
    """Given the peers, when some orders are placed, then each mode has the required ends."""
    file = tmp_path / "figures.json"

    run("benchmarks", "--json", str(file), *PEERS, *FEW)

    found = json.loads(file.read_text())["runs"]
    assert set(found) == {"plain", "fast"}
    assert all(set(runs) == {"saturation", "burst", "steady 10/s"} for runs in found.values())


def test_statements_and_kafka_requests_of_an_order_are_counted() -> None:
    """Given a platform and a peer, when orders end, then each service has counts of its own."""
    printed = run("benchmarks.counts", *COUNTED)

    for title in ("platform, an order at 10/s", "plain, an order at 10/s"):
        rows = printed.partition(title)[2].partition("Kafka requests an order:")[0]
        counts = {
            words[0]: [float(word) for word in words[1:]]
            for words in (line.split() for line in rows.splitlines())
            if len(words) == 5
        }
        assert {"inventory", "payment", "shipping", "notification", "together"} <= set(counts)
        assert all(min(row) > 0 for row in counts.values()), counts
    assert "Produce" in printed
    assert "Fetch" in printed


def test_every_part_is_measured(tmp_path: Path) -> None:
    """Given a few orders, when the parts are measured, then each has a positive rate.

    Faust may read so few events in one batch, and one batch gives no rate.
    """
    file = tmp_path / "parts.json"

    run("benchmarks.parts", *PARTS, "--json", str(file))

    rates = {part["name"]: part["a_second"] for part in json.loads(file.read_text())["parts"]}
    assert len(rates) == 13
    assert all(rate > 0 for name, rate in rates.items() if "Faust" not in name), rates
