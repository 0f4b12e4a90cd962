"""Fakes the outside world on one machine: a payment provider, a carrier and a mail server.

Each is a real server with a durable ledger of its own, so tests can judge a saga from outside.
The input (card token, address, recipient) chooses the behaviour; nothing is random:

    python -m saga_lab.fakes.provider    card tokens: see its docstring
    python -m saga_lab.fakes.carrier     address tags: see its docstring
    python -m saga_lab.fakes.mail        recipient directives: see its docstring
"""
