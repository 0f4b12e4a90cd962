"""While the log is replayed, nothing that publishes or calls can be constructed."""

import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import pytest

from sagakit.effects.http_gateway import HttpGateway
from sagakit.effects.worker import EffectWorker
from sagakit.errors import ReplayOnly
from sagakit.kafka.publisher import Publisher
from sagakit.outbox.relay import Relay
from sagakit.replay_mode import replaying
from tests.architecture.source import ROOT

ANY = cast(Any, None)
ACTING: dict[str, Callable[[], object]] = {
    "publisher": lambda: Publisher("nowhere:9092", "replay"),
    "relay": lambda: Relay(ANY, ANY, ANY),
    "gateway": lambda: HttpGateway("bank", ANY, "http://nowhere"),
    "effect worker": lambda: EffectWorker(
        ANY, ANY, {}, ANY, ANY, token=uuid4(), rng=random.Random(1)
    ),
}
NEVER_LOADED = (
    "sagakit.kafka.publisher",
    "sagakit.outbox.relay",
    "sagakit.effects.worker",
    "sagakit.effects.http_gateway",
)
PROBE = """
import pkgutil, sys
import saga_monitor.replay as package
for module in pkgutil.iter_modules(package.__path__):
    __import__(f"saga_monitor.replay.{module.name}")
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("name", ACTING)
def test_what_acts_cannot_be_constructed_in_a_replay(name: str) -> None:
    with replaying(), pytest.raises(ReplayOnly, match="neither publishes nor calls"):
        ACTING[name]()


def test_after_a_replay_the_process_may_act_again() -> None:
    with pytest.raises(ReplayOnly), replaying(), replaying():
        ACTING["publisher"]()
    assert ACTING["publisher"]()


def test_a_worker_of_a_replay_loads_nothing_that_acts() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "saga_monitor.replay.workers" in loaded
    assert not set(NEVER_LOADED) & set(loaded)
