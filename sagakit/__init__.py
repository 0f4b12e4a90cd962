"""The kit holds the mechanism of a choreographed saga and knows nothing of an application.

Pure: `decider`, `flow`, `contract`. One transaction per micro-batch: `handling`. Stores:
`store.ports` (what the handler needs), `store.postgres` and `store.memory` (both pass one
conformance suite). Transport and outside calls: `messages`, `kafka`, `outbox`, `effects`, `web`.
Composition: `service`.
"""
