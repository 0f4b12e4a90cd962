"""Encodes and decodes events: Avro bodies, CloudEvents headers.

It writes the Confluent wire format (`00`, schema id) if a registry is configured, with the schema's
fingerprint in a header, else Avro single-object encoding (`C3 01`, CRC-64 fingerprint); a reader
tells them apart by the first byte, and trusts the fingerprint more than the id (`framing`). See
the Avro 1.12 specification and the CloudEvents Kafka protocol binding, binary mode. A body is only
decoded with a schema of the contract, or one fitted to it (`writer_schema`): hostile bytes cannot
choose a recursive or zero-width one.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import (
    SchemaParseException,
    UnknownType,
    fingerprint,
    to_parsing_canonical_form,
)

from sagakit.contract.model import Contract, inline, saga_id_of
from sagakit.errors import (
    BadKey,
    ConfigurationError,
    EventTooLarge,
    RecordTooLarge,
    Undecodable,
    UnknownFlow,
    UnknownSchema,
    UnregisteredSchema,
)
from sagakit.flow.platform_events import PLATFORM
from sagakit.flow.routing import topic
from sagakit.identity import MAX_ID_CHARS, flow_name, is_plain, saga_key, split_key
from sagakit.messages.envelope import (
    LOGGED_AT,
    NAMESPACE,
    UNREADABLE,
    Envelope,
    OutboxRow,
    Record,
    Trace,
)
from sagakit.messages.framing import (
    CONFLUENT,
    SINGLE_OBJECT,
    SchemaId,
    data_schema,
    framing_of,
    single_object,
)
from sagakit.messages.registry_port import Registration, Registry
from sagakit.messages.writer_schema import DoesNotFit, branches, fitted

MAX_EVENT_BYTES = 512 * 1024
MAX_HANDED_ON_CHARS = 255
"""The longest header that is handed on to own events; a longer one is left out."""
CONTRACT = "contract"
"""Header of a platform event: the contract package that has its flow."""
Headers = Sequence[tuple[str, bytes]]
_SAME = (("ce_specversion", b"1.0"), ("content-type", b"application/avro"))
_READ = frozenset(
    ("ce_id", "ce_source", "ce_type", "ce_sequence", "ce_causationid", "ce_correlationid")
) | {"flow", "traceparent", LOGGED_AT, UNREADABLE}
"""The headers that a reader uses."""
_PLATFORM_TOPIC = topic(PLATFORM)
_LONG = fastavro.parse_schema("long")
_NO_SCHEMA = (
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    RecursionError,
    SchemaParseException,
    UnknownType,
)
"""The errors that fastavro raises for a text that is no schema."""


def record_saga_id(raw: bytes | None) -> str:
    """Return the saga id in a record key. Raises BadKey."""
    if not raw:
        raise BadKey("the record has no key; publish it with the saga id as its key")
    try:
        key = raw.decode()
    except UnicodeDecodeError as error:
        raise BadKey(f"the record key is not UTF-8 ({error}); use the saga id") from error
    if len(key) > MAX_ID_CHARS or not is_plain(key):
        raise BadKey(
            f"the record key {key[:40]!a} has {len(key)} characters; a saga id has 1 to "
            f"{MAX_ID_CHARS} printable characters, in Unicode's form NFC"
        )
    return key


class _Foreign(NamedTuple):
    """A schema that somebody else registered: one event, or a union of several.

    `branches`: the event type, the schema to decode with, and why that cannot be done.
    """

    is_union: bool
    branches: Sequence[tuple[str, Any, str]]


class Codec:
    """Encodes and decodes the events of a contract."""

    def __init__(self, contract: Contract, registry: Registry | None = None) -> None:
        self._types = contract.event_types
        self._schemas = contract.schemas
        self.registry = registry
        self.registrations: list[Registration] = []
        self._packages = frozenset(contract.packages)
        self._homes = {
            flow: (CONTRACT, package.encode())
            for package, flows in contract.packages.items()
            for flow in flows
        }
        self._no_saga = frozenset(
            name for name, event in self._types.items() if event.saga_id_field is None
        )
        self._flows = _flows_by_event(contract)
        self._only_flow = contract.declared[0].name if len(contract.declared) == 1 else ""
        self._readers: dict[str, Any] = {}
        self._prefixes: dict[str, bytes] = {}
        self._data_schemas: dict[str, tuple[tuple[str, bytes], ...]] = {}
        self._writers: dict[bytes, tuple[str, Any]] = {}
        self._by_id: dict[SchemaId, tuple[str, Any]] = {}
        self._foreign: dict[tuple[SchemaId, bytes], _Foreign] = {}
        for older in contract.released:
            for name in older.keys() & self._types.keys():
                schema = fastavro.parse_schema(inline(name, older))
                self._writers[_fingerprint(schema)] = (name, schema)
        for name in self._types:
            schema = fastavro.parse_schema(inline(name, contract.schemas))
            self._readers[name] = schema
            mark = _fingerprint(schema)
            self._writers[mark] = (name, schema)
            self._prefixes[name] = SINGLE_OBJECT + mark
            if registry is not None:
                subject = f"{topic(self._types[name].owner)}-{name}"
                text = inline(name, contract.schemas)
                number = registry.register(subject, text)
                self.registrations.append(Registration(subject, text, number))
                self._data_schemas[name] = (data_schema(mark),)
                if number in self._by_id:
                    raise ConfigurationError(
                        f"the schema registry gives {name} and {self._by_id[number][0]} the same "
                        f"id {number}; set SAGA_SCHEMA_REGISTRY_URL to a registry that works"
                    )
                self._prefixes[name] = CONFLUENT + number.to_bytes(4, "big")
                self._by_id[number] = (name, schema)

    @property
    def event_types(self) -> frozenset[str]:
        """Return the names of the events that this codec encodes."""
        return frozenset(self._types)

    def body(self, event: Any) -> bytes:
        """Return the framed Avro record. Raises EventTooLarge."""
        out = io.BytesIO()
        out.write(self._prefixes[event.type])
        fastavro.schemaless_writer(out, self._readers[event.type], event.to_dict())
        return _check_size(event.type, (), out.getvalue())

    def encode(self, envelope: Envelope) -> OutboxRow:
        """Return the outbox row that the relay publishes. Raises EventTooLarge.

        A platform event gets a header that names the contract with its flow: every application
        publishes to the platform's topic.
        """
        event = envelope.event
        headers = (*headers_of(envelope), *self._data_schemas.get(event.type, ()))
        flow, saga_id = split_key(envelope.key)
        if flow and event.type in self._no_saga:
            raise ValueError(
                f"{event.type} belongs to no saga, and {envelope.key!r} emits it: readers "
                "could not count it there; emit it under a key without a flow, /<record key>"
            )
        if event.owner == PLATFORM and flow in self._homes:
            headers = (*headers, self._homes[flow])
        value = _check_size(event.type, headers, self.body(event))
        return OutboxRow(topic(event.owner), saga_id, headers, value)

    def decode(self, record: Record) -> Envelope:
        """Return the event in a record.

        Raises UnprocessableRecord: BadKey, RecordTooLarge or Undecodable."""
        headers = {k: v.decode("utf-8", "replace") for k, v in record.headers if k in _READ}
        if UNREADABLE in headers:
            raise Undecodable(headers[UNREADABLE])
        saga_id = record_saga_id(record.key)
        value = record.value or b""
        if (size := record_size(record.headers, value)) > MAX_EVENT_BYTES:
            raise RecordTooLarge(
                f"the record has {size} bytes, the limit is {MAX_EVENT_BYTES}; "
                "publish a smaller one, then discard this one"
            )
        name, writer, start = self._writer(record, value)
        event = self._event(name, writer, value, start)
        self._check(record, saga_id, event, headers)
        key = saga_key(self._flow_of(headers, name), saga_id)
        return Envelope(
            id=_event_id(key, headers, value),
            key=key,
            source=headers.get("ce_source", "")[:MAX_HANDED_ON_CHARS],
            seq=_sequence(headers),
            time=_log_time(record, headers.get(LOGGED_AT)),
            event=event,
            causation=_uuid(headers.get("ce_causationid")),
            trace=Trace(
                headers.get("flow"),
                _handed_on(headers.get("ce_correlationid")),
                _handed_on(headers.get("traceparent")),
            ),
        )

    def key_of_undecodable(self, record: Record) -> str:
        """Return the saga key of a record, by what its headers say. Raises BadKey."""
        saga_id = record_saga_id(record.key)
        headers = {k: v.decode("utf-8", "replace") for k, v in record.headers if k in _READ}
        return saga_key(self._flow_of(headers, headers.get("ce_type", "")), saga_id)

    def is_foreign(self, record: Record) -> bool:
        """Tell whether a record is a platform event of an application with another contract."""
        if record.topic != _PLATFORM_TOPIC:
            return False
        home = next((value for name, value in record.headers if name == CONTRACT), None)
        return home is not None and home.decode("utf-8", "replace") not in self._packages

    def _flow_of(self, headers: Mapping[str, str], event_type: str) -> str:
        """Return the name of the flow of an event, empty if it has none that could be known.

        Without a `flow` header it is the one flow that the event type can belong to; for an unknown
        type, the only flow there is.
        """
        by_type = self._flows.get(event_type, self._only_flow)
        label = headers.get("flow")
        return by_type if label is None or event_type in self._no_saga else flow_name(label)

    def asks_registry(self, record: Record) -> bool:
        """Tell whether decoding a record takes a question to the registry."""
        value = record.value or b""
        framing = single_object(value)
        if framing is not None and framing.fingerprint in self._writers:
            return False
        number, fingerprint, _ = framing_of(record, value)
        if number is None or fingerprint in self._writers:
            return False
        own = not fingerprint and number in self._by_id
        return not own and (number, fingerprint) not in self._foreign

    def _writer(self, record: Record, value: bytes) -> tuple[str, Any, int]:
        """Return the event type, the schema that its body was written with, and where it starts."""
        framing = single_object(value)
        if framing is not None and (known := self._writers.get(framing.fingerprint)):
            return (*known, framing.start)
        number, fingerprint, start = framing_of(record, value)
        if number is not None:
            found = self._writers.get(fingerprint) if fingerprint else self._by_id.get(number)
            return (*found, start) if found else self._registered(number, fingerprint, value, start)
        if framing is not None:
            raise UnknownSchema(
                f"schema fingerprint {framing.fingerprint.hex()} is not of this contract; "
                "deploy a version that knows it, or publish with one of its contract's *.avsc"
            )
        raise Undecodable(
            f"the body begins with {value[:4].hex() or 'nothing'}: neither Avro single-object "
            "encoding (c301) nor the Confluent wire format (00)"
        )

    def _registered(
        self, number: SchemaId, fingerprint: bytes, value: bytes, start: int
    ) -> tuple[str, Any, int]:
        """Return what `_writer` does, for a schema that only the registry knows."""
        found = self._foreign.get((number, fingerprint))
        if found is None:
            found = self._foreign[number, fingerprint] = self._looked_up(number, fingerprint)
        index = 0
        if found.is_union:
            stream = io.BytesIO(value)
            stream.seek(start)
            try:
                index = fastavro.schemaless_reader(stream, _LONG, None)  # type: ignore[assignment]
            except (EOFError, IndexError, OverflowError, ValueError) as error:
                raise Undecodable("the body ends before its event type") from error
            start = stream.tell()
        if not 0 <= index < len(found.branches):
            raise Undecodable(f"schema id {number} is a union, and the body has its type {index}")
        name, schema, problem = found.branches[index]
        if problem:
            raise UnknownSchema(f"schema id {number} {problem}")
        return name, schema, start

    def _looked_up(self, number: SchemaId, fingerprint: bytes) -> "_Foreign":
        if self.registry is None:
            raise Undecodable(
                f"schema id {number}, but SAGA_SCHEMA_REGISTRY_URL is not set; set it"
            )
        try:
            found = self.registry.lookup(number)
        except KeyError as error:
            raise UnregisteredSchema(
                f"schema id {number} is not in the registry; it is asked again, and the record is "
                "read once the schema is registered"
            ) from error
        except ValueError as error:
            raise Undecodable(
                f"schema id {number} is not the schema of an event: {error}"
            ) from error
        try:
            named: dict[str, Any] = {}
            schema = [fastavro.parse_schema(one, named) for one in found][-1]
            if fingerprint and _fingerprint(schema) != fingerprint:
                raise UnregisteredSchema(
                    f"schema id {number} is another schema in the registry than the one that the "
                    f"record was written with, {fingerprint.hex()}: the registry has lost its "
                    "schemas; restore it, it is asked again, or deploy a version that knows it"
                )
            return _Foreign(
                isinstance(schema, list),
                [self._branch(name, one, named) for name, one in branches(schema, named)],
            )
        except _NO_SCHEMA as error:
            raise Undecodable(
                f"schema id {number} is not the schema of an event: {error}"
            ) from error

    def _branch(self, name: str, schema: Any, named: Mapping[str, Any]) -> tuple[str, Any, str]:
        """Return an event type, the schema to decode it with, and why that cannot be done."""
        if name not in self._types:
            return name, None, f"({name or 'no record'}) is not an event of this contract"
        own: dict[str, Any] = {}
        reader = fastavro.parse_schema(inline(name, self._schemas), own)
        try:
            found = fitted(schema, named, reader, own)
            return name, fastavro.parse_schema(found), ""
        except (DoesNotFit, *_NO_SCHEMA) as error:
            return name, None, f"({name}) cannot be read as an event of this contract: {error}"

    def _event(self, name: str, writer: Any, value: bytes, start: int) -> Any:
        reader = self._readers[name]
        stream = io.BytesIO(value)
        stream.seek(start)
        try:
            found: Any = fastavro.schemaless_reader(
                stream, writer, None if writer is reader else reader
            )
            event = self._types[name].from_dict(found)
        except (EOFError, ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            raise Undecodable(
                f"the body is not a valid {name}: {type(error).__name__} {error}"
            ) from error
        except SchemaResolutionError as error:
            raise Undecodable(
                f"the body was written with an incompatible {name}: {error}"
            ) from error
        if stream.tell() != len(value):
            raise Undecodable(f"{len(value) - stream.tell()} extra bytes after the {name}")
        return event

    def _check(self, record: Record, saga_id: str, event: Any, headers: Mapping[str, str]) -> None:
        if headers.get("ce_type", event.type) != event.type:
            raise Undecodable(
                f"header ce_type is {headers['ce_type'][:80]}, but the body is a {event.type}"
            )
        if record.topic != topic(event.owner):
            raise Undecodable(
                f"{event.type} belongs on {topic(event.owner)}, not on {record.topic}"
            )
        named = saga_id if event.saga_id_field is None else saga_id_of(event)
        if named != saga_id:
            raise Undecodable(
                f"the key is {saga_id!r}, the body says {event.saga_id_field} {named[:80]!r}"
            )


def _flows_by_event(contract: Contract) -> dict[str, str]:
    """Return event type -> name of its flow if no header says it, empty if that is not certain."""
    found = dict.fromkeys(contract.event_types, "")
    for name, event in contract.event_types.items():
        if contract.declared and event.saga_id_field is not None:
            with suppress(UnknownFlow):
                found[name] = contract.flows.find(None, name)[0].name
    return found


def record_size(headers: Headers, value: bytes) -> int:
    """Return the bytes of a record that count against the size limit: value plus headers."""
    size = len(value)
    for name, content in headers:
        size += len(name) + len(content)
    return size


def _check_size(name: str, headers: Headers, value: bytes) -> bytes:
    if (size := record_size(headers, value)) > MAX_EVENT_BYTES:
        raise EventTooLarge(
            f"{name} has {size} bytes, the limit is {MAX_EVENT_BYTES}: "
            "store large content elsewhere, and put a reference to it into the event"
        )
    return value


def headers_of(envelope: Envelope) -> tuple[tuple[str, bytes], ...]:
    """Return CloudEvents attributes and extensions as Kafka headers."""
    trace, seq, causation = envelope.trace, envelope.seq, envelope.causation
    found = (
        ("ce_id", str(envelope.id)),
        ("ce_source", envelope.source),
        ("ce_type", envelope.event.type),
        ("ce_time", envelope.time.isoformat()),
        ("ce_subject", split_key(envelope.key)[1]),
        ("ce_sequence", None if seq is None else str(seq)),
        ("ce_causationid", None if causation is None else str(causation)),
        ("ce_correlationid", trace.correlation),
        ("flow", trace.flow),
        ("traceparent", trace.traceparent),
    )
    return _SAME + tuple([(name, value.encode()) for name, value in found if value is not None])


def _fingerprint(schema: Any) -> bytes:
    """Return the CRC-64-AVRO of the parsing canonical form, little-endian as on the wire."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _event_id(key: str, headers: Mapping[str, str], value: bytes) -> UUID:
    """Return the publisher's event id, or one derived from saga id and content.

    A derived id is the same for a repeated publication, and differs for other content of the same
    saga. A `ce_id` that is no UUID is mapped to one, together with its source.
    """
    given = headers.get("ce_id")
    if given is None:
        return uuid5(NAMESPACE, f"{key}:{value.hex()}")
    return _uuid(given) or uuid5(NAMESPACE, f"{headers.get('ce_source', '')}:{given}")


def _log_time(record: Record, logged_at: str | None) -> datetime:
    """Return the log-append time of the event's first publication.

    A republished record carries it in a header (docs/decisions/0017). A header later than the
    record's own time is ignored.
    """
    at_ms = record.timestamp_ms
    if logged_at is not None:
        if not (logged_at.isascii() and logged_at.isdigit() and len(logged_at) < 16):
            raise Undecodable(
                f"the header {LOGGED_AT} is {logged_at[:40]!r}, not Unix milliseconds; only "
                "`saga republish` may set it"
            )
        at_ms = min(at_ms, int(logged_at))
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Undecodable(
            f"its timestamp, {at_ms} ms, is not a valid time; set topic {record.topic} to "
            "message.timestamp.type=LogAppendTime"
        ) from error


def _sequence(headers: Mapping[str, str]) -> int | None:
    text = headers.get("ce_sequence", "")
    counted = text.isascii() and text.isdigit() and len(text) < 10 and headers.get("ce_source")
    return int(text) if counted and int(text) > 0 else None


def _handed_on(text: str | None) -> str | None:
    return None if text is None or len(text) > MAX_HANDED_ON_CHARS else text


def _uuid(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None
