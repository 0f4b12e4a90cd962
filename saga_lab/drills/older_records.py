"""Records that an older release wrote: today's code reads them when a database is rebuilt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from saga_lab.application import Application, contract_of
from saga_lab.chaos.fault import Violation
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.topics import event_topic, recreate_topic
from saga_lab.drills.disasters import LostDatabase, replicas_of
from sagakit.archive.restore import with_log_time
from sagakit.contract.model import Contract
from sagakit.errors import UnprocessableRecord
from sagakit.flow.routing import topic
from sagakit.kafka.inspector import read_log
from sagakit.kafka.record_copier import RecordCopier
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record


@dataclass(frozen=True, slots=True)
class OlderRecords(LostDatabase):
    """The database is lost, and its topic holds what an older release wrote.

    Such a topic is made of the present one: each record is written with the schema of the first
    release that has all of its content. The others stay as they are.
    """

    def strike(self, site: Site) -> None:
        """Write the topic again while the participant stands still, then drop the database."""
        name, servers = topic(self.target), site.bootstrap_servers
        processes = replicas_of(site, self.target)
        site.stop(*processes)
        before = list(read_log(servers, [name]))
        after = list(as_older(before, site.contract))
        if after == before:
            raise Violation(f"no record of {name} can be written with an older schema")
        recreate_topic(servers, event_topic(name, site.content["partitions"]), lambda: None)
        RecordCopier(servers).copy([with_log_time(record) for record in after])
        site.start(*processes)
        until(lambda: site.ready(self.target), f"{self.target} is ready on the older records")
        LostDatabase.strike(self, site)


def as_older(records: Sequence[Record], contract: Contract) -> Iterator[Record]:
    """Yield records as an older release wrote them, where its schema has all that is in them."""
    today = Codec(contract)
    types = contract.event_types
    older = [
        Codec(Contract({name: types[name] for name in types.keys() & schemas.keys()}, schemas))
        for schemas in contract.released
    ]
    for record in records:
        yield next((r for codec in older if (r := _older(record, today, codec))), record)


def _older(record: Record, today: Codec, older: Codec) -> Record | None:
    """Return a record in an older encoding, None if that has another content or is the same."""
    try:
        event = today.decode(record).event
        if event.type not in older.event_types:
            return None
        written = replace(record, value=older.body(event))
        same = written.value == record.value or today.decode(written).event != event
    except UnprocessableRecord:
        return None
    return None if same else written


def evolved(application: Application) -> tuple[str, ...]:
    """Return the participants with an event that a released set of schemas has."""
    contract = contract_of(application)
    owners = {
        contract.event_types[name].owner
        for released in contract.released
        for name in contract.event_types.keys() & released.keys()
    }
    return tuple(one for one in application.participants if one in owners)
