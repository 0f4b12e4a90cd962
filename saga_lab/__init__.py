"""The local lab: runs the platform on one machine, loads it, breaks it and judges the result.

| package | holds |
|---|---|
| `devstack` | start and stop: Kafka, PostgreSQL, the services and the monitor |
| `fakes` | payment provider, carrier, mail server and TCP links, as local servers |
| `workload` | orders of every kind, placed on a running stack |
| `chaos` | chaos runs: faults on the real stack under load |
| `simulation` | the whole choreography in one process, from a seed |
| `invariants` | the invariants, checked from outside |
"""
