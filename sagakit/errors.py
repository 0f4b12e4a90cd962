"""Defines the kit's errors in one tree.

SagaError
|-- ConfigurationError     a setting is missing or wrong; the process does not start
|-- ContractError          a schema or its marks are wrong; says where
|-- FlowError              a flow file is invalid; says where
|-- UnprocessableRecord    an incoming record cannot be handled and is parked
|   |-- BadKey                 the record key is not a saga id
|   |-- Undecodable            the bytes are not an event of the contract
|   |   `-- UnknownSchema          this process does not know the writer's schema
|   |       `-- UnregisteredSchema     the registry does not have it now; it is asked again
|   |-- RecordTooLarge         the record exceeds the size limit of events
|   |-- UnknownFlow            this process does not know the flow or version in the `flow` header
|   |-- StartUnread            the start event of the saga was not read yet
|   |-- SagaConflict           the record contradicts what the log says of its saga; set aside
|   |-- UnreadableState        the row of the saga in the database is no state known here
|   |-- SequenceGap            earlier events of the same producer and saga are missing
|   `-- SequenceConflict       another event already has this sequence number
|-- TopicRecreated         a topic was recreated; the process restarts
|-- RegistryUnavailable    the schema registry gives no usable answer now; it is asked again
|-- RelayRunning           a relay is publishing newer events, so nothing can be republished
|-- RecordsGone            the log no longer holds records that were to be read
|-- ArchiveRefused         an archive is damaged, or is not one log with the topics
|-- ReplayOnly             this process replays the log, so it may neither publish nor call
|-- RequestTimedOut        a request was not handled in time, but may still be
|-- ForeignEvent           a decision has an event of another owner or saga; it is refused
|-- EffectKeyClash         two different calls have one effect key; the later decision is refused
|-- EventTooLarge          the broker would refuse an own event; the decision is refused
`-- EffectFailed           the provider gave no usable answer: result unknown, call retried
    |-- EffectSetAside         several processes died during the call: it is made once an hour
    |-- ResultPending          the provider accepted the call; its final result is polled for
    `-- OutcomeUntold          the provider answered, but no event can be made of its answer
"""

from datetime import timedelta
from uuid import UUID


class SagaError(Exception):
    """The base class of all errors that the kit raises on purpose."""


class ConfigurationError(SagaError):
    """A setting is missing or wrong.

    The message names the variable, its value and the values allowed.
    """


class ContractError(SagaError):
    """A contract is wrong; the message names file, place, reason and remedy."""


class FlowError(SagaError):
    """A flow file is invalid; the message names the flow, the place in the file and the remedy."""


class TopicRecreated(SagaError):
    """A topic was deleted and recreated; the message names it.

    The consumer that read the old topic may never get another record of it. Restart it: its group
    then reads the topic from the first record.
    """


class RecordsGone(SagaError):
    """The log no longer holds records that were to be read; the message names the place.

    Retention has removed them, or the topic has lost its tail.
    """


class ArchiveRefused(SagaError):
    """An archive cannot be read or extended; the message names place, reason and remedy.

    A file is missing or not what its manifest says, or archive and topic are not one log.
    """


class ReplayOnly(SagaError):
    """This process replays the log: it may neither publish nor call the outside world."""


class RegistryUnavailable(SagaError):
    """The schema registry gives no usable answer now; the message names its URL and the setting.

    That says nothing about a record: ask again.
    """


class UnprocessableRecord(SagaError):
    """An incoming record cannot be handled now; `code` is the short name of the reason."""

    code = "poison"


class BadKey(UnprocessableRecord):
    """The record key is missing, too long, or not printable text."""

    code = "bad_key"


class Undecodable(UnprocessableRecord):
    """The bytes are not an event of the contract (framing, schema, types, type header)."""

    code = "undecodable"


class UnknownSchema(Undecodable):
    """The record was written with a schema unknown here, by newer code or a foreign producer."""

    code = "unknown_schema"


class UnregisteredSchema(UnknownSchema):
    """The schema registry does not have the id of the writer's schema now.

    A replica of the registry may lag behind the registration, so it is asked again, by itself.
    """


class RecordTooLarge(UnprocessableRecord):
    """The record exceeds the size limit of events and is not decoded."""

    code = "oversized"


class UnknownFlow(UnprocessableRecord):
    """The `flow` header names a flow or version that this participant does not know."""

    code = "unknown_flow"


class StartUnread(UnprocessableRecord):
    """The start event of the saga was not read yet, so nobody knows its flow and its facts."""

    code = "unstarted"


class SagaConflict(UnprocessableRecord):
    """The record contradicts what the log says of its saga: another flow, other facts, a used id.

    It is never handled. It is set aside for a person and holds up no later record of its saga.
    """

    code = "conflict"


class UnreadableState(UnprocessableRecord):
    """The row of a saga in the database is no state that this code knows.

    The message names the table, the saga and the fault.
    """

    code = "unreadable_state"


class SequenceGap(UnprocessableRecord):
    """Earlier events of the same producer for the same saga are missing."""

    code = "gap"


class SequenceConflict(UnprocessableRecord):
    """Another event of the same producer already had this sequence number.

    The producer's database lost events that it had published.
    """

    code = "sequence_conflict"


class RequestTimedOut(SagaError):
    """A request was not handled in time, for example because the database is full.

    It may still be handled: send the same request again.
    """


class TooManyWaiting(SagaError):
    """Too many requests wait for the end of a saga; none was refused that does not wait."""


class ForeignEvent(SagaError):
    """A participant decided an event of another owner, or of another saga than the one handled."""


class StaleState(SagaError):
    """A transaction without locks cannot be committed; the same is done again under lock."""


class EffectKeyClash(SagaError):
    """An effect has the key of another call that is pending; the message names key and saga.

    `effect_id` is the effect that was not added. Under one key, a provider makes only one of them.
    """

    def __init__(self, message: str, effect_id: UUID) -> None:
        super().__init__(message)
        self.effect_id = effect_id


class EventTooLarge(SagaError):
    """An own event is too large for the broker; it is refused before it can block the relay."""


class EffectFailed(SagaError):
    """The provider gave no usable answer; the result of the call is unknown, so it is retried.

    `retry_after`: the least time until then, if the provider asked for one.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ResultPending(EffectFailed):
    """The provider accepted the call, but its final result is still to come.

    Nothing failed. The call is repeated under the same key until the final result is known, whether
    or not the provider calls back.
    """


class OutcomeUntold(EffectFailed):
    """The provider answered, but no event can be made of its answer: a person has to look.

    The call is repeated under the same key at growing intervals, since a new version may tell it.
    """


class EffectSetAside(EffectFailed):
    """The last `deaths` processes that made the call died during it, so it is made rarely."""

    def __init__(self, deaths: int) -> None:
        super().__init__(
            f"{deaths} processes in a row ended during this call; it is made again in an hour: "
            "look for what the provider answers, and why that ends the process",
            retry_after=timedelta(hours=1),
        )
