"""The contract: one `.avsc` for each event, `flows/errand.toml`, and `events.py` made from them.

After a change of an `.avsc`: python -m sagakit.contract.generate errand_events
"""

from sagakit import load_contract

CONTRACT = load_contract("errand_events")
FLOWS = CONTRACT.flows
