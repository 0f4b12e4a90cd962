"""The whole choreography in one process: virtual clock, one seeded random source, the handlers that
the services run, stores and outside world in memory. A seed that breaks something breaks it again.

`outside`: provider, carrier, mail server. `log`: the topics. `process`, `node`: a participant, its
processes, database and relay. `watcher`: the monitor. `operator`: bad records and who looks after
them. `chances`: the faults. `rollout`: a release while orders are in flight. `world`: all of them,
and a scheduler. `story`: what happens to each order. `play`: seeds. `witness`, `verdict`: the
invariants of design section 10, while it runs and at its end, and that everything comes to rest.
`shrink`: a broken seed made small, and told.
"""
