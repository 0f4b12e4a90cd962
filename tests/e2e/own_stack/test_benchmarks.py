"""The benchmarks' commands run through on real servers. Their figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

from tests.stack import PATIENCE_S

COMPARISON = ("--only", "platform", "--rounds", "1", "--scale", "0.01", "--seconds", "2")
FEW = ("--scale", "0.07", "--seconds", "3", "--no-below-saturation")
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
    assert set(modes) == {"saturation", "steady 50/s", "80 % of own saturation"}
    assert all(runs[0]["orders"] > 0 for runs in modes.values())


def test_orders_over_http_are_measured_with_the_fakes_apart(tmp_path: Path) -> None:
    """Given some orders over HTTP, when they end, then the fakes' CPU is not the platform's."""
    file = tmp_path / "figures.json"

    run("benchmarks", "--over-http", "--rounds", "1", "--json", str(file), *FEW)

    modes = json.loads(file.read_text())["runs"]["platform"]
    assert set(modes) == {"saturation", "steady 10/s"}
    for (figures,) in modes.values():
        assert figures["outside_ms"] > 0
        assert not {"provider", "carrier", "mail"} & set(figures["cpu_ms_an_order"])
        assert {"order", "payment", "kafka"} <= set(figures["cpu_ms_an_order"])


def test_every_part_is_measured(tmp_path: Path) -> None:
    """Given a few orders, when the parts are measured, then each has a positive rate.

    Faust may read so few events in one batch, and one batch gives no rate.
    """
    file = tmp_path / "parts.json"

    run("benchmarks.parts", *PARTS, "--json", str(file))

    rates = {part["name"]: part["a_second"] for part in json.loads(file.read_text())["parts"]}
    assert len(rates) == 13
    assert all(rate > 0 for name, rate in rates.items() if "Faust" not in name), rates
