"""The outside world on one machine: a payment provider, a carrier and a mail server.

Each is a real server with a durable ledger of its own, so that the saga is judged from outside.
What each does is chosen by its input (card token, address, recipient), never by dice:

    python -m saga_lab.fakes.provider    card tokens: see its docstring
    python -m saga_lab.fakes.carrier     address tags: see its docstring
    python -m saga_lab.fakes.mail        recipient directives: see its docstring
"""
