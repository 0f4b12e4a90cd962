"""Runs, breaks and judges the trip saga on one machine.

`outside`: the suppliers' fake; `workload`: trips of every kind; `simulation`: the same in memory;
`invariants`: what the suppliers' ledgers must say at the end.
"""
