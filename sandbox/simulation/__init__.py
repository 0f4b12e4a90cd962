"""The whole choreography in one process: virtual clock, one seeded random source, the handlers that
the services run, stores and outside world in memory. A seed that breaks something breaks it again.

`outside`: provider, carrier, mail server. `world`: log, participants, monitor, faults, scheduler.
`story`: what happens to each order. `verdict`: the invariants of design section 10, and liveness.
"""
