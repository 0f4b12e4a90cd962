"""Simulates the whole choreography in one process, on a virtual clock and one seeded random source.

The handlers are those that the services run; the stores and the outside world are in memory. A seed
that breaks an invariant breaks it again on every run.

`outside`: payment provider, carrier, mail server. `log`: the topics. `process`, `node`: one
participant with its processes, database and relay. `simulated_monitor`: the saga monitor.
`operator`: bad records and the person who clears them. `fault_rates`: the faults. `rollout`: a
release while orders are in flight. `world`: all of these and the scheduler. `story`: the plan of
each order. `runner`: runs seeds. `claim_checker`, `invariants`: check the invariants of design
section 11 during the run and at its end, and that no work is left. `shrink`: reduces a broken seed
and prints its history.
"""
