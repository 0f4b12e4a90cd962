"""The trip saga's contract: events and flow.

`CONTRACT` is the whole; `FLOWS` is the part of it that routing reads.
"""

from sagakit import load_contract

CONTRACT = load_contract("trips")
FLOWS = CONTRACT.flows
