"""Events through a real schema registry (Apicurio, Confluent API), in the Confluent wire format."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from uuid import UUID

import fastavro
import httpx2
import pytest

from saga_lab.devstack.options import StackOptions
from sagakit.contract.model import Contract, inline
from sagakit.errors import ConfigurationError, Undecodable, UnregisteredSchema
from sagakit.kafka.inspector import read_log
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Record
from sagakit.messages.framing import CONFLUENT, SCHEMA_ID
from sagakit.messages.schema_registry import ConfluentRegistry
from schemas import CONTRACT
from schemas.events import OrderCancelRequested, OrderPlaced
from tests.order_facts import TWO_TEAS
from tests.stack import PATIENCE_S, LiveStack, live_stack, until

ORDER = {
    "order_id": "registered-1",
    "customer_id": "c1",
    "email": "a@example.com",
    "currency": "EUR",
    "lines": [{"sku": "apple", "quantity": 1, "unit_price_minor": 100}],
    "card_token": "tok_ok",
    "ship_to": "Main Street 1",
}

REPLICAS = 8
LOOPBACK = "0000000000000000FFFF00000100007F"
"""127.0.0.1 as /proc/net/tcp6 writes it."""
LISTEN = "0A"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    options = StackOptions(port_base=0, registry=True, only=frozenset({"infra", "order"}))
    with live_stack(tmp_path_factory.mktemp("registry"), options) as running:
        yield running


@pytest.fixture(scope="module")
def url(stack: LiveStack) -> str:
    return stack.url("registry")


@pytest.fixture
def registry(url: str) -> Iterator[ConfluentRegistry]:
    with closing(ConfluentRegistry(url)) as found:
        yield found


@pytest.fixture
def codec(registry: ConfluentRegistry) -> Codec:
    return Codec(CONTRACT, registry)


def record(value: bytes, key: str = "o-1") -> Record:
    return Record("order.events", 0, 0, 0, key.encode(), value)


def cancel(order_id: str = "o-1") -> Envelope:
    event = OrderCancelRequested(order_id=order_id, actor="me", reason="why")
    return Envelope(
        UUID(int=1), f"order/{order_id}", "order", 1, datetime(2026, 1, 2, tzinfo=UTC), event
    )


def test_events_travel_in_the_wire_format_and_come_back(codec: Codec) -> None:
    row = codec.encode(cancel())
    assert row.value[:1] == CONFLUENT
    assert codec.decode(record(row.value)).event == cancel().event


def test_anybody_can_read_them_with_the_schema_of_the_registry(codec: Codec, url: str) -> None:
    value = codec.body(cancel().event)
    number = int.from_bytes(value[1:5], "big")
    schema = json.loads(
        httpx2.get(f"{url}/schemas/ids/{number}", timeout=PATIENCE_S).json()["schema"]
    )
    body = io.BytesIO(value[5:])
    found = fastavro.schemaless_reader(body, fastavro.parse_schema(schema), None)
    assert found == cancel().event.to_dict()


def test_both_framings_are_read_whichever_is_written(codec: Codec) -> None:
    plain = Codec(CONTRACT).body(cancel().event)
    assert codec.decode(record(plain)).event == cancel().event


def test_a_second_process_gets_the_same_ids(codec: Codec, registry: ConfluentRegistry) -> None:
    assert codec.body(cancel().event) == Codec(CONTRACT, registry).body(cancel().event)


def test_a_start_on_a_registry_that_has_all_schemas_writes_nothing(
    codec: Codec, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = [name for name, event in CONTRACT.event_types.items() if event.owner == "order"]
    with caplog.at_level("INFO", "httpx2"), closing(ConfluentRegistry(url, "order")) as registry:
        Codec(CONTRACT, registry)
    requests = Counter(re.findall(r"HTTP Request: (\S+ \S+?/(?:subjects|config))/", caplog.text))
    assert sum(requests.values()) == len(caplog.records)
    assert requests == {
        f"POST {url}/subjects": len(CONTRACT.event_types),
        f"GET {url}/config": len(own),
    }
    assert "/versions" not in caplog.text


def test_the_registry_listens_on_loopback_only(stack: LiveStack) -> None:
    """Its health and metrics had port 9000 on all interfaces, where two stacks met."""
    pid = stack.process("registry").pid
    assert pid is not None
    own = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    listening = [
        address.partition(":")[0]
        for _, address, _, state, *_, inode in socket_rows()
        if state == LISTEN and f"socket:[{inode}]" in own
    ]
    assert listening == [LOOPBACK, LOOPBACK]


def socket_rows() -> list[list[str]]:
    """The first ten columns of each row of /proc/net/tcp6, see proc_pid_net(5)."""
    return [line.split()[:10] for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]


def test_processes_that_register_the_same_subjects_at_once_get_the_same_ids(url: str) -> None:
    """As the services of a stack that starts from nothing do."""
    schemas = {
        f"at-once-{n}": {"type": "record", "name": f"AtOnce{n}", "fields": []} for n in range(5)
    }
    together = Barrier(REPLICAS)

    def start(_: int) -> dict[str, int]:
        with closing(ConfluentRegistry(url)) as registry:
            together.wait()
            return {name: registry.register(name, schema) for name, schema in schemas.items()}

    with ThreadPoolExecutor(REPLICAS) as pool:
        first, *others = pool.map(start, range(REPLICAS))
    assert all(other == first for other in others)
    assert len(set(first.values())) == len(schemas)


def test_an_id_the_registry_does_not_have_is_undecodable(codec: Codec) -> None:
    with pytest.raises(Undecodable, match="99999999"):
        codec.decode(record(CONFLUENT + (99999999).to_bytes(4, "big") + b"xx"))


def test_somebody_elses_schema_is_not_decoded_with(
    codec: Codec, registry: ConfluentRegistry
) -> None:
    schema = {
        "type": "record",
        "name": "OrderCancelRequested",
        "fields": [{"name": "again", "type": ["null", "OrderCancelRequested"]}],
    }
    number = registry.register("somewhere-else", schema)
    with pytest.raises(Undecodable, match="as an event of this contract"):
        codec.decode(record(CONFLUENT + number.to_bytes(4, "big") + b"\x02" * 100))


def test_a_schema_that_breaks_readers_is_refused_at_the_start(
    codec: Codec, registry: ConfluentRegistry
) -> None:
    assert codec.body(cancel().event)
    schema = inline("OrderCancelRequested", CONTRACT.schemas)
    broken = {**schema, "fields": [*schema["fields"], {"name": "must", "type": "string"}]}
    schemas = {**CONTRACT.schemas, "OrderCancelRequested": broken}
    changed = Contract({"OrderCancelRequested": OrderCancelRequested}, schemas)
    with pytest.raises(ConfigurationError, match="give new fields a default"):
        Codec(changed, registry)


def test_a_service_on_the_registry_publishes_in_the_wire_format(
    stack: LiveStack, codec: Codec
) -> None:
    answer = httpx2.post(
        f"{stack.url('order')}/orders", json=ORDER, headers=stack.headers, timeout=PATIENCE_S
    )
    assert answer.status_code == 201
    bootstrap = stack.json["bootstrap_servers"]

    def published() -> list[Record]:
        return list(read_log(bootstrap, ["order.events"]))

    until(lambda: bool(published()), "the order is on its topic")
    [found] = published()
    assert (found.value or b"")[:1] == CONFLUENT
    event = codec.decode(replace(found)).event
    assert isinstance(event, OrderPlaced)
    assert event.order_id == ORDER["order_id"]


def test_a_schema_with_references_is_read(
    codec: Codec, registry: ConfluentRegistry, url: str
) -> None:
    line = {**CONTRACT.schemas["OrderLine"], "name": "com.example.Line"}
    text = json.dumps(inline("OrderPlaced", CONTRACT.schemas))
    placed = json.loads(text.replace(json.dumps(inline("OrderLine", CONTRACT.schemas)), '"@"'))
    schema = json.dumps(placed).replace('"@"', '"com.example.Line"')
    referred = [{"name": "com.example.Line", "subject": "lines", "version": 1}]
    numbers = [
        httpx2.post(f"{url}/subjects/{subject}/versions", json=body, timeout=PATIENCE_S).json()
        for subject, body in (
            ("lines", {"schema": json.dumps(line)}),
            ("placed", {"schema": schema, "references": referred}),
        )
    ]
    event = OrderPlaced(order_id="o-1", order=TWO_TEAS, placed_at=datetime(2026, 1, 2, tzinfo=UTC))
    body = Codec(CONTRACT).body(event)[10:]
    found = codec.decode(record(CONFLUENT + numbers[1]["id"].to_bytes(4, "big") + body))
    assert found.event == event
    assert len(registry.lookup(numbers[1]["id"])) == 2


def test_a_guid_that_the_registry_does_not_know_holds_nobody_up(codec: Codec) -> None:
    """Apicurio answers 404 with nothing in it."""
    header = (SCHEMA_ID, b"\1" + UUID(int=7).bytes)
    with pytest.raises(UnregisteredSchema, match=str(UUID(int=7))):
        codec.decode(replace(record(b"xx"), headers=(header,)))
