"""The order saga's contract: events, flows and the rules that every participant shares.

`CONTRACT` is the whole; the others are parts of it that are often used by themselves.
"""

from sagakit.contract import load_contract

CONTRACT = load_contract("schemas")
EVENT_TYPES = CONTRACT.event_types
OWNERS = CONTRACT.owners
FLOWS = CONTRACT.flows
