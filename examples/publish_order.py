"""Places an order from outside: python examples/publish_order.py localhost:18000 my-order-1"""

import io
import sys
import time

from confluent_kafka import Producer
from fastavro import schemaless_writer
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

bootstrap_servers, order_id = sys.argv[1:]
event = {
    "order_id": order_id,
    "placed_at": time.time_ns() // 1000,
    "order": {
        "customer_id": "c-42",
        "email": "ada@customer.example",
        "currency": "EUR",
        "total_minor": 2500,
        "lines": [{"sku": "TEA-100", "quantity": 2, "unit_price_minor": 1250}],
        "card_token": "tok_ok",
        "ship_to": "1 Main Street, Springfield",
    },
}
schema = load_schema("schemas/OrderPlaced.avsc")
mark = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
body = io.BytesIO()
body.write(b"\xc3\x01" + mark)  # Avro single-object encoding: two fixed bytes, the fingerprint
schemaless_writer(body, schema, event)

# The key is the order id; murmur2_random puts it on the partition where the order's other events
# are. Without the header the order runs on the default version of its flow.
answers: list[object] = []
producer = Producer({"bootstrap.servers": bootstrap_servers, "partitioner": "murmur2_random"})
producer.produce(
    topic="order.events",
    key=order_id,
    value=body.getvalue(),
    headers={"flow": "order/1"},
    on_delivery=lambda error, _: answers.append(error),
)
producer.flush(10)
if answers != [None]:
    sys.exit(f"{order_id} is not placed: {bootstrap_servers} says {answers or 'nothing'}")
