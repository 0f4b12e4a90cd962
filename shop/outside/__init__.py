"""Fakes the order application's outside world: a payment provider, a carrier, a mail server.

Provider and carrier are one pure state machine each (`provider_machine`, `carrier_machine`) with
three shells: a server with a durable ledger, gateways in memory (`memory`), and the simulation. The
input (card token, address, recipient) chooses the behaviour; nothing is random:

    python -m shop.outside.provider    card tokens: see its docstring
    python -m shop.outside.carrier     address tags: see its docstring
    python -m shop.outside.mail        recipient directives: see its docstring

Only the lab, tests and benchmarks import this folder; no service does.
"""
