"""The local lab: runs the platform on one machine, loads it, breaks it and judges the result.

| package | holds |
|---|---|
| `application` | what an application declares in its `saga.toml` |
| `devstack` | start and stop: Kafka, PostgreSQL, fakes, participants and the monitor |
| `fakes` | what fakes of services outside are built on, and TCP links that can be cut |
| `workload` | an application's sagas of every kind, placed on a running stack |
| `chaos` | chaos runs: faults on the real stack under load |
| `simulation` | the whole choreography in one process, from a seed |
| `invariants` | the invariants, checked from outside |
"""
