"""Runs the whole stack on one machine: Kafka, PostgreSQL, fake providers, services, monitor.

`Stack.up(home)` starts it and `Stack(home).down()` stops it; the commands `saga up` and `saga down`
call these. `stack.json` in the stack's home says what runs where.
"""

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import Kind, StackOptions
from saga_lab.devstack.stack import Stack

__all__ = ["Kind", "Stack", "StackError", "StackOptions"]
