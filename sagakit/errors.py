"""The kit's errors, one tree.

SagaError
├── ConfigurationError     a setting is missing or wrong; the process does not start
├── FlowError              a flow file does not make sense; says where
├── Poison                 an incoming record that cannot be handled: it is parked
│   ├── BadKey                 the record key is no order id
│   ├── Undecodable            the bytes are no event of the contract
│   │   └── UnknownSchema          they are written with a schema that is not known here
│   ├── Oversized              more bytes than any event may have
│   ├── UnknownFlow            the `flow` header names no flow or version known here
│   ├── SequenceGap            events of the same producer and order are missing before it
│   └── SequenceConflict       another event already stood at this place of the sequence
├── TopicMadeAnew          a topic is not the one that was read; the process starts again
├── RelayLeads             events cannot be republished while a relay publishes newer ones
├── Unanswered             a request was not handled in time; whether it will be is not known
├── EventTooLarge          an own event would not pass the broker; the decision is refused
└── EffectFailed           the outside world did not answer: unknown, to be asked again
    └── NotFinal               it answered that the end is still to come: asked again, patiently
"""


class SagaError(Exception):
    """Base of all errors the kit raises on purpose."""


class ConfigurationError(SagaError):
    """A setting is missing or wrong: names the variable, what it held, what it should hold."""


class FlowError(SagaError):
    """A flow file that cannot be used: names the file's flow, the place in it and the remedy."""


class TopicMadeAnew(SagaError):
    """A topic was deleted and made anew: names it. The consumer that read it may never get another
    record of it; its group begins at the first record when it is started again."""


class Poison(SagaError):
    """An incoming record that cannot be handled now; `code` is its short name."""

    code = "poison"


class BadKey(Poison):
    """The record key is missing, too long, or not printable text."""

    code = "bad_key"


class Undecodable(Poison):
    """The bytes are no event of the contract (framing, schema, types, type header)."""

    code = "undecodable"


class UnknownSchema(Undecodable):
    """Written with a schema that is not known here: by newer code, or by a stranger."""

    code = "unknown_schema"


class Oversized(Poison):
    """The record is larger than any event may be; it is not even decoded."""

    code = "oversized"


class UnknownFlow(Poison):
    """The `flow` header names no flow or version that this participant knows."""

    code = "unknown_flow"


class SequenceGap(Poison):
    """Events of the same producer for the same order are missing before this one."""

    code = "gap"


class SequenceConflict(Poison):
    """Another event of the same producer already had this sequence number: its database lost
    what it had published."""

    code = "sequence_conflict"


class Unanswered(SagaError):
    """A request was not handled in time, such as while the database has no room. It may be handled
    yet: send the same again."""


class EventTooLarge(SagaError):
    """An own event would be refused by the broker; refused here, before it could jam the relay."""


class EffectFailed(SagaError):
    """The outside world gave no usable answer. What happened there is unknown: ask again."""


class NotFinal(EffectFailed):
    """The outside world took the call, and its end is still to come. Nothing failed; the end is
    asked for under the same key until it is known, whether or not somebody calls back."""
