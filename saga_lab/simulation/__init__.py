"""Simulates an application in one process, on a virtual clock and one seeded random source.

The handlers are those that the participants run; the stores and the outside world are in memory. A
seed that breaks an invariant breaks it again on every run.

`interface`: what the application supplies, and `outside` the services outside. `log`: the topics.
`process`, `node`: one participant with its processes, database and relay. `simulated_monitor`: the
saga monitor. `operator`: bad records and the person who clears them. `fault_rates`: the faults.
`rollout`: a release while sagas are in flight. `world`: all of these and the scheduler. `runner`:
runs seeds. `claim_checker`, `invariants`: check during the run and at its end what every saga
obeys, and that no work is left. `shrink`: reduces a broken seed and prints its history.
"""
