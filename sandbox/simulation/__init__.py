"""The whole choreography in one process: virtual clock, one seeded random source, the handlers that
the services run, stores and outside world in memory. A seed that breaks something breaks it again.

`outside`: provider, carrier, mail server. `node`: the log, and one participant. `watcher`: the
monitor. `world`: all of them, people, and a scheduler. `story`: what happens to each order.
`play`: seeds. `verdict`: the invariants of design section 10, and that everything comes to rest.
"""
