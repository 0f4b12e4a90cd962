"""The participants of the trip saga: a folder each, with the same rooms in each.

`decide.py`: what it answers to every trigger, pure; `gateway.py`: its supplier; `store.py`: its
table; `service.py`: the wiring. `payload` and `supplier` are what they share.
"""
