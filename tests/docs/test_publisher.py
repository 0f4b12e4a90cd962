"""The publisher of docs/how-to/publish-from-outside.md, run as it stands there on a real Kafka."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sagakit.decider import Do
from sagakit.flow.routing import Router
from sagakit.kafka.inspector import read_log
from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from schemas import CONTRACT, FLOWS
from schemas.events import OrderPlaced
from schemas.rules import problems
from tests.stack import TestInfra

ROOT = Path(__file__).parents[2]
ORDER = "outside-1"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The block of the page that publishes an order, in a file of its own."""
    blocks = re.findall(
        r"^```python\n(.*?)^```",
        (ROOT / "docs/how-to/publish-from-outside.md").read_text(),
        re.S | re.M,
    )
    found = [block for block in blocks if "order.events" in block]
    assert len(found) == 1
    path = tmp_path_factory.mktemp("publisher") / "publish_order.py"
    path.write_text(found[0])
    return path


def run(
    program: Path, bootstrap_servers: str, order_id: str = ORDER
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(program), bootstrap_servers, order_id]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def published(infra: TestInfra) -> list[Record]:
    """All records of this test's orders."""
    log = read_log(infra.bootstrap_servers, ["order.events"])
    return [record for record in log if (record.key or b"").startswith(b"outside-")]


def test_it_needs_nothing_of_this_project(program: Path) -> None:
    imported = re.findall(r"^(?:from|import) (\w+)", program.read_text(), re.M)
    assert {name for name in imported if name not in sys.stdlib_module_names} == {
        "confluent_kafka",
        "fastavro",
    }


def test_what_it_publishes_starts_a_saga(program: Path, infra: TestInfra) -> None:
    done = run(program, infra.bootstrap_servers)
    assert done.returncode == 0, done.stderr
    again = run(program, infra.bootstrap_servers)
    assert again.returncode == 0, again.stderr

    records = [record for record in published(infra) if record.key == ORDER.encode()]
    assert len(records) == 2
    codec = Codec(CONTRACT)
    envelope = codec.decode(records[0])
    event = envelope.event
    assert isinstance(event, OrderPlaced)
    assert (envelope.key, event.order_id) == (f"order/{ORDER}", ORDER)
    assert problems(ORDER, event.order) == ()
    router = Router(FLOWS, "inventory")
    label = router.label(envelope.trace.flow, event)
    assert label
    routed = router.route(label, event)
    assert routed.triggers == (Do(event),)


def test_it_lands_on_the_partition_of_the_services(program: Path, infra: TestInfra) -> None:
    for n in range(8):
        assert run(program, infra.bootstrap_servers, f"outside-{n}").returncode == 0
    theirs = published(infra)
    codec = Codec(CONTRACT)
    Publisher(infra.bootstrap_servers, "test").publish(
        [replace(codec.encode(codec.decode(record)), id=n) for n, record in enumerate(theirs)]
    )
    ours = [record for record in published(infra) if record not in theirs]
    assert {(r.key, r.partition) for r in ours} == {(r.key, r.partition) for r in theirs}
    assert len({r.partition for r in theirs}) > 1


def test_it_says_when_kafka_does_not_answer(program: Path) -> None:
    text = program.read_text().replace("flush(10)", "flush(1)")
    impatient = program.with_name("impatient.py")
    impatient.write_text(text)
    done = run(impatient, "127.0.0.1:9")
    assert done.returncode == 1
    assert f"{ORDER} is not placed: 127.0.0.1:9 says nothing" in done.stderr
