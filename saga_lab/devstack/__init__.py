"""Runs the whole stack on one machine: Kafka, PostgreSQL, fake providers, services, monitor.

`stack.Stack.up(home)` starts it and `Stack(home).down()` stops it; the commands `saga up` and
`saga down` call these. `stack.json` in the stack's home says what runs where. The package imports
nothing by itself, so that a command loads only what it uses.
"""
