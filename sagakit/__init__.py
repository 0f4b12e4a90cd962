"""The kit: everything of a choreographed saga that is mechanism, and no word about orders.

Pure: `decision`, `flow`, `routing`, `message`. The way of one event: `handler`. Stores: `ports`
(what the handler needs), `postgres` and `memory` (two stores that pass one conformance suite).
Wires: `codec`, `kafka`, `consumer`, `relay`, `effects`, `http`. Composition: `runtime`.
"""
